"""Batches for the network: each image by its own stream of chance, so results don't depend on workers or restarts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nucleate.models.mask_rcnn import TrainingImage
from nucleate.training.sampling import BatchPlan, Slot


class Mapper(Protocol):
    """Turns the annotated image of an index into what the network trains on."""

    def __call__(self, record_index: int, rng: np.random.Generator) -> TrainingImage:
        """Return the training image, varied by `rng`."""
        ...


class _MappedSlots(Dataset[TrainingImage]):
    def __init__(self, mapper: Mapper, seed: int) -> None:
        self._mapper = mapper
        self._seed = seed

    def __getitem__(self, slot: Slot) -> TrainingImage:
        return self._mapper(slot.record_index, image_rng(self._seed, slot))


def image_rng(seed: int, slot: Slot) -> np.random.Generator:
    """Return the stream of chance of one place in one batch."""
    return np.random.default_rng([seed, 2, slot.iteration, slot.position])


def load_batches(mapper: Mapper, plan: BatchPlan, *, workers: int) -> Iterator[list[TrainingImage]]:
    """Return the plan's batches in order.

    Args:
        mapper: picklable, so that workers can be spawned.
        plan: which images.
        workers: processes that prepare batches beside the training; 0 prepares them in between.
    """
    loader: DataLoader[TrainingImage] = DataLoader(
        _MappedSlots(mapper, plan.seed),
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=_as_list,
        worker_init_fn=_start_worker if workers else None,
        persistent_workers=False,
    )
    return iter(loader)


def _as_list(batch: Sequence[TrainingImage]) -> list[TrainingImage]:
    return list(batch)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
