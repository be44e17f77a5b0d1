"""One step of a training: the losses of its parts, their gradients from all processes, the optimiser, the average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Generic

import torch
from torch import nn

from nucleate.training.processes import Processes
from nucleate.training.trainee import Batch, Losses, Part, Trainee

# Below it a loss scale only tells that no gradient is finite any more (it starts at 65,536).
_LOWEST_SCALE = 2.0**-10


class DivergenceError(Exception):
    """A loss or a gradient is not finite; nothing was stepped.

    Args:
        reason: which, for people.
        parts: where, as far as this process holds them; none where another process has it.
    """

    def __init__(self, reason: str, parts: Sequence[Part[object]]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.parts = tuple(parts)


class Stepper(Generic[Batch]):
    """Takes steps.

    Args:
        trainee: what is trained.
        processes: who takes them together.
        seed: of what torch draws.
    """

    def __init__(self, trainee: Trainee[Batch], processes: Processes, seed: int) -> None:
        self._trainee = trainee
        self._processes = processes
        self._seed = seed
        self._parameters = [each for group in trainee.optimizer.param_groups for each in group["params"]]

    def step(self, parts: Sequence[Part[Batch]], iteration: int, *, stop: bool) -> tuple[dict[str, float], bool]:
        """Take a step.

        Args:
            parts: of the step's batch; their gradients are averaged.
            iteration: 0-based.
            stop: this process was asked to stop after the step.

        Returns:
            The losses and what is logged beside them; whether any process was asked to stop.

        Raises:
            DivergenceError: a loss or gradient is not finite.
        """
        trainee = self._trainee
        trainee.set_rate(iteration)
        # A stream of its own for every iteration: a resumed training draws what it would have drawn.
        torch.manual_seed(self._seed * 1_000_003 + iteration)
        trainee.optimizer.zero_grad(set_to_none=True)
        every: list[Losses] = []
        bad: list[tuple[Part[Batch], str]] = []
        for part in parts:
            try:
                losses = trainee.losses(part)
                total = losses.total() / len(parts)
            except FloatingPointError as error:
                raise DivergenceError(str(error), [part]) from error
            if not bool(torch.isfinite(total)):
                bad.append((part, ", ".join(f"{name} {float(loss.detach()):.4g}" for name, loss in losses.named())))
            scaled = total if trainee.scaler is None else trainee.scaler.scale(total)
            scaled.backward()  # type: ignore[no-untyped-call]
            every.append(losses)
        self._processes.sum_gradients(self._parameters)
        if trainee.scaler is not None:
            trainee.scaler.unscale_(trainee.optimizer)
        bad_gradients = self._bad_gradients()
        bad_loss, bad_gradients, stop = self._processes.any_of(bool(bad), bad_gradients, stop)
        if bad:
            raise DivergenceError(bad[0][1], [part for part, _ in bad])
        if bad_loss:
            raise DivergenceError("the loss of another process", [])
        if bad_gradients:
            # They were added up: every process has them, one keeps its part of the batch.
            raise DivergenceError("gradients are not finite", parts if self._processes.is_first else [])
        self._update()
        # As Detectron2 stores it: the rate of the next iteration.
        trainee.set_rate(iteration + 1)
        return self._scalars(every), stop

    def _bad_gradients(self) -> bool:
        scaler = self._trainee.scaler
        if scaler is not None:
            # Not finite is how fp16 finds its scale: the scaler leaves the step out and halves it.
            return scaler.get_scale() < _LOWEST_SCALE
        gradients = [each.grad for each in self._parameters if each.grad is not None]
        return not bool(torch.isfinite(nn.utils.get_total_norm(gradients, foreach=True)))

    def _update(self) -> None:
        trainee = self._trainee
        trainee.clip()
        if trainee.scaler is None:
            trainee.optimizer.step()
        else:
            trainee.scaler.step(trainee.optimizer)
            trainee.scaler.update()
        if trainee.average is not None:
            trainee.average.update(trainee.network)

    def _scalars(self, every: Sequence[Losses]) -> dict[str, float]:
        """Return the losses of the whole batch, and means over the parts here of what is logged beside them."""
        named: dict[str, float] = {}
        for losses in every:
            for name, loss in losses.named():
                named[name] = named.get(name, 0.0) + float(loss.detach()) / len(every)
        values = self._processes.total(torch.tensor(list(named.values()), dtype=torch.float64)).tolist()
        named = dict(zip(named, values, strict=True))
        logged: dict[str, list[float]] = {}
        for losses in every:
            for name, value in losses.logged():
                logged.setdefault(name, []).append(value)
        means = {name: math.fsum(values) / len(values) for name, values in logged.items()}
        return {"total_loss": math.fsum(named.values()), **named, **means}
