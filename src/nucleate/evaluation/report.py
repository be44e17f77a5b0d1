"""An evaluation as files: `evaluation.json` (docs/evaluation-schema.md) and the table `evaluation.md`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from nucleate.errors import ResultsError
from nucleate.evaluation.average_precision import AveragePrecision, PrecisionTable
from nucleate.evaluation.image_scores import SCORE_NAMES, Scores
from nucleate.evaluation.results import Evaluation, EvaluationSettings, GroupResult
from nucleate.files import write_json, write_text

SCHEMA_VERSION = 1
JSON_NAME = "evaluation.json"
TABLE_NAME = "evaluation.md"
# What makes two evaluations comparable.
CONDITIONS = ("model", "model_fingerprint", "data_fingerprint", "split", "empty_image", "score_threshold")
SCORE_HEADINGS = {
    "pq": "PQ",
    "sq": "SQ",
    "dq": "DQ",
    "aji": "AJI",
    "dice": "Dice",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
}


def write_report(folder: Path, evaluation: Evaluation) -> None:
    """Write `evaluation.json` and `evaluation.md` into a folder.

    Raises:
        ResultsError: the folder can't be written.
    """
    write_json(folder / JSON_NAME, evaluation_to_json(evaluation), indent=1)
    write_text(folder / TABLE_NAME, evaluation_to_markdown(evaluation))


def check_same_conditions(folder: Path, settings: EvaluationSettings, data_fingerprint: str) -> None:
    """Refuse a folder that holds the evaluation of another model, data set, split or other settings.

    Raises:
        ResultsError: it does.
    """
    path = folder / JSON_NAME
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        held = {key: found[key] for key in CONDITIONS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            "no evaluation of ours: choose another --output, or --fresh replaces it", path=path
        ) from error
    wanted = {**asdict(settings), "data_fingerprint": data_fingerprint}
    for key in CONDITIONS:
        if held[key] != wanted[key]:
            raise ResultsError(
                f"holds an evaluation with {key} {held[key]!r}, this one has {wanted[key]!r}: choose another --output, "
                "or --fresh replaces it",
                path=path,
            )


def evaluation_to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the document of docs/evaluation-schema.md; undefined scores are null."""
    settings = evaluation.settings
    return {
        "schema_version": SCHEMA_VERSION,
        "units": "percent",
        "model": settings.model,
        "model_fingerprint": settings.model_fingerprint,
        "data": evaluation.data,
        "data_fingerprint": evaluation.data_fingerprint,
        "split": settings.split,
        "protocol": evaluation.protocol,
        "empty_image": settings.empty_image,
        "score_threshold": settings.score_threshold,
        "score_threshold_from": settings.score_threshold_from,
        "notes": list(evaluation.notes),
        "overall": _group_to_json(evaluation.overall),
        "organs": [_group_to_json(group) for group in evaluation.organs],
        "images": [
            {
                "image_id": image.image_id,
                "file_name": image.file_name,
                "organ": image.organ,
                "annotated": image.annotated,
                "predicted": image.predicted,
                "matched": image.matched,
                "scores": None if image.scores is None else _scores_to_json(image.scores),
            }
            for image in evaluation.images
        ],
    }


def evaluation_to_markdown(evaluation: Evaluation) -> str:
    """Return the overall table, the table by organ, and below them what the numbers depend on."""
    settings, overall = evaluation.settings, evaluation.overall
    sizes, uncapped = overall.sizes, overall.precision.segm_uncapped.max_detections
    parts = [
        f"# Evaluation of {settings.model or 'predictions'}",
        _summary(evaluation),
        _table(["", *SCORE_HEADINGS.values()], [["all", *_score_cells(overall.scores)]]),
        _table(
            ["", "detections an image", *overall.precision.segm.named()],
            [
                [result.kind, str(result.max_detections), *(_cell(value) for value in result.named().values())]
                for result in overall.precision
            ],
        ),
        _table(
            ["annotated nuclei", "small (below 32x32 px)", "medium (below 96x96 px)", "large"],
            [[str(sizes.total), str(sizes.small), str(sizes.medium), str(sizes.large)]],
        ),
    ]
    reasons = list(dict.fromkeys(reason for result in overall.precision for reason in result.undefined))
    if reasons:
        parts.append("Not defined (`nan`): " + "; ".join(reasons) + ".")
    if overall.precision.segm.per_class:
        parts += ["## By class", _class_table(overall.precision)]
    if evaluation.organs:
        parts += ["## By organ", _organ_table(evaluation.organs)]
    parts += ["## How", _list(_conditions(evaluation, uncapped))]
    return "\n\n".join(parts) + "\n"


def _summary(evaluation: Evaluation) -> str:
    overall = evaluation.overall
    return (
        f"{overall.images} images ({evaluation.settings.split}), {overall.annotated} annotated and "
        f"{overall.predicted} predicted nuclei. All scores in percent."
    )


def _conditions(evaluation: Evaluation, uncapped: int) -> list[str]:
    settings = evaluation.settings
    rule = (
        f"PQ, SQ, DQ, AJI and Dice: protocol `{evaluation.protocol}`, mean over images, nuclei with a score above "
        f"{settings.score_threshold:g} ({settings.score_threshold_from}); PQ at IoU > 0.5; F1, precision and recall "
        "at IoU >= 0.5."
    )
    return [
        f"Data: `{Path(evaluation.data).name}`, fingerprint `{evaluation.data_fingerprint}`, split {settings.split}.",
        rule,
        f"An image without annotated and predicted nuclei: `{settings.empty_image}`.",
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
    return _table(headings, rows)


def _class_table(precision: PrecisionTable) -> str:
    rows = [
        [each.class_name, *(_cell(result.per_class[index].ap) for result in precision)]
        for index, each in enumerate(precision.segm.per_class)
    ]
    return _table(["class", "bbox AP", "segm AP", "bbox AP uncapped", "segm AP uncapped"], rows)


def _group_to_json(group: GroupResult) -> dict[str, Any]:
    return {
        "name": group.name,
        "images": group.images,
        "annotated": group.annotated,
        "predicted": group.predicted,
        "sizes": asdict(group.sizes),
        "scores": _scores_to_json(group.scores),
        "average_precision": {
            field.name: _precision_to_json(getattr(group.precision, field.name)) for field in fields(PrecisionTable)
        },
    }


def _precision_to_json(result: AveragePrecision) -> dict[str, Any]:
    return {
        "max_detections": result.max_detections,
        **{name: _number(value) for name, value in result.named().items()},
        "per_class": {each.class_name: _number(each.ap) for each in result.per_class},
        "undefined": list(result.undefined),
    }


def _scores_to_json(scores: Scores) -> dict[str, float | None]:
    return {name: _number(getattr(scores, name)) for name in SCORE_NAMES}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _score_cells(scores: Scores) -> list[str]:
    return [_cell(getattr(scores, name)) for name in SCORE_HEADINGS]


def _cell(value: float) -> str:
    return f"{value:.1f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in headings[1:])]
    # A bar in a class or organ name would open another column.
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (headings, rule, *rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
