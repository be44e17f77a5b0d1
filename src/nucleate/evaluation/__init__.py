"""Predictions against annotations: matching, PQ, AJI, Dice, average precision, reports and pictures."""

from __future__ import annotations

from nucleate.evaluation.average_precision import (
    AveragePrecision,
    AveragePrecisionScorer,
    ClassPrecision,
    PrecisionTable,
    SizeCounts,
)
from nucleate.evaluation.detectron2_text import detectron2_messages, detectron2_scores, detectron2_text
from nucleate.evaluation.image_scores import EmptyImageRule, Scores, mean_scores, score_overlaps
from nucleate.evaluation.matching import Overlaps, label_map_overlaps, mask_overlaps
from nucleate.evaluation.report import evaluation_to_json, evaluation_to_markdown, write_report
from nucleate.evaluation.results import Evaluation, EvaluationSettings, GroupResult, ImageResult
from nucleate.evaluation.standard import evaluate_predictions
from nucleate.evaluation.threshold import ThresholdCurve, choose_score_threshold, threshold_curve

__all__ = [
    "AveragePrecision",
    "AveragePrecisionScorer",
    "ClassPrecision",
    "EmptyImageRule",
    "Evaluation",
    "EvaluationSettings",
    "GroupResult",
    "ImageResult",
    "Overlaps",
    "PrecisionTable",
    "Scores",
    "SizeCounts",
    "ThresholdCurve",
    "choose_score_threshold",
    "detectron2_messages",
    "detectron2_scores",
    "detectron2_text",
    "evaluate_predictions",
    "evaluation_to_json",
    "evaluation_to_markdown",
    "label_map_overlaps",
    "mask_overlaps",
    "mean_scores",
    "score_overlaps",
    "threshold_curve",
    "write_report",
]
