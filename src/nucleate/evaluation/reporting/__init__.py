"""Evaluations and comparisons as pages to read: one HTML file with charts and pictures, and the same in Markdown."""

from __future__ import annotations

from nucleate.evaluation.reporting.cases import Case, draw_fates, worst_and_best
from nucleate.evaluation.reporting.comparison_report import (
    comparison_to_html,
    comparison_to_json,
    comparison_to_markdown,
    write_comparison,
)
from nucleate.evaluation.reporting.conclusions import Conclusion, conclusions
from nucleate.evaluation.reporting.page import evaluation_to_html

__all__ = [
    "Case",
    "Conclusion",
    "comparison_to_html",
    "comparison_to_json",
    "comparison_to_markdown",
    "conclusions",
    "draw_fates",
    "evaluation_to_html",
    "worst_and_best",
    "write_comparison",
]
