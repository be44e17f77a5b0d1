"""From images to nuclei: inputs, tiles, batches."""

from __future__ import annotations

from nucleate.inference.arrays import ImageArray
from nucleate.inference.dataset_predictions import predict_dataset
from nucleate.inference.inputs import IMAGE_SUFFIXES, ImageInput, Source, collect_inputs
from nucleate.inference.segmentation import InputFailure, Segmentation, StoredResult
from nucleate.inference.segmented_image import SegmentedImage
from nucleate.inference.segmenter import Segmenter
from nucleate.inference.segmenting import ImageInstances, InferenceSettings, LoadedImage, segment_images
from nucleate.inference.tiling import TilingSettings

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageArray",
    "ImageInput",
    "ImageInstances",
    "InferenceSettings",
    "InputFailure",
    "LoadedImage",
    "Segmentation",
    "SegmentedImage",
    "Segmenter",
    "Source",
    "StoredResult",
    "TilingSettings",
    "collect_inputs",
    "predict_dataset",
    "segment_images",
]
