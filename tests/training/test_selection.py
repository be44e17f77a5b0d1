"""What is best and when to stop, from the lines of metrics.json; nothing is trained."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from nucleate.errors import ConfigError
from nucleate.training.selection import Selection, selection_metric
from nucleate.training.settings import LoopSettings


def line(iterations: int, pq: float) -> dict[str, float]:
    return {"iteration": iterations, "PQ": pq, "segm/AP": 1.0, "score_threshold": 0.25}


def take(selection: Selection, iterations: int, pq: float) -> None:
    selection.take(iterations, line(iterations, pq), lambda: {"weight": torch.tensor([float(iterations)])})


def test_the_best_weights_are_kept_and_told(tmp_path: Path) -> None:
    selection = Selection(tmp_path, "PQ", 0, [])
    assert selection.record() == {}
    for iterations, pq in ((10, 40.0), (20, 50.0), (30, 45.0), (40, math.nan), (50, 50.0)):
        take(selection, iterations, pq)
    stored = torch.load(tmp_path / "model_best.pth", weights_only=True)
    assert stored["model"]["weight"] == 20.0
    assert stored["best"] == selection.record()
    assert selection.record() == {
        "file": "model_best.pth",
        "metric": "PQ",
        "score": 50.0,
        "iterations": 20,
        "score_threshold": 0.25,
    }
    assert not selection.exhausted


def test_a_resumed_training_knows_what_was_best_and_for_how_long(tmp_path: Path) -> None:
    selection = Selection(tmp_path, "PQ", 2, [{"iteration": 19, "total_loss": 1.0}, line(10, 50.0), line(20, 40.0)])
    before = selection.exhausted
    take(selection, 30, 49.0)
    assert (before, selection.exhausted) == (False, True)
    assert not (tmp_path / "model_best.pth").exists()


def test_scores_of_other_splits_choose_nothing(tmp_path: Path) -> None:
    """`evaluate RUN --on test` writes a line too."""
    scored = {name: value for name, value in line(20, 90.0).items() if name != "score_threshold"}
    selection = Selection(tmp_path, "PQ", 0, [line(10, 50.0), scored])
    assert selection.best is not None
    assert selection.best.iterations == 10


def test_the_last_evaluation_of_a_stopped_training_counts_once(tmp_path: Path) -> None:
    selection = Selection(tmp_path, "PQ", 1, [])
    take(selection, 10, 50.0)
    take(selection, 20, 40.0)
    take(selection, 20, 60.0)
    assert selection.exhausted
    assert selection.record()["score"] == 50.0


@pytest.mark.parametrize(
    ("settings", "splits", "has_images", "period", "metric"),
    [
        (LoopSettings(), ("val",), True, 10, "PQ"),
        (LoopSettings(best="segm/AP"), ("val",), True, 10, "segm/AP"),
        (LoopSettings(best="none"), ("val",), True, 10, None),
        (LoopSettings(), ("test",), True, 10, None),
        (LoopSettings(), ("val",), True, 0, None),
        (LoopSettings(), (), False, 10, None),
    ],
)
def test_what_is_chosen_by(
    settings: LoopSettings, splits: tuple[str, ...], has_images: bool, period: int, metric: str | None
) -> None:
    assert selection_metric(settings, splits, has_images=has_images, evaluation_period=period) == metric


@pytest.mark.parametrize(
    ("settings", "splits", "has_images", "period", "message"),
    [
        (LoopSettings(best="PQ"), ("test",), True, 10, r"best: .*DATASETS\.TEST is test: models are scored"),
        (LoopSettings(patience=3), ("all",), True, 10, r"patience: .*DATASETS\.TEST is all"),
        (LoopSettings(patience=3), (), False, 10, r"patience: .*is nothing"),
        (LoopSettings(patience=3), ("val",), False, 10, "has no split val"),
        (LoopSettings(best="PQ"), ("val",), True, 0, r"TEST\.EVAL_PERIOD"),
    ],
)
def test_choosing_without_a_split_for_it_is_refused(
    settings: LoopSettings, splits: tuple[str, ...], has_images: bool, period: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        selection_metric(settings, splits, has_images=has_images, evaluation_period=period)


@pytest.mark.parametrize("wrong", [{"accumulate": 0}, {"patience": -1}, {"patience": 2, "best": "none"}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        LoopSettings(**wrong)  # type: ignore[arg-type]
