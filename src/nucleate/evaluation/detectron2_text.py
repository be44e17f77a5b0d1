"""Detectron2's own words for AP: its console tables, its `copypaste:` lines and its line in metrics.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nucleate.evaluation.average_precision import AveragePrecision
from nucleate.evaluation.results import Evaluation

LOGGER = "d2.evaluation.coco_evaluation"
COPYPASTE_LOGGER = "d2.evaluation.testing"
MOST_CATEGORY_COLUMNS = 6
# Its table library leaves two columns more than a heading needs, and one either side of a cell.
HEADING_PADDING = 2


def detectron2_scores(evaluation: Evaluation) -> dict[str, float]:
    """Return what Detectron2 writes into metrics.json: `bbox/AP`, `segm/AP-<class>`, ...; keys sorted, NaN kept.

    AP is at 100 detections an image, as there. `AP-<class>` only where the set has more than one class.
    """
    scores = {}
    for result in (evaluation.overall.precision.bbox, evaluation.overall.precision.segm):
        scores.update({f"{result.kind}/{name}": value for name, value in named_scores(result).items()})
    return dict(sorted(scores.items()))


def named_scores(result: AveragePrecision) -> dict[str, float]:
    """Return what COCOEvaluator returns of one kind: the six scores, then `AP-<class>` of sets with several."""
    return result.named() | {f"AP-{each.class_name}": each.ap for each in result.per_class}


def detectron2_messages(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return Detectron2's console messages in order, each with the name of the logger that it comes from."""
    results = (evaluation.overall.precision.bbox, evaluation.overall.precision.segm)
    return table_messages(results) + copypaste_messages({each.kind: each.named() for each in results})


def table_messages(results: Sequence[AveragePrecision]) -> list[tuple[str, str]]:
    """Return the messages of COCOEvaluator itself: a table a kind, and one of the classes where there are several."""
    messages = []
    for result in results:
        values = result.named()
        table = _centred_table(list(values), [f"{value:.3f}" for value in values.values()])
        messages.append((LOGGER, f"Evaluation results for {result.kind}: \n{table}"))
        if any(math.isnan(value) for value in values.values()):
            messages.append((LOGGER, "Some metrics cannot be computed and is shown as NaN."))
        if result.per_class:
            messages.append((LOGGER, f"Per-category {result.kind} AP: \n{_category_table(result)}"))
    return messages


def copypaste_messages(scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """Return the three `copypaste:` lines of each kind, with the name of the logger that they come from.

    Args:
        scores: kind -> name -> percent; `AP-<class>` is left out, as there.
    """
    messages = []
    for kind, named in scores.items():
        values = {name: value for name, value in named.items() if "-" not in name}
        messages.append((COPYPASTE_LOGGER, f"copypaste: Task: {kind}"))
        messages.append((COPYPASTE_LOGGER, f"copypaste: {','.join(values)}"))
        messages.append((COPYPASTE_LOGGER, f"copypaste: {','.join(f'{value:.4f}' for value in values.values())}"))
    return messages


def detectron2_text(evaluation: Evaluation) -> str:
    """Return Detectron2's console messages as one text."""
    return "\n".join(message for _, message in detectron2_messages(evaluation))


def _centred_table(headings: Sequence[str], cells: Sequence[str]) -> str:
    widths = _widths(headings, [cells])
    rows = [
        [f"{heading:^{width}}" for heading, width in zip(headings, widths, strict=True)],
        [f"{cell:^{width}}" for cell, width in zip(cells, widths, strict=True)],
    ]
    rule = "|".join(":" + "-" * width + ":" for width in widths)
    return "\n".join([_line(rows[0]), f"|{rule}|", _line(rows[1])])


def _category_table(result: AveragePrecision) -> str:
    flat = [cell for each in result.per_class for cell in (each.class_name, f"{each.ap:.3f}")]
    columns = min(MOST_CATEGORY_COLUMNS, len(flat))
    flat += [""] * (-len(flat) % columns)
    rows = [flat[start : start + columns] for start in range(0, len(flat), columns)]
    headings = ["category", "AP"] * (columns // 2)
    widths = _widths(headings, rows)
    rule = "|".join(":" + "-" * (width + 1) for width in widths)
    lines = [_line([f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]) for row in (headings, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(len(heading) + HEADING_PADDING, *(len(row[column]) for row in rows))
        for column, heading in enumerate(headings)
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
