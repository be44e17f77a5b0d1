"""A network in training: what takes a step, what is averaged, what a checkpoint holds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from nucleate.training.run_folder import TrainingState

Batch = TypeVar("Batch")


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
    """The exponential moving average of a network's weights and statistics: steadier than the last step's.

    Args:
        network: what is averaged; a copy of it holds the average.
        decay: share of the average that a step keeps; less in the first steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)  # noqa: FBT003

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take a step's weights in."""
        self._updates += 1
        weight = 1 - min(self._decay, (1 + self._updates) / (10 + self._updates))
        for kept, current in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(current, weight)
            else:
                kept.copy_(current)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with a stored average that has seen many steps."""
        self.network.load_state_dict(dict(tensors))
        self._updates = round(10 / (1 - self._decay))


@dataclass(kw_only=True)
class Trainee(Generic[Batch]):
    """A network with everything that its training steps need.

    Attributes:
        network: its weights are stepped.
        optimizer: every group has `initial_lr`.
        losses: the losses of a batch.
        rate: of an iteration (counted from 0), relative to each group's `initial_lr`.
        base_rate: for the log.
        clip: called between gradients and step.
        average: what is kept and evaluated in the network's stead; None keeps the network itself.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    losses: Callable[[Batch], Losses]
    rate: Callable[[int], float]
    base_rate: float
    clip: Callable[[], None]
    average: WeightAverage | None = None

    @property
    def kept(self) -> nn.Module:
        """Return the network whose weights count."""
        return self.network if self.average is None else self.average.network

    def set_rate(self, iteration: int) -> None:
        """Give every group the rate of an iteration."""
        factor = self.rate(iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def state(self, iteration: int) -> TrainingState:
        """Return what a checkpoint after an iteration holds."""
        kept = _on_cpu(self.kept.state_dict())
        stepped = None if self.average is None else _on_cpu(self.network.state_dict())
        optimizer: dict[str, Any] = self.optimizer.state_dict()
        return TrainingState(iteration=iteration, model=kept, stepped=stepped, optimizer=optimizer)

    def load(self, state: TrainingState) -> None:
        """Go on from a checkpoint; one without an optimiser's state starts it anew."""
        self.network.load_state_dict(state.model if state.stepped is None else state.stepped)
        if self.average is not None:
            self.average.load(state.model)
        if state.optimizer is None:
            return
        rates = [group["initial_lr"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state.optimizer)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = rate


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
