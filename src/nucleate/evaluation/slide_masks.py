"""Whole masks of a slide's nuclei: areas, boxes and common pixels, summed band by band, for average precision.

Label maps give a shared pixel to one nucleus; average precision takes each nucleus with all of its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.evaluation.slide_tiles import BandRuns
from nucleate.evaluation.sparse_precision import LEAST_IOU, ScoredPairs

# Longer runs are cut, so that few others have to be looked at for each.
LONGEST_RUN_PX = 64
BOXES_AT_ONCE = 50_000
NOWHERE = np.iinfo(np.int32).max


class MaskSums:
    """Areas, boxes and common pixels of all bands so far.

    Args:
        annotated: how many nuclei one file has.
        predicted: the other.
    """

    def __init__(self, *, annotated: int, predicted: int) -> None:
        self._sides = _Extents(annotated), _Extents(predicted)
        self._pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def add(self, annotated: BandRuns, predicted: BandRuns, *, top: int, bottom: int) -> None:
        """Add the rows from `top` to before `bottom`, which belong to no other band."""
        one, other = (side.where((side.rows >= top) & (side.rows < bottom)) for side in (annotated, predicted))
        for extents, runs in zip(self._sides, (one, other), strict=True):
            extents.add(runs)
        self._pairs.append(_common_px(one, other, len(self._sides[1].areas_px)))

    def annotated_areas_px(self) -> NDArray[np.int64]:
        """Return the areas of the annotated nuclei that hold a pixel."""
        areas = self._sides[0].areas_px
        return areas[areas > 0]

    def mask_pairs(self, scores: NDArray[np.float32]) -> ScoredPairs:
        """Return the pairs of masks; nuclei that hold no pixel are left out.

        Args:
            scores: (N,) of all predicted nuclei.
        """
        areas, others = (side.areas_px for side in self._sides)
        keys, shared = added_up([pair[0] for pair in self._pairs], [pair[1] for pair in self._pairs])
        rows, columns = np.divmod(keys, max(len(others), 1))
        ious = shared / (areas[rows] + others[columns] - shared)
        return self._pairs_of(rows, columns, ious, others, scores)

    def box_pairs(self, scores: NDArray[np.float32]) -> ScoredPairs:
        """Return the pairs of boxes, likewise."""
        one, other = (side.boxes_xyxy for side in self._sides)
        rows, columns, ious = _box_pairs(one, other)
        return self._pairs_of(rows, columns, ious, _box_areas_px(other), scores)

    def _pairs_of(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        ious: NDArray[np.float64],
        predicted_areas_px: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> ScoredPairs:
        held = [side.areas_px > 0 for side in self._sides]
        places = [np.cumsum(kept) - 1 for kept in held]
        close = ious >= LEAST_IOU
        return ScoredPairs(
            annotated_areas_px=self.annotated_areas_px(),
            predicted_areas_px=predicted_areas_px[held[1]],
            scores=scores[held[1]],
            rows=places[0][rows[close]],
            columns=places[1][columns[close]],
            ious=ious[close],
        )


class _Extents:
    """Areas and boxes of one side's nuclei."""

    def __init__(self, count: int) -> None:
        self.areas_px = np.zeros(count, np.int64)
        self.boxes_xyxy = np.tile(np.array([NOWHERE, NOWHERE, -NOWHERE, -NOWHERE], np.int32), (count, 1))

    def add(self, runs: BandRuns) -> None:
        """Add runs, those of a nucleus one after the other."""
        heads = np.flatnonzero(np.diff(runs.owners, prepend=-1))
        if not len(heads):
            return
        # No nucleus comes twice among the heads.
        owners = runs.owners[heads]
        self.areas_px[owners] += np.add.reduceat(runs.stops - runs.starts, heads)
        lows = [np.minimum.reduceat(values, heads) for values in (runs.starts, runs.rows)]
        highs = [np.maximum.reduceat(values, heads) for values in (runs.stops, runs.rows + 1)]
        self.boxes_xyxy[owners, :2] = np.minimum(self.boxes_xyxy[owners, :2], np.stack(lows, axis=1))
        self.boxes_xyxy[owners, 2:] = np.maximum(self.boxes_xyxy[owners, 2:], np.stack(highs, axis=1))


