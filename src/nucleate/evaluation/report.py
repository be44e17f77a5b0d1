"""An evaluation as files: `evaluation.json` (docs/evaluation-schema.md), `report.html` and `report.md`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from nucleate.errors import ResultsError
from nucleate.evaluation.average_precision import AveragePrecision, PrecisionTable
from nucleate.evaluation.fates import FoundShare, recall_by_area, recall_by_contact
from nucleate.evaluation.image_scores import (
    DETECTION_RULES,
    SCORE_NAMES,
    DetectionScores,
    Scores,
    detection_scores,
    mean_detection,
)
from nucleate.evaluation.panoptic import Matches
from nucleate.evaluation.report_tables import evaluation_to_markdown
from nucleate.evaluation.reporting.cases import Case
from nucleate.evaluation.reporting.conclusions import conclusions
from nucleate.evaluation.reporting.page import evaluation_to_html, library_versions
from nucleate.evaluation.results import ClassResult, Evaluation, EvaluationSettings, GroupResult, ScoreInterval
from nucleate.evaluation.tally import SizeMatches
from nucleate.files import write_json, write_text

SCHEMA_VERSION = 4
JSON_NAME = "evaluation.json"
HTML_NAME = "report.html"
TABLE_NAME = "report.md"
# What makes two evaluations comparable.
CONDITIONS = (
    "model",
    "model_fingerprint",
    "data_fingerprint",
    "split",
    "protocol",
    "vague_fingerprint",
    "empty_image",
    "score_threshold",
    "centroid_limit",
    "resample_by",
)


def write_report(
    folder: Path, evaluation: Evaluation, *, worst: Sequence[Case] = (), best: Sequence[Case] = ()
) -> None:
    """Write `evaluation.json`, `report.html` and `report.md` into a folder.

    Args:
        folder: made if needed.
        evaluation: the results.
        worst: the worst images with pictures, for `report.html`.
        best: the best ones.

    Raises:
        ResultsError: the folder can't be written.
    """
    write_json(folder / JSON_NAME, evaluation_to_json(evaluation), indent=1)
    write_text(folder / HTML_NAME, evaluation_to_html(evaluation, worst, best))
    write_text(folder / TABLE_NAME, report_markdown(evaluation))


def report_markdown(evaluation: Evaluation) -> str:
    """Return the text of `report.md`: the tables of `report.html` and its conclusions."""
    said = [each.text if each.kind == "note" else f"{each.kind}: {each.text}" for each in conclusions(evaluation)]
    return evaluation_to_markdown(evaluation, conclusions=said)


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
        version = found["schema_version"]
        held = {key: found[key] for key in CONDITIONS if key in found or version == SCHEMA_VERSION}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            "no evaluation of ours: choose another --output, or --fresh replaces it", path=path
        ) from error
    if version != SCHEMA_VERSION:
        raise ResultsError(
            f"holds an evaluation of schema version {version}, this one has {SCHEMA_VERSION}: choose another --output, "
            "or --fresh replaces it",
            path=path,
        )
    wanted = {**_conditions(settings), "data_fingerprint": data_fingerprint}
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
        **_conditions(settings),
        "data": evaluation.data,
        "data_fingerprint": evaluation.data_fingerprint,
        "averaging": settings.protocol.averaging,
        "nuceval": None if settings.protocol.parts is None else asdict(settings.protocol.parts),
        "versions": library_versions(),
        "score_threshold_from": settings.score_threshold_from,
        "notes": list(evaluation.notes),
        "intervals": {
            **asdict(settings.resampling),
            "scores": _intervals_to_json(evaluation.intervals),
            "by_organ": _intervals_to_json(evaluation.organ_intervals),
        },
        "pannuke": None if evaluation.pannuke is None else _numbers(asdict(evaluation.pannuke)),
        "by_contact": [_share_to_json(share) for share in recall_by_contact(evaluation.nuclei)],
        "by_area": [_share_to_json(share) for share in recall_by_area(evaluation.nuclei)],
        "precision_recall": {
            "iou_50": list(evaluation.overall.precision.segm_uncapped.curve50),
            "iou_75": list(evaluation.overall.precision.segm_uncapped.curve75),
        },
        "overall": _group_to_json(evaluation.overall),
        "organs": [_group_to_json(group) for group in evaluation.organs],
        "species": [_group_to_json(group) for group in evaluation.species],
        "classes": [_class_to_json(each) for each in evaluation.classes],
        "images": [
            {
                "image_id": image.image_id,
                "file_name": image.file_name,
                "organ": image.organ,
                "species": image.species,
                "annotated": image.annotated,
                "predicted": image.predicted,
                "matched": image.matched,
                "splits": image.tally.splits,
                "merges": image.tally.merges,
                "scores": None if image.scores is None else _scores_to_json(image.scores),
                "detection": None
                if image.scores is None
                else _detection_to_json(mean_detection([image.tally], settings.empty_image)),
            }
            for image in evaluation.images
        ],
    }


def _conditions(settings: EvaluationSettings) -> dict[str, str | float]:
    return {
        "model": settings.model,
        "model_fingerprint": settings.model_fingerprint,
        "split": settings.split,
        "protocol": str(settings.protocol),
        "vague_fingerprint": settings.vague_fingerprint,
        "empty_image": settings.empty_image,
        "score_threshold": settings.score_threshold,
        "centroid_limit": str(settings.centroid_limit),
        "resample_by": settings.resample_by,
    }


def _group_to_json(group: GroupResult) -> dict[str, Any]:
    return {
        "name": group.name,
        "images": group.images,
        "annotated": group.annotated,
        "predicted": group.predicted,
        "sizes": asdict(group.sizes),
        "scores": _scores_to_json(group.scores),
        "intervals_by_image": _intervals_to_json(group.intervals),
        "pooled": _scores_to_json(group.pooled),
        "detection": _detection_to_json(group.detection),
        "pooled_detection": _detection_to_json(detection_scores(group.tally)),
        "by_size": {
            field.name: _matches_to_json(getattr(group.tally.by_size, field.name)) for field in fields(SizeMatches)
        },
        "count_error": asdict(group.count_errors),
        "splits": group.tally.splits,
        "merges": group.tally.merges,
        "average_precision": {
            field.name: _precision_to_json(getattr(group.precision, field.name)) for field in fields(PrecisionTable)
        },
    }


def _precision_to_json(result: AveragePrecision) -> dict[str, Any]:
    return {
        "protocol": "coco",
        "max_detections": result.max_detections,
        **{name: _number(value) for name, value in result.named().items()},
        "per_class": {each.class_name: _number(each.ap) for each in result.per_class},
        "undefined": list(result.undefined),
    }


def _class_to_json(result: ClassResult) -> dict[str, Any]:
    scores = DetectionScores.of(DETECTION_RULES[0], result.matches)
    return {
        "name": result.name,
        "annotated": result.matches.true_positives + result.matches.false_negatives,
        "predicted": result.matches.true_positives + result.matches.false_positives,
        "pq": _number(result.pq),
        **asdict(scores),
    }


def _scores_to_json(scores: Scores) -> dict[str, float | None]:
    return {name: _number(getattr(scores, name)) for name in SCORE_NAMES}


def _intervals_to_json(intervals: Sequence[ScoreInterval]) -> dict[str, Any]:
    return {each.score: {"low": _number(each.low), "high": _number(each.high)} for each in intervals}


def _share_to_json(share: FoundShare) -> dict[str, Any]:
    return {"name": share.name, "annotated": share.annotated, "found": share.found, "recall": _number(share.recall)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _detection_to_json(scores: Sequence[DetectionScores]) -> list[dict[str, Any]]:
    return [
        {"rule": each.rule, **_numbers({"f1": each.f1, "precision": each.precision, "recall": each.recall})}
        for each in scores
    ]


def _matches_to_json(matches: Matches) -> dict[str, Any]:
    return {
        "annotated": matches.true_positives + matches.false_negatives,
        "found": matches.true_positives,
        "false": matches.false_positives,
        "pq": 100 * matches.pq,
        "sq": 100 * matches.sq,
        "dq": 100 * matches.dq,
    }


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}
