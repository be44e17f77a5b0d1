"""Which images a training reads, by Detectron2's keys, and what is true of all of them."""

from __future__ import annotations

import logging
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from nucleate.data import CocoDataset, FoldSplit, available_splits, read_dataset
from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig

_log = logging.getLogger(__name__)


def split_names(config: DetectronConfig, key: str) -> tuple[str, ...]:
    """Return the splits that DATASETS.TRAIN or DATASETS.TEST names."""
    value: Any = config.get(key)
    return tuple(value)


def read_split(data: Path, config: DetectronConfig, key: str, *, fold: FoldSplit | None = None) -> CocoDataset | None:
    """Return the data set's split that DATASETS.TRAIN or DATASETS.TEST names.

    Args:
        data: a folder that `prepare` made, or one COCO file.
        config: names at most one split a key.
        key: DATASETS.TRAIN or DATASETS.TEST.
        fold: takes the place of the folder's own splits.

    Returns:
        The split. Training data without splits is taken whole; without a validation split the answer is None.

    Raises:
        ConfigError: several splits are named, or one that no data set has.
        DataError: no data set.
    """
    names = split_names(config, key)
    if len(names) > 1 or any(name not in ("train", "val", "test", "all") for name in names):
        raise ConfigError(f"{list(names)}: one of train, val, test, all", item=key)
    if fold is not None:
        return _read_of_fold(data, names, key, fold)
    there = available_splits(data)
    wanted = names[0] if names else None
    if key == "DATASETS.TRAIN" and (wanted not in there):
        if "train" in there:
            raise ConfigError(f"no split {wanted!r} in the data; it has {', '.join(there)}", item=key)
        whole = read_dataset(data, split="all")
        _log.warning("%s has no split to train on: all of its images are taken", data)
        return whole
    if wanted is None or wanted not in there:
        return None
    return read_dataset(data, split=wanted)  # type: ignore[arg-type]


def _read_of_fold(data: Path, names: tuple[str, ...], key: str, fold: FoldSplit) -> CocoDataset | None:
    """Return the fold's images to learn from or to choose by; those that it is scored on are out of reach."""
    own, chosen = ("train", fold.train) if key == "DATASETS.TRAIN" else ("val", fold.val)
    if names not in ((), (own,)) or (not names and own == "train"):
        raise ConfigError(f"{list(names)}: in cross-validation a fold's own {own} alone", item=key)
    return read_dataset(data).subset(chosen) if names and chosen else None


def typical_side_px(dataset: CocoDataset) -> int:
    """Return the median shorter side of the images."""
    return round(statistics.median(min(record.frame.shape) for record in dataset.records))


def training_records(dataset: CocoDataset, config: DetectronConfig) -> tuple[int, ...]:
    """Return the indices of the images that are trained on; DATALOADER.FILTER_EMPTY_ANNOTATIONS leaves some out."""
    keep_empty = not config.get("DATALOADER.FILTER_EMPTY_ANNOTATIONS")
    chosen = tuple(
        index
        for index, record in enumerate(dataset.records)
        if keep_empty or any(not each.is_crowd for each in dataset.entries[record.image_id])
    )
    left_out = len(dataset.records) - len(chosen)
    if left_out:
        _log.warning("%d images without nuclei are never seen (DATALOADER.FILTER_EMPTY_ANNOTATIONS is True)", left_out)
    return chosen


def median_diameter_px(dataset: CocoDataset) -> float | None:
    """Return the median equivalent diameter of the annotated nuclei, None for none."""
    areas = [dataset.annotations(record).instances.masks.areas_px() for record in dataset.records]
    every = np.concatenate(areas) if areas else np.zeros(0)
    return round(float(np.median(2 * np.sqrt(every / np.pi))), 1) if len(every) else None
