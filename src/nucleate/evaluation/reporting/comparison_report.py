"""A comparison as files: `comparison.json`, `comparison.html` and `comparison.md`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from nucleate.evaluation.comparison import Comparison
from nucleate.evaluation.reporting import charts
from nucleate.evaluation.reporting.page import TEMPLATES, data_name, library_versions
from nucleate.evaluation.results import Evaluation
from nucleate.files import write_json, write_text
from nucleate.pages import render, svg_picture

SCHEMA_VERSION = 2
JSON_NAME, HTML_NAME, TABLE_NAME = "comparison.json", "comparison.html", "comparison.md"


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write a comparison's three files into a folder, which is made if needed.

    Raises:
        ResultsError: the folder can't be written.
    """
    write_json(folder / JSON_NAME, comparison_to_json(comparison), indent=1)
    write_text(folder / HTML_NAME, comparison_to_html(comparison))
    write_text(folder / TABLE_NAME, comparison_to_markdown(comparison))


def comparison_to_markdown(comparison: Comparison) -> str:
    """Return what the command line prints, with a heading and conclusions."""
    said = "\n".join(f"- {line}" for line in comparison.conclusions())
    return f"# {_title(comparison)}\n\n{said}\n\n{comparison.summary()}"


def comparison_to_html(comparison: Comparison) -> str:
    """Return one page: conclusions, the table of models, differences as a table and as a forest plot."""
    return render(
        TEMPLATES,
        "comparison.html.j2",
        title=_title(comparison),
        comparison=comparison,
        data_name=data_name(comparison.evaluations[0]),
        conclusions=comparison.conclusions(),
        models=comparison.model_table(),
        differences=comparison.difference_table(),
        chart=svg_picture(charts.forest(comparison), "Paired differences with their intervals"),
        rules=comparison.rules(),
        notes=comparison.notes(),
        versions=library_versions(),
    )


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Return the document of docs/evaluation-schema.md."""
    first = comparison.evaluations[0]
    return {
        "schema_version": SCHEMA_VERSION,
        "units": "percent",
        "versions": library_versions(),
        "data": first.data,
        "data_fingerprint": first.data_fingerprint,
        "split": first.settings.split,
        "protocol": str(first.settings.protocol),
        "averaging": first.settings.protocol.averaging,
        "resample_by": first.settings.resample_by,
        "images": first.overall.images,
        "left_out": list(comparison.left_out),
        "models": [_model_to_json(each) for each in comparison.evaluations],
        "differences": [
            {
                "model": comparison.evaluations[each.model - 1].settings.model,
                "place": each.model,
                "score": each.score,
                "difference": each.paired.difference,
                "low": _number(each.paired.interval.low),
                "high": _number(each.paired.interval.high),
                "p_value": each.paired.p_value,
                "images": each.images,
                "groups": each.paired.groups,
            }
            for each in comparison.differences
        ],
    }


def _model_to_json(evaluation: Evaluation) -> dict[str, Any]:
    settings, scores = evaluation.settings, evaluation.overall.scores
    return {
        "model": settings.model,
        "model_fingerprint": settings.model_fingerprint,
        "score_threshold": settings.score_threshold,
        "scores": {
            each.score: {
                "mean": _number(getattr(scores, each.score)),
                "low": _number(each.low),
                "high": _number(each.high),
            }
            for each in evaluation.intervals
        },
        "segm_AP": _number(evaluation.overall.precision.segm.ap),
        "notes": list(evaluation.notes),
    }


def _title(comparison: Comparison) -> str:
    return "Comparison of " + ", ".join(each.settings.model for each in comparison.evaluations)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
