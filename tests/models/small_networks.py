"""Networks small enough to build and train in a test."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import MaskRCNN, PolygonMasks, TrainingImage
from tests.models import golden

EFFICIENTNET = {
    "MODEL.BACKBONE.NAME": "build_efficientnet_lite0_fpn_backbone",
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [127.0, 127.0, 127.0],
    "MODEL.PIXEL_STD": [128.0, 128.0, 128.0],
    "MODEL.ROI_HEADS.NUM_CLASSES": 1,
}


def small_config(overrides: dict[str, Any] | None = None) -> DetectronConfig:
    """Return the fixture's narrow R50 recipe with some keys changed."""
    return golden.config("caffe", overrides)


def small_network(overrides: dict[str, Any] | None = None) -> MaskRCNN:
    torch.manual_seed(0)
    return MaskRCNN.from_config(small_config(overrides))


def square_polygon(x1: float, y1: float, x2: float, y2: float) -> tuple[np.ndarray[Any, np.dtype[np.float64]], ...]:
    return (np.array([x1, y1, x2, y1, x2, y2, x1, y2], np.float64),)


def training_image(boxes: list[list[float]], side_px: int = 128) -> TrainingImage:
    """Return noise with square nuclei of class 0."""
    pixels = torch.randint(0, 256, (3, side_px, side_px), generator=torch.Generator().manual_seed(1))
    return TrainingImage(
        image=pixels.to(torch.uint8),
        boxes_xyxy=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        class_indices=torch.zeros(len(boxes), dtype=torch.int64),
        masks=PolygonMasks(tuple(square_polygon(*box) for box in boxes)),
    )
