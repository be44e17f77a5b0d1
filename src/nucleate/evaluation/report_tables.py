"""An evaluation as the tables of the reports, and in Markdown: `report.md`, and what the command line prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from nucleate.evaluation.fates import FoundShare, recall_by_area, recall_by_contact
from nucleate.evaluation.image_scores import Scores, detection_scores
from nucleate.evaluation.pannuke import PannukeAverages
from nucleate.evaluation.panoptic import Matches
from nucleate.evaluation.results import Evaluation, GroupResult, ScoreInterval, interval_of
from nucleate.pages import Table

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


def evaluation_to_markdown(evaluation: Evaluation, *, details: bool = True, conclusions: Sequence[str] = ()) -> str:
    """Return the overall table, the table by organ, and below them what the numbers depend on.

    Args:
        evaluation: the results.
        details: tables of F1 by IoU and centroid, of size classes, touching nuclei and counts too.
        conclusions: sentences to put first.
    """
    overall = evaluation.overall
    parts = [f"# Evaluation of {evaluation.settings.model or 'predictions'}", summary_line(evaluation)]
    if conclusions:
        parts += ["## Conclusions", _list(conclusions), "## Scores"]
    parts += [table.markdown() for table in (score_table(evaluation), precision_table(overall), _sizes_table(overall))]
    reasons = list(dict.fromkeys(reason for result in overall.precision for reason in result.undefined))
    if reasons:
        parts.append("Not defined (`nan`): " + "; ".join(reasons) + ".")
    if evaluation.pannuke is not None:
        parts += ["## PQ over classes and tissues (protocol `pannuke`)", pannuke_table(evaluation.pannuke).markdown()]
    if details:
        parts += ["## Found nuclei by rule", detection_table(evaluation).markdown()]
        parts += ["## By size", size_table(overall).markdown(), area_table(evaluation).markdown()]
        parts += ["## Touching nuclei", contact_table(evaluation).markdown()]
        parts += ["## Counts", count_table(overall).markdown()]
    if evaluation.classes:
        parts += ["## By class", class_table(evaluation).markdown()]
    if evaluation.organs:
        parts += ["## By organ", group_table(evaluation.organs, "organ").markdown()]
    if evaluation.species:
        parts += ["## By species", group_table(evaluation.species, "species").markdown()]
    parts += ["## How", _list(conditions(evaluation))]
    return "\n\n".join(parts) + "\n"


def score_table(evaluation: Evaluation) -> Table:
    """Return the means over images with their intervals, and the pooled scores."""
    overall, settings = evaluation.overall, evaluation.settings
    level = f"{100 * settings.resampling.level:g} % interval"
    rows = [
        [f"{settings.protocol.name}, {settings.protocol.averaging}", *_score_cells(overall.scores)],
        [f"{level} (by {settings.resampled})", *_interval_cells(evaluation.intervals)],
    ]
    if evaluation.organ_intervals and settings.resample_by != "organ":
        rows.append([f"{level} (by organ)", *_interval_cells(evaluation.organ_intervals)])
    rows.append([f"{settings.protocol.name}, pooled over nuclei", *_score_cells(overall.pooled)])
    return Table.of(["", *SCORE_HEADINGS.values()], rows)


def precision_table(group: GroupResult) -> Table:
    """Return average precision of boxes and masks at 100 and all detections, by the protocol `coco`."""
    rows = [
        [f"coco, {result.kind}", str(result.max_detections), *(_cell(value) for value in result.named().values())]
        for result in group.precision
    ]
    return Table.of(["", "detections an image", *group.precision.segm.named()], rows)


def _sizes_table(group: GroupResult) -> Table:
    sizes = group.sizes
    row = [str(sizes.total), str(sizes.small), str(sizes.medium), str(sizes.large)]
    return Table.of(["annotated nuclei", "small (below 32x32 px)", "medium (below 96x96 px)", "large"], [row])


def detection_table(evaluation: Evaluation) -> Table:
    """Return F1, precision and recall by every rule, averaged and pooled."""
    overall = evaluation.overall
    rows = [
        [mean.rule, *(_cell(value) for each in (mean, pooled) for value in (each.f1, each.precision, each.recall))]
        for mean, pooled in zip(overall.detection, detection_scores(overall.tally), strict=False)
    ]
    headings = ["F1", "precision", "recall", "pooled F1", "pooled precision", "pooled recall"]
    return Table.of([f"a pair is ({evaluation.settings.protocol.averaging})", *headings], rows)


def size_table(group: GroupResult) -> Table:
    """Return what was found of each of COCO's size classes."""
    sizes = group.tally.by_size
    rows = [
        [
            name,
            str(matches.true_positives + matches.false_negatives),
            str(matches.true_positives),
            str(matches.false_positives),
            *_size_cells(matches),
        ]
        for name, matches in (
            ("small (below 32x32 px)", sizes.small),
            ("medium (below 96x96 px)", sizes.medium),
            ("large", sizes.large),
        )
    ]
    headings = ["annotated", "found", "false", "found %", "F1 (DQ)", "pooled PQ", "pooled SQ"]
    return Table.of(["IoU > 0.5, by area in the maps", *headings], rows)


