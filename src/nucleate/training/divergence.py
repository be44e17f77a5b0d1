"""The batch on which a training diverged, kept to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from nucleate.errors import TrainingError
from nucleate.files import write_path
from nucleate.training.stepping import DivergenceError
from nucleate.training.trainee import Part

DIVERGED_NAME = "diverged_batch.pt"
_MOST_NAMES = 8


def keep_diverged(
    folder: Path, iteration: int, error: DivergenceError, plain: Callable[[Part[Any]], dict[str, Any]], remedy: str
) -> TrainingError:
    """Write the batch into the run folder and return what to raise.

    The file holds plain values and tensors alone: `torch.load(path, weights_only=True)` reads it, a dictionary of
    `iteration`, `reason` and `parts`, each with `file_names` and what the network was fed.

    Args:
        folder: the run folder.
        iteration: 0-based.
        error: what went wrong on which parts; without parts another process writes the file.
        plain: what a part holds.
        remedy: what to do.
    """
    started = f"diverged at iteration {iteration} ({error.reason})"
    if not error.parts:
        return TrainingError(f"{started}: {remedy}")
    parts = [plain(part) for part in error.parts]
    path = folder / DIVERGED_NAME
    with write_path(path) as temporary:
        torch.save({"iteration": iteration, "reason": error.reason, "parts": parts}, temporary)
    names = [name for part in parts for name in part["file_names"]]
    return TrainingError(
        f"{started} on {_listed(names)}; the batch is in {path.name}, the last checkpoint is as it was: {remedy}",
        path=folder,
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
