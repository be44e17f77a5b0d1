"""Batches for the network: each image by its own stream of chance, so results don't depend on workers or restarts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nucleate.training.sampling import Slot
from nucleate.training.trainee import Batch, Part

Sample = TypeVar("Sample")
Made_co = TypeVar("Made_co", covariant=True)


class Mapper(Protocol[Made_co]):
    """Turns the annotated image of an index into what the network trains on."""

    def __call__(self, record_index: int, rng: np.random.Generator) -> Made_co:
        """Return the training sample, varied by `rng`."""
        ...


class _MappedSlots(Dataset[tuple[Slot, Sample]]):
    def __init__(self, mapper: Mapper[Sample], seed: int) -> None:
        self._mapper = mapper
        self._seed = seed

    def __getitem__(self, slot: Slot) -> tuple[Slot, Sample]:
        return slot, self._mapper(slot.record_index, image_rng(self._seed, slot))


@dataclass(frozen=True)
class _PartMaker(Generic[Sample, Batch]):
    collate: Callable[[Sequence[Sample]], Batch]

    def __call__(self, placed: Sequence[tuple[Slot, Sample]]) -> Part[Batch]:
        return Part(tuple(slot for slot, _ in placed), self.collate([sample for _, sample in placed]))


def image_rng(seed: int, slot: Slot) -> np.random.Generator:
    """Return the stream of chance of one place in one batch."""
    return np.random.default_rng([seed, 2, slot.iteration, slot.position])


def sampler_seed(seed: int, slot: Slot) -> int:
    """Return the seed of what the network draws for one place in one batch."""
    return int(np.random.SeedSequence([seed, 3, slot.iteration, slot.position]).generate_state(1, np.uint64)[0] >> 1)


def load_parts(
    mapper: Mapper[Sample],
    slots: Iterable[list[Slot]],
    collate: Callable[[Sequence[Sample]], Batch],
    *,
    seed: int,
    workers: int,
) -> Iterator[Part[Batch]]:
    """Return the images of lists of slots, in order.

    Args:
        mapper: picklable, so that workers can be spawned.
        slots: what goes through the network at once.
        collate: makes a batch of samples.
        seed: of the samples' own streams of chance.
        workers: processes that prepare batches beside the training; 0 prepares them in between.
    """
    loader: DataLoader[tuple[Slot, Sample]] = DataLoader(
        _MappedSlots(mapper, seed),
        batch_sampler=slots,
        num_workers=workers,
        collate_fn=_PartMaker(collate),
        worker_init_fn=_start_worker if workers else None,
        persistent_workers=False,
    )
    return cast("Iterator[Part[Batch]]", iter(loader))


def _start_worker(_: int) -> None:
    # Ctrl-C reaches every process of a terminal; the training decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