def _size_cells(matches: Matches) -> list[str]:
    """Return recall, DQ, PQ and SQ, not defined where there is no nucleus of the size on either side."""
    if not matches.true_positives + matches.false_positives + matches.false_negatives:
        return ["nan"] * 4
    return [_cell(100 * value) for value in (matches.recall, matches.dq, matches.pq, matches.sq)]


def area_table(evaluation: Evaluation) -> Table:
    """Return what was found of each eighth of the nuclei by area."""
    return _share_table("an eighth by area", recall_by_area(evaluation.nuclei))


def contact_table(evaluation: Evaluation) -> Table:
    """Return what was found of touching and of isolated nuclei."""
    return _share_table("nuclei of the label maps", recall_by_contact(evaluation.nuclei))


def _share_table(name: str, shares: Sequence[FoundShare]) -> Table:
    rows = [[share.name, str(share.annotated), str(share.found), _cell(share.recall)] for share in shares]
    return Table.of([f"IoU > 0.5, {name}", "annotated", "found", "found %"], rows)


def count_table(group: GroupResult) -> Table:
    """Return count errors, splits and merges."""
    errors, tally = group.count_errors, group.tally
    row = [f"{errors.mean:+.1f}", f"{errors.mean_absolute:.1f}", str(tally.splits), str(tally.merges)]
    headings = ["mean error", "mean absolute error", "nuclei split", "predictions that merge nuclei"]
    return Table.of(["predicted less annotated nuclei, over images", *headings], [["all", *row]])


def pannuke_table(averages: PannukeAverages) -> Table:
    """Return the averages of PQ over classes and tissues."""
    rows = [
        [f"over {averages.images} images", _cell(averages.bpq), _cell(averages.mpq)],
        [f"within, then over {averages.tissues} tissues", _cell(averages.bpq_tissues), _cell(averages.mpq_tissues)],
        ["mean of class means", "", _cell(averages.mpq_classes)],
    ]
    return Table.of(["", "bPQ", "mPQ"], rows)


def summary_line(evaluation: Evaluation) -> str:
    """Return how many images and nuclei there are."""
    overall = evaluation.overall
    return (
        f"{overall.images} images ({evaluation.settings.split}), {overall.annotated} annotated and "
        f"{overall.predicted} predicted nuclei. All scores in percent."
    )


def conditions(evaluation: Evaluation) -> list[str]:
    """Return what the numbers depend on, one line each."""
    settings, uncapped = evaluation.settings, evaluation.overall.precision.segm_uncapped.max_detections
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
        f"{settings.resampled}, seed {resampling.seed}; those of organs by image."
    )
    return [
        f"Data: `{Path(evaluation.data).name}`, fingerprint `{evaluation.data_fingerprint}`, split {settings.split}.",
        rule,
        empty,
        intervals,
        f"Centroids pair within {settings.centroid_limit}.",
        f"AP: protocol `coco`, detections by rank, at the best 100 of an image (Detectron2's) and at {uncapped} (all).",
        *(f"{note}." for note in evaluation.notes),
    ]


def group_table(groups: Sequence[GroupResult], kind: str) -> Table:
    """Return the scores of each organ or species, PQ with its interval over the group's images."""
    rows = [
        [
            group.name,
            str(group.images),
            str(group.annotated),
            _cell(group.scores.pq),
            _interval_cell(interval_of(group.intervals, "pq")),
            *(_cell(getattr(group.scores, name)) for name in ("sq", "dq", "aji", "dice", "f1")),
            _cell(group.precision.segm.ap),
            _cell(group.precision.segm.ap50),
            _cell(group.precision.segm_uncapped.ap50),
        ]
        for group in groups
    ]
    headings = ["images", "nuclei", "PQ", "interval", "SQ", "DQ", "AJI", "Dice", "F1"]
    return Table.of([kind, *headings, "mask AP (coco)", "AP50", "AP50 uncapped"], rows)


def class_table(evaluation: Evaluation) -> Table:
    """Return F1, PQ and AP of each class."""
    rows = []
    for index, each in enumerate(evaluation.classes):
        matches = each.matches
        counts = (matches.true_positives + matches.false_negatives, matches.true_positives + matches.false_positives)
        percents = (100 * matches.dq, 100 * matches.precision, 100 * matches.recall, each.pq)
        precision = [result.per_class[index].ap for result in evaluation.overall.precision]
        rows.append([each.name, *map(str, counts), *(_cell(value) for value in (*percents, *precision))])
    headings = ["annotated", "predicted", "pooled F1", "precision", "recall", "PQ (pannuke)"]
    kinds = ["bbox AP (coco)", "segm AP", "bbox AP uncapped", "segm AP uncapped"]
    return Table.of(["class, pairs with IoU >= 0.5 within it", *headings, *kinds], rows)


def _score_cells(scores: Scores) -> list[str]:
    return [_cell(getattr(scores, name)) for name in SCORE_HEADINGS]


def _cell(value: float) -> str:
    return f"{value:.1f}"


def _interval_cells(intervals: Sequence[ScoreInterval]) -> list[str]:
    return [_interval_cell(interval_of(intervals, name)) for name in SCORE_HEADINGS]


def _interval_cell(interval: ScoreInterval | None) -> str:
    if interval is None:
        return ""
    return "nan" if math.isnan(interval.low) else f"{interval.low:.1f} to {interval.high:.1f}"


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
