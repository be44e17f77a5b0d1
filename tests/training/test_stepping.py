"""Steps of a network of one layer: parts, loss scale, divergence, signals."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from nucleate.training.interruption import Interruption
from nucleate.training.processes import ALONE
from nucleate.training.sampling import Slot
from nucleate.training.stepping import DivergenceError, Stepper
from nucleate.training.trainee import Part, Trainee


@dataclass
class OneLoss:
    loss: Tensor

    def named(self) -> Iterator[tuple[str, Tensor]]:
        yield "loss_square", self.loss

    def total(self) -> Tensor:
        return self.loss

    def logged(self) -> Iterator[tuple[str, float]]:
        yield "largest", float(self.loss.detach())


def trainee(scaler: torch.amp.GradScaler | None = None) -> Trainee[Tensor]:
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    optimizer.param_groups[0]["initial_lr"] = 0.1
    return Trainee(
        network=network,
        optimizer=optimizer,
        losses=lambda part: OneLoss((network(part.batch) ** 2).mean()),
        rate=lambda _: 1.0,
        base_rate=0.1,
        clip=lambda: None,
        plain=lambda part: {"file_names": [str(slot.record_index) for slot in part.slots]},
        remedy="",
        scaler=scaler,
    )


def parts(values: Tensor, count: int) -> list[Part[Tensor]]:
    slots = tuple(Slot(iteration=0, position=index, record_index=index) for index in range(len(values)))
    size = len(values) // count
    return [Part(slots[start : start + size], values[start : start + size]) for start in range(0, len(values), size)]


BATCH = torch.arange(12.0).reshape(4, 3) / 10


def test_a_step_in_parts_is_the_step_of_the_whole_batch() -> None:
    whole, divided = trainee(), trainee()
    first, _ = Stepper(whole, ALONE, 1).step(parts(BATCH, 1), 0, stop=False)
    second, _ = Stepper(divided, ALONE, 1).step(parts(BATCH, 4), 0, stop=False)
    assert torch.allclose(whole.network.weight, divided.network.weight)  # type: ignore[arg-type]
    assert second["total_loss"] == pytest.approx(first["total_loss"])
    assert second["largest"] == pytest.approx(first["largest"])


def test_a_loss_that_is_not_finite_names_its_part_and_steps_nothing() -> None:
    values = BATCH.clone()
    values[2, 0] = math.nan
    learner = trainee()
    before = learner.network.weight.clone()  # type: ignore[operator]
    with pytest.raises(DivergenceError, match="loss_square nan") as caught:
        Stepper(learner, ALONE, 1).step(parts(values, 2), 0, stop=False)
    assert [slot.record_index for part in caught.value.parts for slot in part.slots] == [2, 3]
    assert torch.equal(learner.network.weight, before)  # type: ignore[arg-type]


def test_gradients_that_are_not_finite_are_found_before_they_spoil_the_weights() -> None:
    learner = trainee()
    before = learner.network.weight.clone()  # type: ignore[operator]
    # The root of zero: a finite loss with an infinite slope.
    learner.losses = lambda part: OneLoss((learner.network(part.batch) * 0).abs().sqrt().mean())
    with pytest.raises(DivergenceError, match="gradients") as caught:
        Stepper(learner, ALONE, 1).step(parts(BATCH, 2), 0, stop=False)
    assert len(caught.value.parts) == 2
    assert torch.equal(learner.network.weight, before)  # type: ignore[arg-type]


def test_the_loss_scale_leaves_out_steps_and_falls_until_it_is_a_divergence() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**-9)
    learner = trainee(scaler)
    before = learner.network.weight.clone()  # type: ignore[operator]
    learner.losses = lambda part: OneLoss((learner.network(part.batch) * 0).abs().sqrt().mean())
    stepper = Stepper(learner, ALONE, 1)
    for iteration in range(2):
        stepper.step(parts(BATCH, 1), iteration, stop=False)
    assert scaler.get_scale() == 2.0**-11
    assert torch.equal(learner.network.weight, before)  # type: ignore[arg-type]
    with pytest.raises(DivergenceError):
        stepper.step(parts(BATCH, 1), 2, stop=False)


def test_a_scaled_step_is_the_step() -> None:
    plain, scaled = trainee(), trainee(torch.amp.GradScaler("cpu"))
    for learner in (plain, scaled):
        Stepper(learner, ALONE, 1).step(parts(BATCH, 1), 0, stop=False)
    assert torch.allclose(plain.network.weight, scaled.network.weight)  # type: ignore[arg-type]


def test_the_loss_scale_is_part_of_the_state() -> None:
    learner = trainee(torch.amp.GradScaler("cpu", init_scale=4.0))
    Stepper(learner, ALONE, 1).step(parts(BATCH, 1), 0, stop=False)
    again = trainee(torch.amp.GradScaler("cpu"))
    again.load(learner.state(0))
    assert again.scaler is not None
    assert again.scaler.get_scale() == 4.0


@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_waits_for_the_end_of_a_step_and_a_second_one_does_not() -> None:
    interruption = Interruption()
    with interruption.listening():
        with interruption.held():
            signal.raise_signal(signal.SIGINT)
            assert interruption.requested
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
