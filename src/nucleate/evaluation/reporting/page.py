"""`report.html`: one file that needs nothing else, to read on a screen or on paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nucleate.evaluation.fates import recall_by_area, recall_by_contact
from nucleate.evaluation.report_tables import (
    class_table,
    conditions,
    contact_table,
    count_table,
    detection_table,
    group_table,
    pannuke_table,
    precision_table,
    score_table,
    size_table,
    summary_line,
)
from nucleate.evaluation.reporting import charts
from nucleate.evaluation.reporting.cases import Case
from nucleate.evaluation.reporting.conclusions import conclusions
from nucleate.evaluation.reporting.palette import FATE_STYLES
from nucleate.evaluation.results import Evaluation
from nucleate.pages import Picture, jpeg_picture, render, svg_picture, versions

TEMPLATES = "nucleate.evaluation.reporting"
LIBRARIES = ("nucleate", "numpy", "scipy", "pycocotools", "faster-coco-eval", "matplotlib")


def evaluation_to_html(evaluation: Evaluation, worst: Sequence[Case] = (), best: Sequence[Case] = ()) -> str:
    """Return the page of an evaluation.

    Args:
        evaluation: the results.
        worst: images of the lowest PQ, with pictures.
        best: images of the highest.
    """
    overall = evaluation.overall
    contact, areas = recall_by_contact(evaluation.nuclei), recall_by_area(evaluation.nuclei)
    return render(
        TEMPLATES,
        "report.html.j2",
        title=f"Evaluation of {evaluation.settings.model or 'predictions'}",
        evaluation=evaluation,
        data_name=data_name(evaluation),
        summary=summary_line(evaluation),
        conclusions=conclusions(evaluation),
        scores=score_table(evaluation).transposed(),
        precision=precision_table(overall),
        detection=detection_table(evaluation),
        sizes=size_table(overall),
        contact=contact_table(evaluation),
        counts=count_table(overall),
        organs=group_table(evaluation.organs, "organ") if evaluation.organs else None,
        species=group_table(evaluation.species, "species") if evaluation.species else None,
        classes=class_table(evaluation) if evaluation.classes else None,
        pannuke=None if evaluation.pannuke is None else pannuke_table(evaluation.pannuke),
        organ_chart=svg_picture(charts.organ_bars(evaluation.organs, overall), "PQ of each organ with its interval")
        if evaluation.organs
        else None,
        curve_charts=[
            svg_picture(charts.precision_recall(overall), "Precision against recall at IoU 0.50 and 0.75"),
            svg_picture(charts.f1_by_iou(evaluation), "F1 against the IoU that a pair needs"),
        ],
        effect_charts=[
            svg_picture(charts.found_bars(areas, "found, percent, by annotated area"), "Recall by area"),
            svg_picture(charts.found_bars(contact, "found, percent"), "Recall of touching nuclei"),
        ]
        if len(evaluation.nuclei)
        else [],
        legend=list(FATE_STYLES.values()),
        galleries=[
            (name, [_figures(case) for case in cases]) for name, cases in (("Worst", worst), ("Best", best)) if cases
        ],
        conditions=conditions(evaluation),
        versions=library_versions(),
    )


def data_name(evaluation: Evaluation) -> str:
    """Return the data set's folder where it has one, and the file."""
    path = Path(evaluation.data)
    return f"{path.parent.parent.name}, {path.name}" if path.parent.name == "annotations" else path.name


def library_versions() -> str:
    """Return the versions of what made the numbers, in one line."""
    return versions(LIBRARIES)


def _figures(case: Case) -> tuple[str, str, list[Picture]]:
    """Return the name, a line of numbers, and the pictures."""
    result = case.result
    pq = "" if result.scores is None else f"PQ {result.scores.pq:.1f}, AJI {result.scores.aji:.1f}, "
    counts = ", ".join(f"{count} {FATE_STYLES[fate].label.split(' (')[0]}" for fate, count in case.counts.items())
    line = f"{pq}{result.annotated} annotated; {counts}"
    pictures = []
    if case.image_jpeg is not None:
        pictures.append(jpeg_picture(case.image_jpeg, result.file_name))
    outlined = jpeg_picture(case.outlined_jpeg, f"{result.file_name} with outlines")
    return result.file_name, line, [*pictures, outlined]
