"""Losses, scores and rate over the iterations as one picture: `pictures/curves.png`, made from metrics.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.export.figures import figure_png
from nucleate.files import write_bytes
from nucleate.pages.charts import SETTINGS
from nucleate.pages.colours import BLACK, BLUE, GREEN, PURPLE, SKY, VERMILION
from nucleate.training.events import PQ_NAME, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES_PATH = Path("pictures", "curves.png")
_TOTAL = "total_loss"
_PARTS = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (PURPLE, ":"), (SKY, (0, (5, 1, 1, 1, 1, 1))))
_SCORES = (
    (PQ_NAME, "PQ", BLACK, "o-"),
    ("segm/AP50", "segm AP50", SKY, "v:"),
    ("segm/AP", "segm AP", BLUE, "s-"),
    ("bbox/AP", "bbox AP", VERMILION, "^--"),
)
_WIDTH_IN, _HEIGHT_IN = 13.0, 4.2
_TALLEST_RATIO = 50.0
"""Losses of which the first is this much above the last are shown on a logarithmic scale."""

Lines = Sequence[dict[str, float]]


def write_curves(run_folder: Path) -> Path | None:
    """Draw the curves of a run so far, those before a resumption too.

    Args:
        run_folder: with its metrics.json.

    Returns:
        The picture; None where no line is written yet.

    Raises:
        ResultsError: it can't be written.
    """
    lines = read_metrics(run_folder)
    training = [line for line in lines if _TOTAL in line]
    if not training:
        return None
    # Lines of `evaluate` have no PQ here, and may be of another split.
    scored = [line for line in lines if PQ_NAME in line]
    path = run_folder / CURVES_PATH
    write_bytes(path, figure_png(curves_figure(training, scored), dpi=110))
    return path


def curves_figure(training: Lines, scored: Lines) -> Figure:
    """Return the losses and the learning rate, and the scores where there are any.

    Args:
        training: lines of metrics.json with losses, at least one.
        scored: lines of evaluations on the validation split.
    """
    # Imported here: it takes a second, which commands that draw nothing needn't wait for.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        panels = 3 if scored else 2
        figure = Figure(figsize=(_WIDTH_IN * panels / 3, _HEIGHT_IN), layout="constrained")
        axes = figure.subplots(1, panels, width_ratios=[1.15, 1, 0.7] if scored else [1.15, 0.7])
        last = max(line["iteration"] for line in (*training, *scored)) + 1
        _draw_losses(axes[0], training)
        if scored:
            _draw_scores(axes[1], scored)
        _draw_rate(axes[-1], training)
        for each in axes:
            each.set_xlim(0, last * 1.02)
            each.set_xlabel("iterations")
        return figure


def _draw_losses(axes: Axes, training: Lines) -> None:
    steps = [line["iteration"] + 1 for line in training]
    marker = "o" if len(training) == 1 else ""
    axes.plot(
        steps, [line[_TOTAL] for line in training], color=BLACK, linewidth=2.0, marker=marker, label="total", zorder=4
    )
    parts = sorted({name for line in training for name in line if name.startswith("loss_")})
    for place, name in enumerate(parts):
        colour, style = _PARTS[place % len(_PARTS)]
        values = [line.get(name, math.nan) for line in training]
        label = name.removeprefix("loss_").replace("_", " ")
        axes.plot(steps, values, color=colour, linestyle=style, linewidth=1.4, marker=marker, label=label)
    finite = [line[_TOTAL] for line in training if math.isfinite(line[_TOTAL])]
    if finite and min(finite) > 0 and max(finite) > _TALLEST_RATIO * min(finite):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title("losses (medians of 20 iterations)", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, ncols=2)


def _draw_scores(axes: Axes, scored: Lines) -> None:
    steps = [line["iteration"] for line in scored]
    for name, label, colour, style in _SCORES:
        values = [line.get(name, math.nan) for line in scored]
        known = [value for value in values if math.isfinite(value)]
        if known:
            axes.plot(steps, values, style, color=colour, linewidth=1.6, markersize=4, label=f"{label} {known[-1]:.1f}")
    axes.set_ylim(0, 100)
    axes.set_title("validation, percent (the last beside its name)", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="best")


def _draw_rate(axes: Axes, training: Lines) -> None:
    steps = [line["iteration"] + 1 for line in training]
    rates = [line.get("lr", math.nan) for line in training]
    axes.plot(steps, rates, color=GREEN, linewidth=1.6, marker="o" if len(training) == 1 else "")
    axes.set_ylim(bottom=0)
    axes.set_title("learning rate", loc="left", fontsize=11)
    axes.ticklabel_format(axis="y", scilimits=(-3, 3))
