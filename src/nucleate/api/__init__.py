"""One function a command: wiring, and the settings that the command line flattens."""

from __future__ import annotations

from nucleate.api.check import CheckReport, check
from nucleate.api.compare import compare
from nucleate.api.convert import ConvertReport, convert
from nucleate.api.cross_validate import FoldTraining, cross_validate
from nucleate.api.demo import DemoReport, demo
from nucleate.api.evaluate import evaluate
from nucleate.api.export import ExportedFile, ExportReport, export
from nucleate.api.fetch import FetchReport, PublishedSetList, fetch
from nucleate.api.fold_scores import CrossValidationReport, FoldScores
from nucleate.api.loading import LoadedModel, load_model
from nucleate.api.models import ModelEntry, ModelList, models
from nucleate.api.prepare import PrepareSettings, prepare
from nucleate.api.regions import RegionSettings, RegionsReport, regions
from nucleate.api.scoring import CompareSettings, EvaluateSettings
from nucleate.api.segment import SegmentSettings, segment
from nucleate.api.slides import WholeSlideSettings
from nucleate.api.train import TrainReport, train
from nucleate.api.training_start import TrainSettings
from nucleate.inference import ImageArray

__all__ = [
    "CheckReport",
    "CompareSettings",
    "ConvertReport",
    "CrossValidationReport",
    "DemoReport",
    "EvaluateSettings",
    "ExportReport",
    "ExportedFile",
    "FoldScores",
    "FoldTraining",
    "FetchReport",
    "ImageArray",
    "LoadedModel",
    "ModelEntry",
    "ModelList",
    "PrepareSettings",
    "PublishedSetList",
    "RegionSettings",
    "RegionsReport",
    "SegmentSettings",
    "TrainReport",
    "TrainSettings",
    "WholeSlideSettings",
    "check",
    "compare",
    "convert",
    "cross_validate",
    "demo",
    "evaluate",
    "export",
    "fetch",
    "load_model",
    "models",
    "prepare",
    "regions",
    "segment",
    "train",
]
