"""The whole way of Detectron2's DefaultPredictor: a uint8 RGB image in, its nuclei in that image's frame out."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nucleate.core import Frame, Instances
from nucleate.models.mask_rcnn.boxes import clip, larger_than
from nucleate.models.mask_rcnn.network import MaskRCNN
from nucleate.models.mask_rcnn.pasting import paste_masks
from nucleate.models.mask_rcnn.preprocessing import network_image
from nucleate.models.mask_rcnn.pyramid import padded_side_px
from nucleate.models.mask_rcnn.roi_heads import Detections

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSettings:
    """How predictions are computed; the first two change speed, the third also the numbers a little.

    Args:
        images_at_once: images in one pass of the network; bounds memory.
        channels_last: store activations pixel by pixel, faster for EfficientNet on CPUs.
        resize_factor: see `network_image`; None is Detectron2's rule.
        bfloat16: compute in bfloat16 where torch's autocast does; only for processors with bfloat16 units.
    """

    images_at_once: int = 4
    channels_last: bool = False
    bfloat16: bool = False
    resize_factor: float | None = None


def predict(
    network: MaskRCNN, images_rgb: Sequence[NDArray[np.uint8]], settings: PredictionSettings | None = None
) -> list[Instances]:
    """Return each image's nuclei, in Detectron2's order (falling scores).

    Images of one padded size share a pass, so an answer never depends on the company of larger images.

    Args:
        network: in `eval()` mode, on its device, in the memory format that `settings` says.
        images_rgb: each (H, W, 3) uint8; sizes may differ.
        settings: speed; None for the defaults.

    Returns:
        One `Instances` an image, in order, in the frame of that image.

    Raises:
        DataError: an image has another shape or type.
    """
    settings = PredictionSettings() if settings is None else settings
    factor = settings.resize_factor
    inputs = [network_image(image, network.settings.image, resize_factor=factor) for image in images_rgb]
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, image in enumerate(inputs):
        groups[padded_side_px(image.shape[1]), padded_side_px(image.shape[2])].append(index)
    found: dict[int, Instances] = {}
    for indices in groups.values():
        for start in range(0, len(indices), settings.images_at_once):
            chosen = indices[start : start + settings.images_at_once]
            with torch.autocast(network.device.type, dtype=torch.bfloat16, enabled=settings.bfloat16):
                answers = network.detect([inputs[index] for index in chosen])
            for index, detections in zip(chosen, answers, strict=True):
                height, width = images_rgb[index].shape[:2]
                found[index] = instances_in_frame(detections, Frame(height_px=height, width_px=width))
    _warn_of_cap(network.settings.roi.detections_per_image, list(found.values()))
    return [found[index] for index in range(len(inputs))]


def instances_in_frame(detections: Detections, frame: Frame) -> Instances:
    """Return detections scaled to an image's frame: clipped, without empty boxes, masks pasted.

    Args:
        detections: in the network's frame.
        frame: the image before resizing.
    """
    height, width = detections.size_hw
    scale = [frame.width_px / width, frame.height_px / height] * 2
    boxes = clip(detections.boxes_xyxy * detections.boxes_xyxy.new_tensor(scale), frame.shape)
    kept = larger_than(boxes, 0.0)
    boxes = boxes[kept]
    return Instances(
        frame=frame,
        boxes_xyxy=boxes.cpu().numpy(),
        masks=paste_masks(detections.mask_probabilities[kept], boxes, frame),
        class_indices=detections.class_indices[kept].cpu().numpy(),
        scores=detections.scores[kept].cpu().numpy(),
    )


def _warn_of_cap(cap: int, answers: Sequence[Instances]) -> None:
    full = sum(0 < cap <= len(found) for found in answers)
    if full:
        _LOG.warning("%d of %d images reach TEST.DETECTIONS_PER_IMAGE: %d; raise it", full, len(answers), cap)
