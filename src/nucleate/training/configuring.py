"""A recipe made concrete for a data set: classes, mask format, which images, which seed."""

from __future__ import annotations

import logging
import secrets
import statistics
from pathlib import Path
from typing import Any

from nucleate.core import Rle
from nucleate.data import CocoDataset, available_splits, read_dataset
from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.training.recipes import Recipe

_log = logging.getLogger(__name__)
# Larger than any tile: the factor of the shorter side is never cut.
_LONGEST_SIDE_PX = 8192


def split_names(config: DetectronConfig, key: str) -> tuple[str, ...]:
    """Return the splits that DATASETS.TRAIN or DATASETS.TEST names."""
    value: Any = config.get(key)
    return tuple(value)


def read_split(data: Path, config: DetectronConfig, key: str) -> CocoDataset | None:
    """Return the data set's split that DATASETS.TRAIN or DATASETS.TEST names.

    Args:
        data: a folder that `prepare` made, or one COCO file.
        config: names at most one split a key.
        key: DATASETS.TRAIN or DATASETS.TEST.

    Returns:
        The split. Training data without splits is taken whole; without a validation split the answer is None.

    Raises:
        ConfigError: several splits are named, or one that no data set has.
        DataError: no data set.
    """
    names = split_names(config, key)
    if len(names) > 1 or any(name not in ("train", "val", "test", "all") for name in names):
        raise ConfigError(f"{list(names)}: one of train, val, test, all", item=key)
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


def configure(
    recipe: Recipe, dataset: CocoDataset, output: Path, *, weights: Path | None, from_nothing: bool
) -> DetectronConfig:
    """Return the recipe's configuration with everything that the data set decides.

    Args:
        recipe: with the user's overrides.
        dataset: the training split.
        output: the run folder.
        weights: the checkpoint to start from.
        from_nothing: no weights are loaded, so nothing may be frozen.

    Raises:
        ConfigError: fewer classes than the data set has, or a key of the user's that can't be kept.
    """
    config = recipe.config
    classes = len(dataset.class_names)
    wanted: Any = config.get("MODEL.ROI_HEADS.NUM_CLASSES")
    changes: dict[str, Any] = {"OUTPUT_DIR": output.as_posix(), "MODEL.WEIGHTS": weights.as_posix() if weights else ""}
    if "MODEL.ROI_HEADS.NUM_CLASSES" not in recipe.explicit_keys:
        changes["MODEL.ROI_HEADS.NUM_CLASSES"] = classes
    elif wanted < classes:
        raise ConfigError(
            f"{wanted} for a data set of {classes} classes ({', '.join(dataset.class_names)})",
            item="MODEL.ROI_HEADS.NUM_CLASSES",
        )
    elif wanted > classes:
        _log.warning(
            "MODEL.ROI_HEADS.NUM_CLASSES is %d, the data set has %d: the rest of the head learns nothing",
            wanted,
            classes,
        )
    if config.get("INPUT.MASK_FORMAT") == "polygon" and has_run_length_codes(dataset):
        if "INPUT.MASK_FORMAT" in recipe.explicit_keys:
            raise ConfigError(
                "polygon, but the annotations hold run-length codes: set bitmask, or prepare with --masks polygon",
                item="INPUT.MASK_FORMAT",
            )
        _log.info("the annotations hold run-length codes: INPUT.MASK_FORMAT is bitmask")
        changes["INPUT.MASK_FORMAT"] = "bitmask"
    augmentation = recipe.settings.augmentation
    if augmentation.enabled and "INPUT.MIN_SIZE_TEST" not in recipe.explicit_keys:
        # Tests see nuclei at the size that training saw them at, whatever size the images have.
        changes["INPUT.MIN_SIZE_TEST"] = round(typical_side_px(dataset) * augmentation.magnification)
        changes["INPUT.MAX_SIZE_TEST"] = _LONGEST_SIDE_PX
    if from_nothing:
        changes["MODEL.BACKBONE.FREEZE_AT"] = 0
    if config.get("SEED") == -1:
        changes["SEED"] = secrets.randbelow(2**31)
        _log.info("SEED drawn: %d", changes["SEED"])
    return config.with_overrides(changes)


def typical_side_px(dataset: CocoDataset) -> int:
    """Return the median shorter side of the images."""
    return round(statistics.median(min(record.frame.shape) for record in dataset.records))


def has_run_length_codes(dataset: CocoDataset) -> bool:
    """Return whether any annotation is a run-length code, which Detectron2's polygon mode refuses."""
    return any(isinstance(each.segmentation, Rle) for entries in dataset.entries.values() for each in entries)


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
