"""The charts of the reports, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nucleate.evaluation.fates import FoundShare
from nucleate.evaluation.image_scores import detection_scores
from nucleate.evaluation.panoptic import F1_THRESHOLDS, TWENTIETHS
from nucleate.evaluation.report_tables import SCORE_HEADINGS
from nucleate.evaluation.results import Evaluation, GroupResult, interval_of
from nucleate.pages.charts import INK, new_chart, svg_of
from nucleate.pages.colours import BLUE, GREEN, GREY, SKY, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nucleate.evaluation.comparison import Comparison

RECALLS = np.linspace(0, 1, 101) * 100


def organ_bars(organs: Sequence[GroupResult], overall: GroupResult) -> str:
    """Return PQ of each organ with its interval, highest first; the line is the mean over all images."""
    ranked = sorted(organs, key=lambda group: (math.isnan(group.scores.pq), -group.scores.pq, group.name))
    figure, axes = new_chart(8.6, 0.9 + 0.27 * len(ranked))
    for place, group in enumerate(ranked):
        pq, interval = group.scores.pq, interval_of(group.intervals, "pq")
        axes.barh(place, 0 if math.isnan(pq) else pq, height=0.68, color=SKY)
        if interval is not None and not math.isnan(interval.low):
            axes.plot([interval.low, interval.high], [place, place], color=INK, linewidth=1.4)
    axes.axvline(overall.scores.pq, color=VERMILION, linewidth=1.3)
    labels = [_organ_label(group) for group in ranked]
    axes.set_yticks(range(len(ranked)), labels=labels, parse_math=False)
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"PQ, percent (line: all images, {overall.scores.pq:.1f})")
    return svg_of(figure)


def precision_recall(overall: GroupResult) -> str:
    """Return precision against recall of masks, every detection by rank, at IoU 0.50 and 0.75."""
    result = overall.precision.segm_uncapped
    figure, axes = new_chart(4.6, 3.7)
    for curve, name, value, colour, style in (
        (result.curve50, "IoU 0.50", result.ap50, BLUE, "-"),
        (result.curve75, "IoU 0.75", result.ap75, VERMILION, "--"),
    ):
        if curve:
            axes.plot(RECALLS, curve, style, color=colour, linewidth=1.8, label=f"{name}: AP {value:.1f}")
    _percent_axes(axes, "recall, percent", "precision, percent")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="lower left")
    return svg_of(figure)


def f1_by_iou(evaluation: Evaluation) -> str:
    """Return F1 against the IoU that a pair needs, mean over images and pooled."""
    overall = evaluation.overall
    ious = [step / TWENTIETHS for step in F1_THRESHOLDS]
    figure, axes = new_chart(4.6, 3.7)
    for scores, name, colour, style in (
        (overall.detection, evaluation.settings.protocol.averaging, BLUE, "o-"),
        (detection_scores(overall.tally), "pooled over nuclei", GREEN, "s--"),
    ):
        values = [each.f1 for each in scores[: len(ious)]]
        axes.plot(ious, values, style, color=colour, linewidth=1.8, markersize=4, label=name)
    axes.set_xlim(0.48, 0.97)
    axes.set_ylim(0, 100)
    axes.set_xlabel("a pair needs this IoU or more")
    axes.set_ylabel("F1, percent")
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    return svg_of(figure)


def found_bars(shares: Sequence[FoundShare], heading: str) -> str:
    """Return the share found of each kind of nuclei."""
    figure, axes = new_chart(4.6, 0.9 + 0.34 * max(len(shares), 2))
    for place, share in enumerate(shares):
        value = 0.0 if math.isnan(share.recall) else share.recall
        axes.barh(place, value, height=0.68, color=SKY)
        axes.text(value + 1, place, f"{share.recall:.0f}", va="center", fontsize=9, color=INK)
    labels = [f"{share.name} (n {share.annotated})" for share in shares]
    axes.set_yticks(range(len(shares)), labels=labels, fontsize=9)
    axes.set_ylim(len(shares) - 0.4, -0.6)
    axes.set_xlim(0, 105)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(heading)
    return svg_of(figure)


def forest(comparison: Comparison) -> str:
    """Return the paired differences with their intervals; those that leave out 0 are dark."""
    rows = comparison.differences
    figure, axes = new_chart(8.6, 1.0 + 0.36 * len(rows))
    axes.axvline(0, color=VERMILION, linewidth=1.2)
    for place, each in enumerate(rows):
        interval = each.paired.interval
        colour = BLUE if interval.low > 0 or interval.high < 0 else GREY
        axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=2)
        axes.plot(each.paired.difference, place, "o", color=colour, markersize=6)
    names = [each.settings.model for each in comparison.evaluations]
    labels = [f"{SCORE_HEADINGS[each.score]}: {names[each.model - 1]} less {names[0]}" for each in rows]
    axes.set_yticks(range(len(rows)), labels=labels, fontsize=9, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)
    axes.set_xlabel(f"difference, points (grey: the interval holds 0; left: {names[0]} is better)", parse_math=False)
    return svg_of(figure)


def _organ_label(group: GroupResult) -> str:
    images = "1 image" if group.images == 1 else f"{group.images} images"
    return f"{group.name} ({images}, {group.annotated} nuclei)"


def _percent_axes(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
