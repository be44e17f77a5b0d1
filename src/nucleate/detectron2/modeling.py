"""The network under Detectron2's calling convention, and its weights from wherever a configuration names them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nucleate.assets.weights import find_weights, recognised_weights
from nucleate.core import Frame
from nucleate.detectron2.config import CfgNode, detectron_config
from nucleate.detectron2.errors import NotBuiltError
from nucleate.detectron2.structures.instances import predicted_instances
from nucleate.errors import ConfigError
from nucleate.models.checkpoints import load_strictly, read_weights
from nucleate.models.devices import parse_device
from nucleate.models.mask_rcnn import MaskRCNN, instances_in_frame

__all__ = ["GeneralizedRCNN", "build_model", "device_of", "trained_model", "weights_of"]

_log = logging.getLogger(__name__)


class GeneralizedRCNN(MaskRCNN):
    """The Mask R-CNN that takes a list of dicts and returns one; its `state_dict` has Detectron2's names."""

    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return each image's instances in the frame of `height` and `width`.

        Args:
            batched_inputs: dicts with `image`, (3, h, w) in INPUT.FORMAT's channel order, already resized; `height`
                and `width` of the image before that, by default those of `image`.

        Raises:
            NotBuiltError: in training mode.
        """
        if self.training:
            raise NotBuiltError(
                "losses by calling the model are not built: DefaultTrainer trains, model.eval() answers"
            )
        images: list[Tensor] = [each["image"] for each in batched_inputs]
        answers = []
        for each, image, detections in zip(batched_inputs, images, self.detect(images), strict=True):
            frame = Frame(
                height_px=int(each.get("height", image.shape[1])), width_px=int(each.get("width", image.shape[2]))
            )
            answers.append({"instances": predicted_instances(instances_in_frame(detections, frame), self.device)})
        return answers


def build_model(cfg: CfgNode) -> GeneralizedRCNN:
    """Return the network of a configuration, with its initial weights, on its device.

    Raises:
        ConfigError: the configuration asks for something that is not built; the key is named.
    """
    network = GeneralizedRCNN.from_config(detectron_config(cfg))
    assert isinstance(network, GeneralizedRCNN)
    return network.to(device_of(cfg))


def trained_model(cfg: CfgNode) -> GeneralizedRCNN:
    """Return the network of a configuration with the weights that MODEL.WEIGHTS names, ready to answer.

    Raises:
        CheckpointError: the weights are damaged or don't fit the configuration.
        ConfigError: no weights are named, or something that is not built.
        DownloadError: they could not be fetched.
    """
    path = weights_of(cfg)
    if path is None:
        raise ConfigError("is empty: name the weights to predict with", item="MODEL.WEIGHTS")
    network = build_model(cfg)
    load_strictly(network, read_weights(path))
    return network.eval()


def weights_of(cfg: CfgNode) -> Path | None:
    """Return the file that MODEL.WEIGHTS names, fetched where it is an address or a name; None where it is empty."""
    name = str(cfg.MODEL.WEIGHTS)
    if not name:
        return None
    try:
        path = find_weights(name)
    except ConfigError as error:
        raise ConfigError(error.message, item=f"MODEL.WEIGHTS {name}") from error
    published = recognised_weights(name)
    if published is not None:
        # torchvision's see other colours and strides than the zoo's, and no file tells.
        published.check(detectron_config(cfg).get)
    return path


def device_of(cfg: CfgNode) -> torch.device:
    """Return MODEL.DEVICE, or the CPU, with a line, where it is CUDA and there is none.

    Raises:
        ConfigError: no such device.
    """
    name = str(cfg.MODEL.DEVICE)
    if name.startswith("cuda") and not torch.cuda.is_available():
        _log.warning("MODEL.DEVICE is %s, but there is no CUDA device: the CPU computes", name)
        return torch.device("cpu")
    return parse_device(name)
