"""COCO's average precision of a model on a registered data set."""

from __future__ import annotations

from nucleate.detectron2.evaluation.coco_evaluation import COCOEvaluator
from nucleate.detectron2.evaluation.evaluator import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from nucleate.detectron2.evaluation.messages import print_csv_format

__all__ = ["COCOEvaluator", "DatasetEvaluator", "DatasetEvaluators", "inference_on_dataset", "print_csv_format"]
