"""RoIAlign over the pyramid: each box is read from the level that fits its size (Lin 2017, eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

from nucleate.models.mask_rcnn.boxes import areas
from nucleate.models.mask_rcnn.pyramid import STRIDES_PX

_CANONICAL_SIDE_PX = 224
_CANONICAL_LEVEL = 4
_FINEST_LEVEL, _COARSEST_LEVEL = 2, 5
_TINY = 1e-8


def pyramid_level(boxes_xyxy: Tensor) -> Tensor:
    """Return (N,) int64: 2 to 5, the level that each box is read from."""
    side = torch.sqrt(areas(boxes_xyxy))
    level = torch.floor(_CANONICAL_LEVEL + torch.log2(side / _CANONICAL_SIDE_PX + _TINY))
    return level.clamp(_FINEST_LEVEL, _COARSEST_LEVEL).to(torch.int64)


def pool_boxes(
    features: Sequence[Tensor], boxes_xyxy: Sequence[Tensor], *, resolution_px: int, sampling_ratio: int
) -> Tensor:
    """Return the features inside boxes.

    Args:
        features: maps of p2 to p5 (more are ignored), each (N, C, H, W).
        boxes_xyxy: for each of the N images (R, 4) in network pixels.
        resolution_px: side of the answer.
        sampling_ratio: samples a bin and side; 0 takes as many as the bin is wide.

    Returns:
        (all R together, C, resolution, resolution), in the order of the boxes.
    """
    boxes = torch.cat(list(boxes_xyxy))
    images = torch.cat([torch.full((len(own), 1), float(index)) for index, own in enumerate(boxes_xyxy)])
    rois = torch.cat((images.to(boxes), boxes), dim=1)
    levels = pyramid_level(boxes)
    order, pooled = [], []
    for index, level in enumerate(range(_FINEST_LEVEL, _COARSEST_LEVEL + 1)):
        rows = torch.nonzero(levels == level)[:, 0]
        # An empty level is pooled too: its features then have a gradient (zero) as in Detectron2.
        seen = roi_align(
            features[index],
            rois[rows].to(features[index].dtype),
            resolution_px,
            spatial_scale=1.0 / STRIDES_PX[index],
            sampling_ratio=sampling_ratio,
            aligned=True,
        )
        order.append(rows)
        pooled.append(seen)
    return torch.cat(pooled).index_select(0, torch.argsort(torch.cat(order)))
