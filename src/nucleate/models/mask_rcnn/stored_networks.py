"""A network from a run folder: `config.yaml` and the weights that were trained with it."""

from __future__ import annotations

from pathlib import Path

import torch

from nucleate.errors import CheckpointError
from nucleate.models.checkpoints import find_weights, load_strictly, read_weights
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn.network import MaskRCNN

CONFIG_NAME = "config.yaml"


def config_beside(weights_path: Path) -> DetectronConfig:
    """Return the configuration beside a checkpoint.

    Raises:
        CheckpointError: there is none. Channel order, pixel statistics and the place of the strides leave no trace in
            the tensors, so weights without it would answer wrongly and nobody would notice.
    """
    config_path = weights_path.parent / CONFIG_NAME
    if not config_path.is_file():
        raise CheckpointError(
            f"no {CONFIG_NAME} beside the weights: copy the one from the training's OUTPUT_DIR (or write cfg.dump() "
            "there); channel order, pixel mean and stride can't be read off the weights",
            path=weights_path,
        )
    return DetectronConfig.load(config_path)


def load_network(path: Path, device: torch.device) -> MaskRCNN:
    """Return the trained network of a run, ready to answer.

    Args:
        path: a run folder, or a checkpoint with its `config.yaml` beside it.
        device: where to put it; MODEL.DEVICE is not looked at.

    Raises:
        CheckpointError: weights or configuration are missing or don't fit each other.
        ConfigError: the configuration asks for something that is not built.
    """
    weights_path = find_weights(path)
    network = MaskRCNN.from_config(config_beside(weights_path))
    load_strictly(network, read_weights(weights_path))
    return network.to(device).eval()
