"""Which image goes into which batch: an endless shuffle, grouped by aspect ratio, a function of the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nucleate.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One place in a batch.

    Attributes:
        iteration: 0-based.
        position: place in the batch.
        record_index: which training image.
    """

    iteration: int
    position: int
    record_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """The batches of a training, from `first_iteration` to before `last_iteration`.

    Every image comes once before any comes twice. Wide images share batches with wide ones and tall with tall
    (Detectron2's ASPECT_RATIO_GROUPING), so that padding stays small. The plan does not depend on where it starts:
    a resumed training sees the batches that an uninterrupted one would have seen.

    Attributes:
        wide: one boolean an image, whether it is wider than high.
        images_per_batch: at least 1.
        seed: of the shuffle.
        first_iteration: where to start.
        last_iteration: where to end.
        group_by_aspect: False mixes all.
    """

    wide: Sequence[bool]
    images_per_batch: int
    seed: int
    first_iteration: int
    last_iteration: int
    group_by_aspect: bool = True

    def __post_init__(self) -> None:
        if not self.wide:
            raise ConfigError(
                "no image to train on: the training split is empty, or every image in it is without nuclei"
                " and DATALOADER.FILTER_EMPTY_ANNOTATIONS is True"
            )
        if self.images_per_batch < 1:
            raise ConfigError(f"{self.images_per_batch}: at least 1", item="SOLVER.IMS_PER_BATCH")

    def __len__(self) -> int:
        return max(0, self.last_iteration - self.first_iteration)

    def __iter__(self) -> Iterator[list[Slot]]:
        rng = np.random.default_rng([self.seed, 1])
        buckets: dict[bool, list[int]] = {False: [], True: []}
        iteration = 0
        while iteration < self.last_iteration:
            for record_index in rng.permutation(len(self.wide)).tolist():
                bucket = buckets[self.group_by_aspect and bool(self.wide[record_index])]
                bucket.append(record_index)
                if len(bucket) < self.images_per_batch:
                    continue
                if self.first_iteration <= iteration < self.last_iteration:
                    yield [
                        Slot(iteration=iteration, position=position, record_index=index)
                        for position, index in enumerate(bucket)
                    ]
                bucket.clear()
                iteration += 1
