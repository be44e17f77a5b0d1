"""Training and prediction by a configuration alone."""

from __future__ import annotations

from nucleate.detectron2.engine.predictor import DefaultPredictor
from nucleate.detectron2.engine.trainer import DefaultTrainer

__all__ = ["DefaultPredictor", "DefaultTrainer"]
