"""Masks from the boxes' small grids back into the image, pixel for pixel as Detectron2 pastes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nucleate.core import Frame, Masks

_PIXELS_AT_ONCE = 2**21
"""Pixels sampled at a time: 24 MB of positions and answers, whatever the number of detections."""
_INSIDE = 0.5


def paste_masks(probabilities: Tensor, boxes_xyxy: Tensor, frame: Frame) -> Masks:
    """Return each nucleus' pixels: its map sampled at pixel centres, inside from one half on.

    Only a window of one pixel more than the box on each side is sampled; beyond it the map is zero.

    Args:
        probabilities: (D, S, S) float32, each stretched over its box.
        boxes_xyxy: (D, 4) in the frame's pixels, clipped to it, not empty.
        frame: the image.

    Returns:
        D masks in the order of the boxes; one may hold no pixel.
    """
    windows = _windows(boxes_xyxy, frame)
    bitmaps: list[NDArray[np.bool_]] = [np.zeros((0, 0), np.bool_)] * len(windows)
    for rows in _chunks(windows):
        chosen = torch.from_numpy(rows).to(boxes_xyxy.device)
        inside = _sampled(probabilities[chosen], boxes_xyxy[chosen], windows[rows])
        for row, bitmap in zip(rows.tolist(), inside, strict=True):
            left, top, right, bottom = windows[row]
            bitmaps[row] = bitmap[: bottom - top, : right - left]
    return Masks.from_bitmaps(frame, windows, bitmaps)


def _windows(boxes_xyxy: Tensor, frame: Frame) -> NDArray[np.int32]:
    low = (boxes_xyxy[:, :2].floor() - 1).clamp(min=0)
    high = boxes_xyxy[:, 2:].ceil() + 1
    high = torch.minimum(high, high.new_tensor([frame.width_px, frame.height_px]))
    windows: NDArray[np.int32] = torch.cat((low, high), dim=1).cpu().numpy().astype(np.int32)
    return windows


def _chunks(windows: NDArray[np.int32]) -> Iterator[NDArray[np.int64]]:
    """Yield rows to sample together: of similar size, since all get the largest one's grid."""
    sides = np.maximum(windows[:, 2:] - windows[:, :2], 1)
    order = np.argsort(sides.max(axis=1, initial=1), kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order):
            width, height = sides[order[start : stop + 1]].max(axis=0)
            if (stop + 1 - start) * int(width) * int(height) > _PIXELS_AT_ONCE:
                break
            stop += 1
        yield order[start:stop]
        start = stop


def _sampled(probabilities: Tensor, boxes_xyxy: Tensor, windows: NDArray[np.int32]) -> NDArray[np.bool_]:
    corners = torch.from_numpy(windows[:, :2]).to(boxes_xyxy)
    width, height = (int(side) for side in (windows[:, 2:] - windows[:, :2]).max(axis=0))
    x1, y1, x2, y2 = boxes_xyxy[:, :, None].unbind(dim=1)
    columns = torch.arange(width, dtype=boxes_xyxy.dtype, device=boxes_xyxy.device) + corners[:, :1] + 0.5
    rows = torch.arange(height, dtype=boxes_xyxy.dtype, device=boxes_xyxy.device) + corners[:, 1:] + 0.5
    grid_x = (columns - x1) / (x2 - x1) * 2 - 1
    grid_y = (rows - y1) / (y2 - y1) * 2 - 1
    shape = (len(windows), height, width)
    grid = torch.stack((grid_x[:, None, :].expand(shape), grid_y[:, :, None].expand(shape)), dim=3)
    sampled = F.grid_sample(probabilities[:, None], grid, align_corners=False)
    inside: NDArray[np.bool_] = (sampled[:, 0] >= _INSIDE).cpu().numpy()
    return inside
