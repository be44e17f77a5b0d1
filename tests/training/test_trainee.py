"""The average of a network's weights: a moving one, then a mean that counts every step alike."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nucleate.training.trainee import WeightAverage


class Number(nn.Module):
    """One weight and one count."""

    count: torch.Tensor

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))
        self.register_buffer("count", torch.tensor(0))


def averaged(average: WeightAverage, values: list[float]) -> list[float]:
    means = []
    for value in values:
        average.update(Number(value))
        means.append(float(average.network.state_dict()["weight"]))
    return means


def test_the_first_steps_count_more() -> None:
    # 1 - 2/11 of the first, 1 - 3/12 of the second.
    assert averaged(WeightAverage(Number(), 0.998), [1.0, 1.0]) == pytest.approx([9 / 11, 9 / 11 * 3 / 12 + 9 / 12])


def test_a_moving_average_forgets() -> None:
    means = averaged(WeightAverage(Number(), 0.5), [0.0] * 20 + [1.0] * 3)
    assert means[-3:] == pytest.approx([0.5, 0.75, 0.875])


def test_every_step_of_the_mean_counts_alike() -> None:
    """The moving average of decay 0.5 stands for two steps; after it each step is one more."""
    means = averaged(WeightAverage(Number(), 0.5, mean_after=20), [3.0] * 20 + [6.0, 0.0, 12.0])
    before = means[19]
    assert before == pytest.approx(3.0, abs=1e-4)
    assert means[-3:] == pytest.approx([(2 * before + 6) / 3, (2 * before + 6) / 4, (2 * before + 18) / 5])


def test_a_mean_from_the_first_step_on_counts_the_start_too() -> None:
    # Before any step the newest would have 1 - 1/10, so the start counts as 10/9 steps.
    assert averaged(WeightAverage(Number(5.0), 0.998, mean_after=0), [1.0])[0] == pytest.approx(
        (5 * 10 / 9 + 1) / (10 / 9 + 1)
    )


def test_a_stored_mean_goes_on_alike() -> None:
    values = [4.0, 2.0, 8.0, 1.0, 5.0, 3.0]
    at_once = averaged(WeightAverage(Number(), 0.5, mean_after=2), values)
    stopped = WeightAverage(Number(), 0.5, mean_after=2)
    averaged(stopped, values[:4])
    resumed = WeightAverage(Number(), 0.5, mean_after=2)
    resumed.load(stopped.network.state_dict(), stopped.updates)
    assert averaged(resumed, values[4:]) == pytest.approx(at_once[4:])


def test_counts_are_copied() -> None:
    network = Number()
    network.count.fill_(7)
    average = WeightAverage(Number(), 0.5, mean_after=0)
    average.update(network)
    assert int(average.network.state_dict()["count"]) == 7
