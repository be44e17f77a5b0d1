"""Which image each crop is taken from: sources and organs balanced, a function of seed and iteration alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nucleate.data import CocoDataset
from nucleate.errors import ConfigError
from nucleate.training.sampling import Slot
from nucleate.training.settings import Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedPlan:
    """The batches of a training, from `first_iteration` to before `last_iteration`, images drawn by weight.

    Attributes:
        weights: how often each training image is drawn; they add up to 1.
        crops_per_batch: at least 1.
        seed: of the draw.
        first_iteration: where to start; batches don't depend on it.
        last_iteration: where to end.
    """

    weights: tuple[float, ...]
    crops_per_batch: int
    seed: int
    first_iteration: int
    last_iteration: int

    def __post_init__(self) -> None:
        if not self.weights:
            raise ConfigError("no image to train on: the training split is empty")
        if self.crops_per_batch < 1:
            raise ConfigError(f"{self.crops_per_batch}: at least 1", item="SOLVER.IMS_PER_BATCH")

    def __len__(self) -> int:
        return max(0, self.last_iteration - self.first_iteration)

    def __iter__(self) -> Iterator[list[Slot]]:
        for iteration in range(self.first_iteration, self.last_iteration):
            rng = np.random.default_rng([self.seed, 1, iteration])
            drawn = rng.choice(len(self.weights), size=self.crops_per_batch, p=self.weights)
            yield [
                Slot(iteration=iteration, position=position, record_index=index)
                for position, index in enumerate(drawn.tolist())
            ]


def balanced_weights(dataset: CocoDataset, record_indices: Sequence[int], balance: Balance) -> tuple[float, ...]:
    """Return how often each training image is drawn, adding up to 1.

    A source of n images is drawn in proportion to n ** balance.source, within it an organ of m images in proportion
    to m ** balance.organ.
    """
    records = [dataset.records[index] for index in record_indices]
    of_source = Counter(record.source for record in records)
    of_organ = Counter((record.source, record.organ) for record in records)
    organ_total = Counter[str | None]()
    for (source, _), count in of_organ.items():
        organ_total[source] += count**balance.organ
    source_total = sum(count**balance.source for count in of_source.values())
    return tuple(
        of_source[record.source] ** balance.source
        / source_total
        * of_organ[record.source, record.organ] ** (balance.organ - 1)
        / organ_total[record.source]
        for record in records
    )
