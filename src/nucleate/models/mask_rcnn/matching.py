"""Which annotated box an anchor or proposal belongs to, in memory bounded whatever the number of nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nucleate.models.mask_rcnn.boxes import pairwise_iou

_PAIRS_AT_ONCE = 2**20
"""Pairs whose overlap is held at a time: 4 MB an array, so it stays in the processor's cache."""

BELOW, BETWEEN, ABOVE = 0, -1, 1


@dataclass(frozen=True, slots=True)
class Matches:
    """The best annotated box of each candidate box.

    Args:
        annotated_indices: (N,) int64; 0 where there is nothing annotated.
        labels: (N,) int8: 0 below the lower threshold, -1 between the two, 1 from the upper one on.
    """

    annotated_indices: Tensor
    labels: Tensor


def match_boxes(
    annotated_xyxy: Tensor,
    candidates_xyxy: Tensor,
    thresholds: tuple[float, float],
    *,
    ties: Literal["keep best", "thresholds only"],
) -> Matches:
    """Match candidate boxes to annotated boxes by IoU.

    Args:
        annotated_xyxy: (M, 4), M may be 0.
        candidates_xyxy: (N, 4).
        thresholds: IoU below the first is label 0, from the second on label 1.
        ties: "keep best" gives label 1 also to every candidate that overlaps an annotated box as much as any other
            does, so each annotated box has one (the anchors' rule).

    Returns:
        One match a candidate.
    """
    count = len(candidates_xyxy)
    best = candidates_xyxy.new_full((count,), -1.0)
    indices = torch.zeros(count, dtype=torch.int64, device=candidates_xyxy.device)
    kept = torch.zeros(count, dtype=torch.bool, device=candidates_xyxy.device)
    rows_at_once = max(1, _PAIRS_AT_ONCE // max(count, 1))
    for start in range(0, len(annotated_xyxy) if count else 0, rows_at_once):
        iou = pairwise_iou(annotated_xyxy[start : start + rows_at_once], candidates_xyxy)
        row_best, row_indices = iou.max(dim=0)
        # Strictly greater: the first of equally good annotated boxes wins, as in one maximum over all.
        better = row_best > best
        best = torch.where(better, row_best, best)
        indices = torch.where(better, row_indices + start, indices)
        if ties == "keep best":
            kept |= (iou == iou.max(dim=1, keepdim=True).values).any(dim=0)
    low, high = thresholds
    labels = torch.full((count,), BETWEEN, dtype=torch.int8, device=candidates_xyxy.device)
    labels[best < low] = BELOW
    labels[best >= high] = ABOVE
    labels[kept] = ABOVE
    return Matches(indices, labels)
