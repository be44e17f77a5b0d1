from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nucleate.files import read_rgb
from nucleate.training.curves import CURVES_PATH, curves_figure, write_curves

TRAINING: list[dict[str, Any]] = [
    {"iteration": 19, "total_loss": 3.0, "loss_mask": 1.0, "loss_cls": 2.0, "lr": 0.01},
    {"iteration": 39, "total_loss": 2.0, "loss_mask": 0.5, "loss_cls": 1.5, "lr": 0.005},
]
SCORED: list[dict[str, Any]] = [
    {"iteration": 20, "PQ": 10.0, "segm/AP": 5.0, "segm/AP50": 9.0, "bbox/AP": math.nan},
    {"iteration": 40, "PQ": 30.0, "segm/AP": 15.0, "segm/AP50": 29.0, "bbox/AP": math.nan},
]


def write(folder: Path, *lines: dict[str, Any]) -> None:
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


def curve(axes: Any, label: str) -> list[tuple[float, float]]:
    (line,) = [each for each in axes.get_lines() if each.get_label().startswith(label)]
    return [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_losses_scores_and_rate_are_drawn_at_iterations_done() -> None:
    losses, scores, rate = curves_figure(TRAINING, SCORED).axes
    assert curve(losses, "total") == [(20, 3.0), (40, 2.0)]
    assert curve(losses, "mask") == [(20, 1.0), (40, 0.5)]
    assert curve(scores, "PQ 30.0") == [(20, 10.0), (40, 30.0)]
    assert curve(scores, "segm AP 15.0") == [(20, 5.0), (40, 15.0)]
    assert not [each for each in scores.get_lines() if str(each.get_label()).startswith("bbox")]
    assert curve(rate, "_child0") == [(20, 0.01), (40, 0.005)]


def test_a_run_without_validation_has_two_panels() -> None:
    assert len(curves_figure(TRAINING, []).axes) == 2


@pytest.mark.parametrize(("first", "scale"), [(3.0, "linear"), (300.0, "log")])
def test_a_loss_that_falls_far_is_drawn_on_a_logarithmic_scale(first: float, scale: str) -> None:
    losses = curves_figure([{**TRAINING[0], "total_loss": first}, TRAINING[1]], []).axes[0]
    assert losses.get_yscale() == scale


def test_the_picture_is_made_of_metrics_and_leaves_other_evaluations_out(tmp_path: Path) -> None:
    write(tmp_path, *TRAINING, SCORED[0])
    assert write_curves(tmp_path) == tmp_path / CURVES_PATH
    with_scores = read_rgb(tmp_path / CURVES_PATH)
    # What `evaluate` appends, perhaps of another split.
    write(tmp_path, *TRAINING, {"iteration": 40, "segm/AP": 5.0})
    write_curves(tmp_path)
    assert read_rgb(tmp_path / CURVES_PATH).shape[1] < with_scores.shape[1]


def test_before_the_first_line_there_is_no_picture(tmp_path: Path) -> None:
    assert write_curves(tmp_path) is None
    assert not (tmp_path / CURVES_PATH).exists()
