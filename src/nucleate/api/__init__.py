"""One function a command: wiring, and the settings that the command line flattens."""

from __future__ import annotations

from nucleate.api.check import CheckReport, check
from nucleate.api.compare import CompareSettings, compare
from nucleate.api.convert import ConvertReport, convert
from nucleate.api.demo import DemoReport, demo
from nucleate.api.evaluate import evaluate
from nucleate.api.export import ExportedFile, ExportReport, export
from nucleate.api.loading import LoadedModel, load_model
from nucleate.api.models import ModelEntry, ModelList, models
from nucleate.api.prepare import PrepareSettings, prepare
from nucleate.api.regions import RegionSettings, RegionsReport, regions
from nucleate.api.scoring import EvaluateSettings
from nucleate.api.segment import SegmentSettings, segment
from nucleate.api.slides import WholeSlideSettings
from nucleate.api.train import TrainReport, train
from nucleate.inference import ImageArray

__all__ = [
    "CheckReport",
    "CompareSettings",
    "ConvertReport",
    "DemoReport",
    "EvaluateSettings",
    "ExportReport",
    "ExportedFile",
    "ImageArray",
    "LoadedModel",
    "ModelEntry",
    "ModelList",
    "PrepareSettings",
    "RegionSettings",
    "RegionsReport",
    "SegmentSettings",
    "TrainReport",
    "WholeSlideSettings",
    "check",
    "compare",
    "convert",
    "demo",
    "evaluate",
    "export",
    "load_model",
    "models",
    "prepare",
    "regions",
    "segment",
    "train",
]
