"""Predictions against annotations: matching, PQ, AJI, Dice, average precision, reports and pictures."""

from __future__ import annotations

from nucleate.evaluation.average_precision import (
    AveragePrecision,
    AveragePrecisionScorer,
    ClassPrecision,
    Kind,
    PrecisionTable,
    SizeCounts,
)
from nucleate.evaluation.centroids import CentroidLimit, Centroids, centroid_matches
from nucleate.evaluation.comparison import Comparison, ScoreDifference, compare_evaluations
from nucleate.evaluation.dataset_scores import evaluate_predictions
from nucleate.evaluation.detectron2_text import detectron2_messages, detectron2_scores, detectron2_text
from nucleate.evaluation.fates import AnnotatedNuclei, Fate, FoundShare, ImageFates, image_fates, recall_by_area
from nucleate.evaluation.image_scores import (
    DetectionScores,
    EmptyImageRule,
    Scores,
    detection_scores,
    image_scores,
    mean_detection,
    mean_scores,
    score_overlaps,
)
from nucleate.evaluation.intervals import (
    Interval,
    IntervalMethod,
    PairedDifference,
    Resampling,
    mean_intervals,
    paired_difference,
)
from nucleate.evaluation.matching import Overlaps, label_map_overlaps, mask_overlaps
from nucleate.evaluation.nuceval import CorrectedImage, border_ring, correct_image
from nucleate.evaluation.pairing import PairedSides, dataset_of_side, pair_sides, pair_with_dataset
from nucleate.evaluation.pannuke import PannukeAverages, PannukeImage, pannuke_averages, pannuke_image
from nucleate.evaluation.panoptic import Matches
from nucleate.evaluation.pictures import ComparisonStyle, draw_side_by_side, write_pictures
from nucleate.evaluation.protocols import NucevalParts, Protocol, ProtocolName, Rasteriser
from nucleate.evaluation.rasterisation import rasterise
from nucleate.evaluation.report import check_same_conditions, evaluation_to_json, report_markdown, write_report
from nucleate.evaluation.report_tables import evaluation_to_markdown
from nucleate.evaluation.reporting import (
    Case,
    Conclusion,
    conclusions,
    draw_fates,
    evaluation_to_html,
    worst_and_best,
    write_comparison,
)
from nucleate.evaluation.results import (
    ClassResult,
    CountErrors,
    Evaluation,
    EvaluationSettings,
    GroupResult,
    ImageResult,
    ScoreInterval,
)
from nucleate.evaluation.results_file import FoundPredictions, read_results_file, read_results_of_files
from nucleate.evaluation.slide_scores import SlideOverlaps, evaluate_slide, slide_overlaps
from nucleate.evaluation.standard import ImagePair, of_known_classes, pair_image
from nucleate.evaluation.tally import SizeMatches, Tally, pooled, tally_overlaps
from nucleate.evaluation.threshold import ThresholdCurve, choose_score_threshold, threshold_curve
from nucleate.evaluation.vague_areas import VagueAreas

__all__ = [
    "AnnotatedNuclei",
    "AveragePrecision",
    "AveragePrecisionScorer",
    "Case",
    "CentroidLimit",
    "Centroids",
    "ClassPrecision",
    "ClassResult",
    "Comparison",
    "ComparisonStyle",
    "Conclusion",
    "CorrectedImage",
    "CountErrors",
    "DetectionScores",
    "EmptyImageRule",
    "Evaluation",
    "EvaluationSettings",
    "Fate",
    "FoundPredictions",
    "FoundShare",
    "GroupResult",
    "ImageFates",
    "ImagePair",
    "ImageResult",
    "Interval",
    "IntervalMethod",
    "Kind",
    "Matches",
    "NucevalParts",
    "Overlaps",
    "PairedDifference",
    "PairedSides",
    "PannukeAverages",
    "PannukeImage",
    "PrecisionTable",
    "Protocol",
    "ProtocolName",
    "Rasteriser",
    "Resampling",
    "ScoreDifference",
    "ScoreInterval",
    "Scores",
    "SizeCounts",
    "SizeMatches",
    "SlideOverlaps",
    "Tally",
    "ThresholdCurve",
    "VagueAreas",
    "border_ring",
    "centroid_matches",
    "check_same_conditions",
    "choose_score_threshold",
    "compare_evaluations",
    "conclusions",
    "correct_image",
    "dataset_of_side",
    "detection_scores",
    "detectron2_messages",
    "detectron2_scores",
    "detectron2_text",
    "draw_fates",
    "draw_side_by_side",
    "evaluate_predictions",
    "evaluate_slide",
    "evaluation_to_html",
    "evaluation_to_json",
    "evaluation_to_markdown",
    "image_fates",
    "image_scores",
    "label_map_overlaps",
    "mask_overlaps",
    "mean_detection",
    "mean_intervals",
    "mean_scores",
    "of_known_classes",
    "pair_image",
    "pair_sides",
    "pair_with_dataset",
    "paired_difference",
    "pannuke_averages",
    "pannuke_image",
    "pooled",
    "rasterise",
    "read_results_file",
    "read_results_of_files",
    "recall_by_area",
    "report_markdown",
    "score_overlaps",
    "slide_overlaps",
    "tally_overlaps",
    "threshold_curve",
    "worst_and_best",
    "write_comparison",
    "write_pictures",
    "write_report",
]
