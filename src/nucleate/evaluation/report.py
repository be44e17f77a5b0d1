"""An evaluation as files: `evaluation.json` (docs/evaluation-schema.md) and the tables of `evaluation.md`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from nucleate.errors import ResultsError
from nucleate.evaluation.average_precision import AveragePrecision, PrecisionTable
from nucleate.evaluation.image_scores import SCORE_NAMES, DetectionScores, Scores, detection_scores, mean_detection
from nucleate.evaluation.panoptic import Matches
from nucleate.evaluation.report_tables import evaluation_to_markdown
from nucleate.evaluation.results import Evaluation, EvaluationSettings, GroupResult
from nucleate.evaluation.tally import SizeMatches
from nucleate.files import write_json, write_text

SCHEMA_VERSION = 2
JSON_NAME = "evaluation.json"
TABLE_NAME = "evaluation.md"
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
        "score_threshold_from": settings.score_threshold_from,
        "notes": list(evaluation.notes),
        "intervals": {
            **asdict(settings.resampling),
            "scores": {
                each.score: {"low": _number(each.low), "high": _number(each.high)} for each in evaluation.intervals
            },
        },
        "pannuke": None if evaluation.pannuke is None else _numbers(asdict(evaluation.pannuke)),
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
        "max_detections": result.max_detections,
        **{name: _number(value) for name, value in result.named().items()},
        "per_class": {each.class_name: _number(each.ap) for each in result.per_class},
        "undefined": list(result.undefined),
    }


def _scores_to_json(scores: Scores) -> dict[str, float | None]:
    return {name: _number(getattr(scores, name)) for name in SCORE_NAMES}


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
