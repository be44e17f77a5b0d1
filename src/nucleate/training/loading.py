"""Batches for the network: each image by its own stream of chance, so results don't depend on workers or restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nucleate.training.sampling import Slot
from nucleate.training.trainee import Batch

Sample = TypeVar("Sample")
Made_co = TypeVar("Made_co", covariant=True)


class Mapper(Protocol[Made_co]):
    """Turns the annotated image of an index into what the network trains on."""

    def __call__(self, record_index: int, rng: np.random.Generator) -> Made_co:
        """Return the training sample, varied by `rng`."""
        ...


class Plan(Protocol):
    """The batches of a training, each the slots that make it."""

    @property
    def seed(self) -> int:
        """Return the seed of the samples' own streams of chance."""
        ...

    def __iter__(self) -> Iterator[list[Slot]]:
        """Return the batches in order."""
        ...


class _MappedSlots(Dataset[Sample]):
    def __init__(self, mapper: Mapper[Sample], seed: int) -> None:
        self._mapper = mapper
        self._seed = seed

    def __getitem__(self, slot: Slot) -> Sample:
        return self._mapper(slot.record_index, image_rng(self._seed, slot))


def image_rng(seed: int, slot: Slot) -> np.random.Generator:
    """Return the stream of chance of one place in one batch."""
    return np.random.default_rng([seed, 2, slot.iteration, slot.position])


def load_batches(
    mapper: Mapper[Sample], plan: Plan, collate: Callable[[Sequence[Sample]], Batch], *, workers: int
) -> Iterator[Batch]:
    """Return the plan's batches in order.

    Args:
        mapper: picklable, so that workers can be spawned.
        plan: which images.
        collate: makes a batch of samples.
        workers: processes that prepare batches beside the training; 0 prepares them in between.
    """
    slots: Iterable[list[Slot]] = plan
    loader: DataLoader[Sample] = DataLoader(
        _MappedSlots(mapper, plan.seed),
        batch_sampler=slots,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_start_worker if workers else None,
        persistent_workers=False,
    )
    return iter(loader)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
