"""An evaluation as the tables of `evaluation.md`, and the shorter text that the command line prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from nucleate.evaluation.average_precision import PrecisionTable
from nucleate.evaluation.image_scores import Scores, detection_scores
from nucleate.evaluation.pannuke import PannukeAverages
from nucleate.evaluation.results import Evaluation, GroupResult

SCORE_HEADINGS = {
    "pq": "PQ",
    "sq": "SQ",
    "dq": "DQ",
    "aji": "AJI",
    "aji_plus": "AJI+",
    "dice": "Dice",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
}


def evaluation_to_markdown(evaluation: Evaluation, *, details: bool = True) -> str:
    """Return the overall table, the table by organ, and below them what the numbers depend on.

    Args:
        evaluation: the results.
        details: tables of F1 by IoU and centroid, of size classes and of counts too.
    """
    settings, overall = evaluation.settings, evaluation.overall
    sizes, uncapped = overall.sizes, overall.precision.segm_uncapped.max_detections
    parts = [
        f"# Evaluation of {settings.model or 'predictions'}",
        _summary(evaluation),
        _score_table(evaluation),
        markdown_table(
            ["", "detections an image", *overall.precision.segm.named()],
            [
                [result.kind, str(result.max_detections), *(_cell(value) for value in result.named().values())]
                for result in overall.precision
            ],
        ),
        markdown_table(
            ["annotated nuclei", "small (below 32x32 px)", "medium (below 96x96 px)", "large"],
            [[str(sizes.total), str(sizes.small), str(sizes.medium), str(sizes.large)]],
        ),
    ]
    reasons = list(dict.fromkeys(reason for result in overall.precision for reason in result.undefined))
    if reasons:
        parts.append("Not defined (`nan`): " + "; ".join(reasons) + ".")
    if evaluation.pannuke is not None:
        parts += ["## PQ over classes and tissues (protocol `pannuke`)", _pannuke_table(evaluation.pannuke)]
    if details:
        parts += ["## Found nuclei by rule", _detection_table(evaluation)]
        parts += ["## By size", _size_table(overall), "## Counts", _count_table(overall)]
    if overall.precision.segm.per_class:
        parts += ["## By class", _class_table(overall.precision)]
    if evaluation.organs:
        parts += ["## By organ", _organ_table(evaluation.organs)]
    parts += ["## How", _list(_conditions(evaluation, uncapped))]
    return "\n\n".join(parts) + "\n"


def _score_table(evaluation: Evaluation) -> str:
    overall, settings = evaluation.overall, evaluation.settings
    ends = {
        each.score: "nan" if math.isnan(each.low) else f"{each.low:.1f} to {each.high:.1f}"
        for each in evaluation.intervals
    }
    interval = f"{100 * settings.resampling.level:g} % interval (by {settings.resample_by})"
    rows = [
        [f"{settings.protocol.name}, {settings.protocol.averaging}", *_score_cells(overall.scores)],
        [interval, *(ends.get(name, "") for name in SCORE_HEADINGS)],
        [f"{settings.protocol.name}, pooled over nuclei", *_score_cells(overall.pooled)],
    ]
    return markdown_table(["", *SCORE_HEADINGS.values()], rows)


def _detection_table(evaluation: Evaluation) -> str:
    overall = evaluation.overall
    rows = [
        [mean.rule, *(_cell(value) for each in (mean, pooled) for value in (each.f1, each.precision, each.recall))]
        for mean, pooled in zip(overall.detection, detection_scores(overall.tally), strict=True)
    ]
    headings = ["F1", "precision", "recall", "pooled F1", "pooled precision", "pooled recall"]
    return markdown_table([f"a pair is ({evaluation.settings.protocol.averaging})", *headings], rows)


def _size_table(group: GroupResult) -> str:
    sizes = group.tally.by_size
    rows = [
        [
            name,
            str(matches.true_positives + matches.false_negatives),
            str(matches.true_positives),
            str(matches.false_positives),
            *(_cell(100 * value) for value in (matches.recall, matches.pq, matches.sq, matches.dq)),
        ]
        for name, matches in (
            ("small (below 32x32 px)", sizes.small),
            ("medium (below 96x96 px)", sizes.medium),
            ("large", sizes.large),
        )
    ]
    headings = ["annotated", "found", "false", "found %", "pooled PQ", "pooled SQ", "pooled DQ"]
    return markdown_table(["IoU > 0.5, by area in the maps", *headings], rows)


def _count_table(group: GroupResult) -> str:
    errors, tally = group.count_errors, group.tally
    row = [f"{errors.mean:+.1f}", f"{errors.mean_absolute:.1f}", str(tally.splits), str(tally.merges)]
    headings = ["mean error", "mean absolute error", "nuclei split", "predictions that merge nuclei"]
    return markdown_table(["predicted less annotated nuclei, over images", *headings], [["all", *row]])


def _pannuke_table(averages: PannukeAverages) -> str:
    rows = [
        [f"over {averages.images} images", _cell(averages.bpq), _cell(averages.mpq)],
        [f"within, then over {averages.tissues} tissues", _cell(averages.bpq_tissues), _cell(averages.mpq_tissues)],
        ["mean of class means", "", _cell(averages.mpq_classes)],
    ]
    return markdown_table(["", "bPQ", "mPQ"], rows)


def _summary(evaluation: Evaluation) -> str:
    overall = evaluation.overall
    return (
        f"{overall.images} images ({evaluation.settings.split}), {overall.annotated} annotated and "
        f"{overall.predicted} predicted nuclei. All scores in percent."
    )


def _conditions(evaluation: Evaluation, uncapped: int) -> list[str]:
    settings = evaluation.settings
    protocol, resampling = settings.protocol, settings.resampling
    rule = (
        f"All scores but AP: protocol `{protocol}`, {protocol.averaging}, nuclei with a score above "
        f"{settings.score_threshold:g} ({settings.score_threshold_from}); PQ at IoU > 0.5; F1, precision and recall "
        "at IoU >= 0.5; pooled: counts of all images added up and divided once."
    )
    empty = f"An image without annotated and predicted nuclei: `{settings.empty_image}`."
    if protocol.name == "pannuke":
        empty = "Images without annotated nuclei are skipped; what is predicted there counts in the pooled scores only."
    intervals = (
        f"Intervals: {resampling.method} bootstrap of the mean, {resampling.resamples} resamples by "
        f"{settings.resample_by}, seed {resampling.seed}."
    )
    return [
        f"Data: `{Path(evaluation.data).name}`, fingerprint `{evaluation.data_fingerprint}`, split {settings.split}.",
        rule,
        empty,
        intervals,
        f"Centroids pair within {settings.centroid_limit}.",
        f"AP: COCO, all detections by rank, at the best 100 of an image (Detectron2's) and at {uncapped} (all).",
        *(f"{note}." for note in evaluation.notes),
    ]


def _organ_table(organs: Sequence[GroupResult]) -> str:
    rows = [
        [
            group.name,
            str(group.images),
            str(group.annotated),
            *(_cell(getattr(group.scores, name)) for name in ("pq", "sq", "dq", "aji", "dice", "f1")),
            _cell(group.precision.segm.ap),
            _cell(group.precision.segm.ap50),
            _cell(group.precision.segm_uncapped.ap50),
        ]
        for group in organs
    ]
    headings = ["organ", "images", "nuclei", "PQ", "SQ", "DQ", "AJI", "Dice", "F1", "AP", "AP50", "AP50 uncapped"]
    return markdown_table(headings, rows)


def _class_table(precision: PrecisionTable) -> str:
    rows = [
        [each.class_name, *(_cell(result.per_class[index].ap) for result in precision)]
        for index, each in enumerate(precision.segm.per_class)
    ]
    return markdown_table(["class", "bbox AP", "segm AP", "bbox AP uncapped", "segm AP uncapped"], rows)


def _score_cells(scores: Scores) -> list[str]:
    return [_cell(getattr(scores, name)) for name in SCORE_HEADINGS]


def _cell(value: float) -> str:
    return f"{value:.1f}"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; the first column to the left, others to the right."""
    rule = ["---", *("---:" for _ in headings[1:])]
    # A bar in a class or organ name would open another column.
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (headings, rule, *rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
