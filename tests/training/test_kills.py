"""A training that is killed and resumed ends as one that was not, bit for bit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nucleate.models.run_card import RunCard
from nucleate.training.events import read_metrics
from tests.training.kills import MOMENTS, Kill, train_in_processes
from tests.training.star_convex.test_star_convex_session import SMALL
from tests.training.test_session import OURS, write_coco

ITERATIONS = 23
# Checkpoints between the lines of metrics.json, whose medians then reach over a resumption.
COURSE = (f"SOLVER.MAX_ITER={ITERATIONS}", "SOLVER.CHECKPOINT_PERIOD=4", "TEST.EVAL_PERIOD=8", "average_decay=0.9")
STARS = (*SMALL, *(each for each in COURSE if "average" not in each), "start=none", "optimisation.mean_share=0.5")
OF_THE_CLOCK = {"time", "data_time", "rank_data_time", "eta_seconds"}


def assert_same_end(whole: Path, parts: Path) -> None:
    first, second = (torch.load(folder / "model_final.pth", weights_only=True) for folder in (whole, parts))
    _assert_equal(first, second, "")
    best = [torch.load(folder / "model_best.pth", weights_only=True) for folder in (whole, parts)]
    _assert_equal(best[0], best[1], "best")
    # NaN is no number to compare: as text it is.
    lines = [[str(_untimed(line)) for line in read_metrics(folder)] for folder in (whole, parts)]
    assert lines[0] == lines[1]
    cards = [RunCard.read(folder) for folder in (whole, parts)]
    assert cards[0].best == cards[1].best
    assert cards[0].score_threshold == cards[1].score_threshold
    assert cards[1].iterations == ITERATIONS
    for name in ("total_loss", "segm/AP"):
        assert _steps(whole, name) == _steps(parts, name)


def _steps(folder: Path, name: str) -> list[int]:
    board = EventAccumulator(str(folder))
    board.Reload()
    return [event.step for event in board.Scalars(name)]


def _untimed(line: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in sorted(line.items()) if name not in OF_THE_CLOCK}


def _assert_equal(first: Any, second: Any, where: str) -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert set(first) == set(second), where
        for name in first:
            if name not in OF_THE_CLOCK:
                _assert_equal(first[name], second[name], f"{where}.{name}")
    elif isinstance(first, list):
        assert len(first) == len(second), where
        for index, each in enumerate(first):
            _assert_equal(each, second[index], f"{where}[{index}]")
    else:
        assert first == second or first != first, where


def killed_and_resumed(data: Path, folder: Path, overrides: tuple[str, ...], kills: list[Kill], recipe: str) -> None:
    train_in_processes(data, folder / "whole", overrides, recipe=recipe)
    for index, kill in enumerate(kills):
        train_in_processes(data, folder / "parts", overrides, recipe=recipe, kill=kill, resume=index > 0)
    train_in_processes(data, folder / "parts", overrides, recipe=recipe, resume=True)
    assert_same_end(folder / "whole", folder / "parts")


def seeded_kills(count: int, seed: int) -> list[Kill]:
    """Return kills at rising iterations, so that every process gets as far as its own."""
    rng = random.Random(seed)
    points = sorted(rng.choices(range(1, ITERATIONS + 1), k=count))
    return [(rng.choice(MOMENTS), iterations) for iterations in points]


@pytest.mark.timeout(1800)
def test_three_kills_leave_no_trace(tmp_path: Path) -> None:
    """Before the first checkpoint, while one is written, and in the last evaluation."""
    data = write_coco(tmp_path / "data", rle=True)
    kills: list[Kill] = [
        ("after a step", random.Random(7).randrange(1, 4)),
        ("while a checkpoint is written", 12),
        ("after it is written", ITERATIONS),
    ]
    killed_and_resumed(data, tmp_path, (*OURS, *COURSE), kills, "mask-rcnn-cpu")


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("recipe", "overrides"), [("mask-rcnn-cpu", (*OURS, *COURSE)), ("star-convex", STARS)], ids=["boxes", "stars"]
)
def test_twenty_kills_leave_no_trace(tmp_path: Path, recipe: str, overrides: tuple[str, ...]) -> None:
    data = write_coco(tmp_path / "data", rle=True)
    killed_and_resumed(data, tmp_path, overrides, seeded_kills(20, seed=3), recipe)
