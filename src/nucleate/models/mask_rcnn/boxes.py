"""Box arithmetic on (N, 4) tensors x1, y1, x2, y2: overlap, regression deltas, clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_LARGEST_LOG_SCALE = math.log(1000.0 / 16)
"""Cap of predicted log sizes, so exp can't overflow."""
_SMALLEST_SMOOTH_BETA = 1e-5


def areas(boxes_xyxy: Tensor) -> Tensor:
    """Return (N,) areas."""
    return (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])


def pairwise_iou(rows_xyxy: Tensor, columns_xyxy: Tensor) -> Tensor:
    """Return the (M, N) intersection over union; 0 where boxes don't touch, also for empty boxes."""
    width = torch.minimum(rows_xyxy[:, None, 2], columns_xyxy[None, :, 2])
    width -= torch.maximum(rows_xyxy[:, None, 0], columns_xyxy[None, :, 0])
    height = torch.minimum(rows_xyxy[:, None, 3], columns_xyxy[None, :, 3])
    height -= torch.maximum(rows_xyxy[:, None, 1], columns_xyxy[None, :, 1])
    intersection = width.clamp_(min=0).mul_(height.clamp_(min=0))
    union = areas(rows_xyxy)[:, None] + areas(columns_xyxy)[None] - intersection
    return torch.where(intersection > 0, intersection / union, 0.0)


def clip(boxes_xyxy: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return boxes cut at the frame 0..width, 0..height; the last dimension holds the coordinates."""
    height, width = size_hw
    x1, y1, x2, y2 = boxes_xyxy.unbind(dim=-1)
    return torch.stack((x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), dim=-1)


def larger_than(boxes_xyxy: Tensor, side_px: float) -> Tensor:
    """Return (N,) bool: both sides exceed `side_px`."""
    width = boxes_xyxy[:, 2] - boxes_xyxy[:, 0]
    height = boxes_xyxy[:, 3] - boxes_xyxy[:, 1]
    return (width > side_px) & (height > side_px)


def encode_deltas(sources_xyxy: Tensor, targets_xyxy: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the (N, 4) deltas dx, dy, dw, dh that lead from source boxes to target boxes (Girshick 2014)."""
    source_wh = sources_xyxy[:, 2:] - sources_xyxy[:, :2]
    target_wh = targets_xyxy[:, 2:] - targets_xyxy[:, :2]
    source_centre = sources_xyxy[:, :2] + 0.5 * source_wh
    target_centre = targets_xyxy[:, :2] + 0.5 * target_wh
    scale = sources_xyxy.new_tensor(list(weights))
    shift = scale[:2] * (target_centre - source_centre) / source_wh
    growth = scale[2:] * torch.log(target_wh / source_wh)
    return torch.cat((shift, growth), dim=1)


def decode_deltas(deltas: Tensor, sources_xyxy: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the boxes that deltas make of source boxes.

    Args:
        deltas: (N, 4 * G), groups of dx, dy, dw, dh.
        sources_xyxy: (N, 4).
        weights: the four weights that the deltas were encoded with.

    Returns:
        (N, 4 * G) float32 boxes, not clipped.
    """
    groups = deltas.float().reshape(len(deltas), -1, 4)
    sources_xyxy = sources_xyxy.float()
    source_wh = (sources_xyxy[:, 2:] - sources_xyxy[:, :2])[:, None]
    source_centre = sources_xyxy[:, None, :2] + 0.5 * source_wh
    scale = groups.new_tensor(list(weights))
    shift = groups[..., :2] / scale[:2]
    growth = (groups[..., 2:] / scale[2:]).clamp(max=_LARGEST_LOG_SCALE)
    centre = shift * source_wh + source_centre
    half_wh = 0.5 * (torch.exp(growth) * source_wh)
    return torch.cat((centre - half_wh, centre + half_wh), dim=-1).reshape(len(deltas), -1)


def smooth_l1_sum(predicted: Tensor, target: Tensor, beta: float) -> Tensor:
    """Return the summed smooth L1 loss; with `beta` 0, Detectron2's default, plain L1."""
    distance = (predicted - target).abs()
    if beta < _SMALLEST_SMOOTH_BETA:
        return distance.sum()
    return torch.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta).sum()
