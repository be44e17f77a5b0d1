"""The run folder that Detectron2's DefaultTrainer leaves: config.yaml, checkpoints, last_checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nucleate.errors import CheckpointError
from nucleate.files import write_path, write_text
from nucleate.models.checkpoints import LAST_NAME, half_where_it_fits, read_torch_file

CONFIG_NAME = "config.yaml"
# Beside what Detectron2 keeps; its own trainer takes no notice of them.
_EXTRAS = ("averaged_steps", "scaler", "windows")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """Where a training stands, as Detectron2's checkpoints keep it.

    Attributes:
        iteration: last finished iteration, 0-based.
        model: name -> tensor, the weights that count.
        stepped: the weights that the optimiser steps where `model` is their average; None where they are the same.
        optimizer: the optimiser's state, by position of the parameter; None where it was left out to save space.
        averaged_steps: how many steps the average has seen; None where there is none, or from before it was stored.
        scaler: of the loss in fp16; None without.
        windows: the last values of every scalar, of which the event log writes medians; None where not stored.
    """

    iteration: int
    model: dict[str, torch.Tensor]
    stepped: dict[str, torch.Tensor] | None
    optimizer: dict[str, Any] | None
    averaged_steps: int | None = None
    scaler: dict[str, Any] | None = None
    windows: dict[str, list[float]] | None = None


def checkpoint_name(iteration: int) -> str:
    """Return the file name of the checkpoint after the given 0-based iteration."""
    return f"model_{iteration:07d}.pth"


def save_checkpoint(folder: Path, name: str, state: TrainingState) -> None:
    """Write a checkpoint in Detectron2's layout and point `last_checkpoint` at it.

    Args:
        folder: the run folder.
        name: file name.
        state: tensors on the CPU.
    """
    iteration = state.iteration
    trainer: dict[str, Any] = {"iteration": iteration}
    if state.optimizer is not None:
        rates = [group["initial_lr"] for group in state.optimizer["param_groups"]]
        trainer["hooks"] = {"LRScheduler": {"base_lrs": rates, "last_epoch": iteration + 1}}
        trainer["_trainer"] = {"iteration": iteration, "optimizer": state.optimizer}
    if state.stepped is not None:
        trainer["stepped"] = state.stepped
    trainer |= {extra: getattr(state, extra) for extra in _EXTRAS if getattr(state, extra) is not None}
    content = {"model": state.model, "trainer": trainer, "iteration": iteration}
    with write_path(folder / name) as temporary:
        torch.save(content, temporary)
    write_text(folder / LAST_NAME, name)


def halved(state: TrainingState) -> TrainingState:
    """Return a state with the weights that count, in float16, and their number of steps: a training goes on from it."""
    model = {name: half_where_it_fits(each) for name, each in state.model.items()}
    return TrainingState(
        iteration=state.iteration, model=model, stepped=None, optimizer=None, averaged_steps=state.averaged_steps
    )


def last_checkpoint(folder: Path) -> Path | None:
    """Return the file that `last_checkpoint` names, None where there is no such file.

    Raises:
        CheckpointError: it names a file that is not there, or one outside of the folder.
    """
    pointer = folder / LAST_NAME
    if not pointer.is_file():
        return None
    name = pointer.read_text(encoding="utf-8").strip()
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise CheckpointError(f"names {name!r}, which is not in the folder", path=pointer)
    return path


def read_state(path: Path) -> TrainingState:
    """Return the state in a checkpoint that a training wrote.

    Raises:
        CheckpointError: damaged, or weights alone.
    """
    content = read_torch_file(path)
    try:
        trainer = content["trainer"]
        return TrainingState(
            iteration=int(trainer["iteration"]),
            model=_float32(content["model"]),
            stepped=_float32(trainer["stepped"]) if "stepped" in trainer else None,
            optimizer=trainer["_trainer"]["optimizer"] if "_trainer" in trainer else None,
            **{name: trainer[name] for name in _EXTRAS if name in trainer},
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError("holds no training state: start from it with --weights instead", path=path) from error


def _float32(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
