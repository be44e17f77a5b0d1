"""The Mask R-CNN behind the protocol that inference consumes: RGB images in, their nuclei out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nucleate.core import Instances
from nucleate.errors import ConfigError
from nucleate.models.checkpoints import find_weights
from nucleate.models.devices import default_device
from nucleate.models.mask_rcnn.network import MaskRCNN
from nucleate.models.mask_rcnn.prediction import PredictionSettings, predict
from nucleate.models.mask_rcnn.stored_networks import load_network

_FINGERPRINT_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRCNNSegmenter:
    """Segments images as Detectron2's DefaultPredictor does; make one with `load` or `from_network`.

    Args:
        name: for people.
        class_names: what `class_indices` count.
        fingerprint: differs where a weight or a setting of the network does.
        network: on its device, in `eval()` mode.
        settings: speed.
    """

    name: str
    class_names: tuple[str, ...]
    fingerprint: str
    network: MaskRCNN
    settings: PredictionSettings

    @classmethod
    def from_network(
        cls,
        network: MaskRCNN,
        *,
        name: str = "mask-rcnn",
        class_names: tuple[str, ...] | None = None,
        settings: PredictionSettings | None = None,
    ) -> MaskRCNNSegmenter:
        """Return a segmenter around a network, which is put into `eval()` mode.

        Args:
            network: with its weights, on its device.
            name: for people.
            class_names: one a class; None names a single class "nucleus", more "class 1", "class 2", ...
            settings: speed; None for the defaults.

        Raises:
            ConfigError: the number of names differs from the number of classes.
        """
        class_count = network.settings.roi.class_count
        names = default_class_names(class_count) if class_names is None else tuple(class_names)
        if len(names) != class_count:
            raise ConfigError(f"{len(names)} class names for {class_count} classes", item="MODEL.ROI_HEADS.NUM_CLASSES")
        settings = PredictionSettings() if settings is None else settings
        fingerprint = network_fingerprint(network)
        if settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        return cls(name=name, class_names=names, fingerprint=fingerprint, network=network.eval(), settings=settings)

    @classmethod
    def load(
        cls,
        path: Path,
        device: torch.device | None = None,
        *,
        class_names: tuple[str, ...] | None = None,
        settings: PredictionSettings | None = None,
    ) -> MaskRCNNSegmenter:
        """Return the segmenter of a run folder (or of a checkpoint with `config.yaml` beside it).

        Args:
            path: folder or file.
            device: None takes the fastest kind there is.
            class_names: see `from_network`.
            settings: see `from_network`.

        Raises:
            CheckpointError: weights or configuration are missing or don't fit.
            ConfigError: the configuration asks for something that is not built.
        """
        network = load_network(path, default_device() if device is None else device)
        folder = find_weights(path).resolve().parent
        return cls.from_network(network, name=folder.name, class_names=class_names, settings=settings)

    def at_scale_of(self, shortest_px: int) -> MaskRCNNSegmenter:
        """Return the same segmenter, resizing every image by the one factor that training images were resized by.

        Args:
            shortest_px: shorter side of the training images, which INPUT.MIN_SIZE_TEST brought to the network's.
        """
        wanted_px = self.network.settings.image.min_size_test_px
        factor = wanted_px / shortest_px if wanted_px else 1.0
        return replace(self, settings=replace(self.settings, resize_factor=factor))

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        """Return the nuclei of each (H, W, 3) uint8 image in that image's frame, best score first."""
        return predict(self.network, images_rgb, self.settings)


def default_class_names(class_count: int) -> tuple[str, ...]:
    """Return names for classes that nobody named."""
    return ("nucleus",) if class_count == 1 else tuple(f"class {index + 1}" for index in range(class_count))


def network_fingerprint(network: MaskRCNN) -> str:
    """Return 16 hexadecimal digits over the settings and every tensor, the same on every device."""
    digest = hashlib.sha256(repr(network.settings).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:_FINGERPRINT_CHARACTERS]
