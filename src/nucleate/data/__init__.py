"""Annotated images: sources read, data sets prepared and read back."""

from __future__ import annotations

from nucleate.data.coco_file import ImageRecord
from nucleate.data.dataset import Annotations, CocoDataset, Split, available_splits, read_dataset
from nucleate.data.folds import FoldSplit, read_folds
from nucleate.data.made_dataset import dataset_of_instances

__all__ = [
    "Annotations",
    "CocoDataset",
    "FoldSplit",
    "ImageRecord",
    "Split",
    "available_splits",
    "dataset_of_instances",
    "read_dataset",
    "read_folds",
]
