"""A network in training: what takes a step, what is averaged, what a checkpoint holds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from nucleate.training.run_folder import TrainingState
from nucleate.training.sampling import Slot

Batch = TypeVar("Batch")
_Held_co = TypeVar("_Held_co", covariant=True)


@dataclass(frozen=True)
class Part(Generic[_Held_co]):
    """What is passed through the network at once: a step's batch, or a share of it.

    Args:
        slots: which images, and their places in the whole batch.
        batch: they.
    """

    slots: tuple[Slot, ...]
    batch: _Held_co


class Losses(Protocol):
    """The weighted parts of a step's loss."""

    def named(self) -> Iterable[tuple[str, Tensor]]:
        """Return name and value of each part."""
        ...

    def total(self) -> Tensor:
        """Return the sum, which the step differentiates."""
        ...

    def logged(self) -> Iterable[tuple[str, float]]:
        """Return numbers for the log beside the losses."""
        ...


class WeightAverage:
    """The average of a network's weights and statistics over its steps: steadier than the last step's.

    It is an exponential moving average, and from a step on, if asked for, a mean to which every further step adds
    alike (stochastic weight averaging: Izmailov et al., UAI 2018); what the moving average holds by then counts as as
    many steps as it looks back on, 1 / (1 - decay).

    Args:
        network: what is averaged; a copy of it holds the average.
        decay: share of the average that a step keeps; less in the first steps.
        mean_after: how many steps come before the mean; None takes none.

    Attributes:
        network: the average.
        updates: how many steps it has seen.
    """

    def __init__(self, network: nn.Module, decay: float, *, mean_after: int | None = None) -> None:
        self._decay = decay
        self._mean_after = mean_after
        self.updates = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)  # noqa: FBT003

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take a step's weights in."""
        self.updates += 1
        weight = self._weight()
        for kept, current in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(current, weight)
            else:
                kept.copy_(current)

    def _weight(self) -> float:
        """Return the share of the newest step."""
        moving = self.updates if self._mean_after is None else min(self.updates, self._mean_after)
        weight = 1 - min(self._decay, (1 + moving) / (10 + moving))
        return 1 / (1 / weight + self.updates - moving)

    def load(self, tensors: Mapping[str, Tensor], updates: int | None) -> None:
        """Go on with a stored average; one that has not counted its steps has seen many."""
        self.network.load_state_dict(dict(tensors))
        self.updates = round(10 / (1 - self._decay)) if updates is None else updates


@dataclass(kw_only=True)
class Trainee(Generic[Batch]):
    """A network with everything that its training steps need.

    Attributes:
        network: its weights are stepped.
        optimizer: every group has `initial_lr`.
        losses: the losses of a part, divided by counts of that part in all processes.
        rate: of an iteration (counted from 0), relative to each group's `initial_lr`.
        base_rate: for the log.
        clip: called between gradients and step.
        plain: what a part holds, as plain values and tensors; `file_names` of its images among them.
        remedy: what to do where the training diverges.
        average: what is kept and evaluated in the network's stead; None keeps the network itself.
        scaler: of the loss in fp16; None without.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    losses: Callable[[Part[Batch]], Losses]
    rate: Callable[[int], float]
    base_rate: float
    clip: Callable[[], None]
    plain: Callable[[Part[Batch]], dict[str, Any]]
    remedy: str
    average: WeightAverage | None = None
    scaler: torch.amp.GradScaler | None = None

    @property
    def kept(self) -> nn.Module:
        """Return the network whose weights count."""
        return self.network if self.average is None else self.average.network

    def set_rate(self, iteration: int) -> None:
        """Give every group the rate of an iteration."""
        factor = self.rate(iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def state(self, iteration: int, windows: Mapping[str, Sequence[float]] | None = None) -> TrainingState:
        """Return what a checkpoint after an iteration holds.

        Args:
            iteration: the last finished one, 0-based.
            windows: what the event log holds for its next line.
        """
        kept = _on_cpu(self.kept.state_dict())
        stepped = None if self.average is None else _on_cpu(self.network.state_dict())
        optimizer: dict[str, Any] = self.optimizer.state_dict()
        return TrainingState(
            iteration=iteration,
            model=kept,
            stepped=stepped,
            optimizer=optimizer,
            averaged_steps=None if self.average is None else self.average.updates,
            scaler=None if self.scaler is None else self.scaler.state_dict(),
            windows=None if windows is None else {name: list(values) for name, values in windows.items()},
        )

    def load(self, state: TrainingState) -> None:
        """Go on from a checkpoint; one without an optimiser's state starts it anew."""
        self.network.load_state_dict(state.model if state.stepped is None else state.stepped)
        if self.average is not None:
            self.average.load(state.model, state.averaged_steps)
        if self.scaler is not None and state.scaler is not None:
            self.scaler.load_state_dict(state.scaler)
        if state.optimizer is None:
            return
        rates = [group["initial_lr"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state.optimizer)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = rate


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
