"""A recipe made concrete for a data set: classes, mask format, which images, which seed."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Any

from nucleate.core import Rle
from nucleate.data import CocoDataset
from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.training.mask_rcnn.settings import MaskRCNNRecipeSettings
from nucleate.training.recipes import Recipe
from nucleate.training.splits import typical_side_px

_log = logging.getLogger(__name__)
# Larger than any tile: the factor of the shorter side is never cut.
_LONGEST_SIDE_PX = 8192


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
    assert isinstance(recipe.settings, MaskRCNNRecipeSettings)
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


def has_run_length_codes(dataset: CocoDataset) -> bool:
    """Return whether any annotation is a run-length code, which Detectron2's polygon mode refuses."""
    return any(isinstance(each.segmentation, Rle) for entries in dataset.entries.values() for each in entries)
