"""Nuclei instance segmentation in H&E histology, from annotation to predictions.

>>> import nucleate
>>> result = nucleate.segment("image.png")
>>> figure = result[0].plot()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nucleate.api.check import check
    from nucleate.api.compare import compare
    from nucleate.api.convert import convert
    from nucleate.api.cross_validate import FoldTraining, cross_validate
    from nucleate.api.demo import demo
    from nucleate.api.evaluate import evaluate
    from nucleate.api.export import export as export_results
    from nucleate.api.fetch import fetch
    from nucleate.api.loading import load_model
    from nucleate.api.models import models as list_models
    from nucleate.api.prepare import PrepareSettings, prepare
    from nucleate.api.regions import RegionSettings, regions
    from nucleate.api.scoring import CompareSettings, EvaluateSettings
    from nucleate.api.segment import SegmentSettings, segment
    from nucleate.api.train import train
    from nucleate.api.training_start import TrainSettings
    from nucleate.inference import ImageArray

__version__ = "0.1.0"

__all__ = [
    "CompareSettings",
    "EvaluateSettings",
    "FoldTraining",
    "ImageArray",
    "PrepareSettings",
    "RegionSettings",
    "SegmentSettings",
    "TrainSettings",
    "check",
    "compare",
    "convert",
    "cross_validate",
    "demo",
    "evaluate",
    "export_results",
    "fetch",
    "list_models",
    "load_model",
    "prepare",
    "regions",
    "segment",
    "train",
]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: `import nucleate.core` must not pull in everything above it.
    if name == "list_models":
        # `nucleate.models` is the package of networks.
        return importlib.import_module("nucleate.api").models
    if name == "export_results":
        # `nucleate.export` is the package of formats.
        return importlib.import_module("nucleate.api").export
    if name in __all__:
        return getattr(importlib.import_module("nucleate.api"), name)
    raise AttributeError(f"module 'nucleate' has no attribute {name!r}")