def added_up(
    keys: Sequence[NDArray[np.int64]], counts: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct keys, ascending, and the sum of the counts of each."""
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    distinct, places = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, places, np.concatenate(counts))
    return distinct, sums


def _common_px(one: BandRuns, other: BandRuns, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return key (annotated x width + predicted) and common pixels of each pair of nuclei."""
    if not len(one.owners) or not len(other.owners):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    other = _cut(other)
    longest = int((other.stops - other.starts).max())
    left = min(int(one.starts.min()), int(other.starts.min()))
    # Rows one after the other on a line, so far apart that no run reaches into the next.
    stride = max(int(one.stops.max()), int(other.stops.max())) - left + longest + 1
    lines, other_lines = one.rows * stride - left, other.rows * stride - left
    heads = other_lines + other.starts
    order = np.argsort(heads, kind="stable")
    heads = heads[order]
    first = np.searchsorted(heads, lines + one.starts - longest, side="right")
    counts = np.searchsorted(heads, lines + one.stops, side="left") - first
    mine = np.repeat(np.arange(len(one.owners)), counts)
    theirs = order[np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts - first, counts)]
    shared = np.minimum(one.stops[mine], other.stops[theirs]) - np.maximum(one.starts[mine], other.starts[theirs])
    kept = shared > 0
    return added_up([one.owners[mine[kept]] * width + other.owners[theirs[kept]]], [shared[kept]])


def _cut(runs: BandRuns) -> BandRuns:
    """Return the same pixels in runs of at most `LONGEST_RUN_PX`."""
    counts = -(-(runs.stops - runs.starts) // LONGEST_RUN_PX)
    of_run = np.repeat(np.arange(len(counts)), counts)
    starts = runs.starts[of_run] + LONGEST_RUN_PX * (
        np.arange(len(of_run)) - np.repeat(np.cumsum(counts) - counts, counts)
    )
    return BandRuns(
        owners=runs.owners[of_run],
        rows=runs.rows[of_run],
        starts=starts,
        stops=np.minimum(starts + LONGEST_RUN_PX, runs.stops[of_run]),
    )


def _box_areas_px(boxes_xyxy: NDArray[np.int32]) -> NDArray[np.int64]:
    sides = boxes_xyxy[:, 2:].astype(np.int64) - boxes_xyxy[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])


def _box_pairs(
    annotated_xyxy: NDArray[np.int32], predicted_xyxy: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return annotated and predicted index and IoU of the boxes with IoU of at least 0.5, a part at a time."""
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    held, others = (np.flatnonzero(boxes[:, 0] != NOWHERE) for boxes in (annotated_xyxy, predicted_xyxy))
    held = held[np.argsort(annotated_xyxy[held, 1], kind="stable")]
    for start in range(0, len(held), BOXES_AT_ONCE):
        chosen = held[start : start + BOXES_AT_ONCE]
        boxes = annotated_xyxy[chosen]
        near = others[(predicted_xyxy[others, 3] > boxes[:, 1].min()) & (predicted_xyxy[others, 1] < boxes[:, 3].max())]
        tree = shapely.STRtree(shapely.box(*predicted_xyxy[near].T))
        rows, columns = tree.query(shapely.box(*boxes.T))
        rows, columns = chosen[rows], near[columns]
        one, other = annotated_xyxy[rows].astype(np.int64), predicted_xyxy[columns].astype(np.int64)
        sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
        shared = np.maximum(sides, 0).prod(axis=1)
        ious = shared / (_box_areas_px(annotated_xyxy[rows]) + _box_areas_px(predicted_xyxy[columns]) - shared)
        close = ious >= LEAST_IOU
        found.append((rows[close], columns[close], ious[close]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    rows, columns, ious = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, columns, ious
