"""The run folder that Detectron2's DefaultTrainer leaves: config.yaml, checkpoints, last_checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nucleate.errors import CheckpointError
from nucleate.files import write_path, write_text
from nucleate.models.checkpoints import read_torch_file

CONFIG_NAME = "config.yaml"
LAST_NAME = "last_checkpoint"
FINAL_NAME = "model_final.pth"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """Where a training stands, as Detectron2's checkpoints keep it.

    Attributes:
        iteration: last finished iteration, 0-based.
        model: name -> tensor.
        optimizer: the optimiser's state, by position of the parameter.
    """

    iteration: int
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]


def checkpoint_name(iteration: int) -> str:
    """Return the file name of the checkpoint after the given 0-based iteration."""
    return f"model_{iteration:07d}.pth"


def save_checkpoint(
    folder: Path, name: str, network: nn.Module, optimizer: torch.optim.Optimizer, iteration: int
) -> None:
    """Write a checkpoint in Detectron2's layout and point `last_checkpoint` at it.

    Args:
        folder: the run folder.
        name: file name.
        network: its weights are written on the CPU in float32.
        optimizer: its state goes along.
        iteration: last finished iteration, 0-based.
    """
    groups = optimizer.param_groups
    content = {
        "model": {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()},
        "trainer": {
            "iteration": iteration,
            "hooks": {
                "LRScheduler": {
                    "base_lrs": [group["initial_lr"] for group in groups],
                    "last_epoch": iteration + 1,
                }
            },
            "_trainer": {"iteration": iteration, "optimizer": optimizer.state_dict()},
        },
        "iteration": iteration,
    }
    with write_path(folder / name) as temporary:
        torch.save(content, temporary)
    write_text(folder / LAST_NAME, name)


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
            model=content["model"],
            optimizer=trainer["_trainer"]["optimizer"],
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError("holds no training state: start from it with --weights instead", path=path) from error
