"""Anchors of every level: not rounded, fixed strides, in the order y, x, then size-major cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nucleate.models.mask_rcnn.pyramid import STRIDES_PX
from nucleate.models.mask_rcnn.settings import AnchorSettings


def cell_anchors(sizes_px: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """Return the boxes around the origin of one level: (sizes x ratios, 4) float32, ratio = height / width."""
    boxes = []
    for size_px in sizes_px:
        for ratio in aspect_ratios:
            width = math.sqrt(size_px**2.0 / ratio)
            height = ratio * width
            boxes.append([-width / 2.0, -height / 2.0, width / 2.0, height / 2.0])
    return torch.tensor(boxes)


def level_anchors(settings: AnchorSettings, sizes_hw: Sequence[tuple[int, int]], device: torch.device) -> list[Tensor]:
    """Return the anchors of p2 to p6.

    Args:
        settings: sizes, ratios, offset.
        sizes_hw: height and width of each level's feature map.
        device: where to put them.

    Returns:
        For each level (H * W * A, 4) boxes x1, y1, x2, y2 in network pixels.
    """
    anchors = []
    for level, (height, width) in enumerate(sizes_hw):
        stride = STRIDES_PX[level]
        cells = cell_anchors(settings.sizes_px[level], settings.aspect_ratios[level]).to(device)
        start = settings.offset * stride
        columns = torch.arange(start, width * stride, step=stride, dtype=torch.float32, device=device)
        rows = torch.arange(start, height * stride, step=stride, dtype=torch.float32, device=device)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        shifts = torch.stack((x.reshape(-1), y.reshape(-1), x.reshape(-1), y.reshape(-1)), dim=1)
        anchors.append((shifts[:, None] + cells[None]).reshape(-1, 4))
    return anchors
