"""Which images of a step's batch a process takes, and in how many parts it passes them through the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nucleate.errors import ConfigError
from nucleate.training.processes import Processes
from nucleate.training.sampling import Slot


def check_divisible(images: int, *, parts: int, processes: Processes) -> None:
    """Raise a ConfigError unless a batch can be divided evenly.

    Args:
        images: SOLVER.IMS_PER_BATCH, of the whole step.
        parts: the recipe's `accumulate`.
        processes: who take the step together.
    """
    shares = parts * processes.count
    if images % shares:
        raise ConfigError(
            f"{images} images a step can't be divided into {processes.count} processes x accumulate={parts}: give a"
            f" multiple of {shares}",
            item="SOLVER.IMS_PER_BATCH",
        )


def shared_slots(plan: Iterable[Sequence[Slot]], *, parts: int, processes: Processes) -> Iterator[list[Slot]]:
    """Yield what one process passes through the network at once: `parts` lists for each batch of the plan.

    A part is the same images however many processes share it, so that its counts are the same.

    Args:
        plan: batches of equal size, which `check_divisible` found divisible.
        parts: of each batch.
        processes: who take the step together.
    """
    for batch in plan:
        size = len(batch) // (parts * processes.count)
        for part in range(parts):
            start = (part * processes.count + processes.rank) * size
            yield list(batch[start : start + size])
