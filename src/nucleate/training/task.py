"""What a kind of network brings to a training; the session does what all trainings share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nucleate.core import Instances
from nucleate.data import CocoDataset, FoldSplit
from nucleate.export import ImagePredictions
from nucleate.models.run_card import RunCard
from nucleate.training.processes import ALONE, Processes
from nucleate.training.recipes import Recipe
from nucleate.training.trainee import Batch, Part, Trainee


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What to train.

    Attributes:
        data: a folder that `prepare` made, or one COCO file.
        recipe: with the user's overrides.
        output: the run folder.
        weights: a checkpoint to start from.
        resume: go on from `last_checkpoint`, or from the start where a training ended before its first one.
        device: where.
        fold: the images of one fold, instead of the folder's splits.
        processes: who take the steps together, as this one of them sees them.
    """

    data: Path
    recipe: Recipe
    output: Path
    weights: Path | None
    resume: bool
    device: torch.device
    fold: FoldSplit | None = None
    processes: Processes = ALONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How long a training is and what happens when.

    Attributes:
        iterations: in all.
        checkpoint_period: iterations between checkpoints.
        evaluation_period: iterations between evaluations; 0 evaluates at the end alone.
        seed: of everything that is drawn.
        parts: that a step's batch is passed through the network in.
    """

    iterations: int
    checkpoint_period: int
    evaluation_period: int
    seed: int
    parts: int = 1


class Task(ABC, Generic[Batch]):
    """One training of one kind of network.

    Attributes:
        train: the split that is trained on.
        validation: the split that is evaluated; None for none.
        record_indices: the images of `train` that are used.
        course: length and periods.
        precision: of the built network, by name.
    """

    train: CocoDataset
    validation: CocoDataset | None
    record_indices: tuple[int, ...]
    course: Course
    precision: str

    @abstractmethod
    def build(self) -> Trainee[Batch]:
        """Return the network with its initial weights on the request's device, and its optimiser."""

    @abstractmethod
    def start(self, trainee: Trainee[Batch]) -> str:
        """Fill the weights that a training starts from; return one line on where they come from.

        Raises:
            CheckpointError: the file of the request is damaged or doesn't fit.
        """

    @abstractmethod
    def batches(self, first_iteration: int) -> Iterator[Part[Batch]]:
        """Return this process' parts of the batches from an iteration on, interrupted training or not the same ones."""

    @abstractmethod
    def predict(self, network: nn.Module, dataset: CocoDataset) -> list[ImagePredictions]:
        """Return what a network finds in the validation images, every detection kept."""

    def tune(self, network: nn.Module, dataset: CocoDataset) -> None:
        """Choose by the validation images how the finished network's answers are read, if there is a choice."""

    @abstractmethod
    def samples(self, count: int) -> tuple[Sequence[NDArray[np.uint8]], Sequence[Instances]]:
        """Return what the network is fed: (H, W, 3) RGB images and their nuclei."""

    @abstractmethod
    def describe(self, card: RunCard) -> RunCard:
        """Return the card with what this kind of network adds."""

    def write_config(self, folder: Path) -> None:
        """Write a configuration file of this kind's own format, if it has one."""
