"""Nuclei that several tiles saw: which reports are of one nucleus, and which of them stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely import STRtree, box

from nucleate.core import Masks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reports:
    """N nuclei as the tiles of one image or slide report them, each nucleus perhaps several times.

    Attributes:
        masks: N masks in the image's frame.
        scores: (N,) float32.
        tile_of: (N,) number of the tile that reports it.
        owned: (N,) bool, the nucleus' centre is the tile's to report.
        cut: (N,) bool, the tile's side runs through the nucleus: only a part of it was seen.
    """

    masks: Masks
    scores: NDArray[np.float32]
    tile_of: NDArray[np.int64]
    owned: NDArray[np.bool_]
    cut: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> Reports:
        """Return the reports at the given indices (or where a boolean is true), in that order."""
        return Reports(
            masks=self.masks.select(indices),
            scores=self.scores[indices],
            tile_of=self.tile_of[indices],
            owned=self.owned[indices],
            cut=self.cut[indices],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlaps:
    """The P pairs of reports by different tiles that share a pixel, each pair once.

    Attributes:
        first: (P,) int64, the smaller index.
        second: (P,) int64.
        shared_px: (P,) int64, at least 1.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shared_px: NDArray[np.int64]

    def groups(self, count: int) -> NDArray[np.int64]:
        """Return for each of `count` reports the number of its group: reports that pairs connect."""
        graph = coo_array((np.ones(len(self.first)), (self.first, self.second)), shape=(count, count))
        return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def find_overlaps(reports: Reports) -> Overlaps:
    """Return the pairs of reports by different tiles that share a pixel."""
    windows = reports.masks.windows_xyxy.astype(np.float64)
    boxes = np.asarray(box(*windows.T), object).reshape(-1)
    first, second = STRtree(boxes).query(boxes, predicate="intersects")
    near = (first < second) & (reports.tile_of[first] != reports.tile_of[second])
    first, second = first[near], second[near]
    shared_px = np.array(
        [_shared_px(reports.masks, one, other) for one, other in zip(first.tolist(), second.tolist(), strict=True)],
        np.int64,
    )
    meet = shared_px > 0
    return Overlaps(first=first[meet], second=second[meet], shared_px=shared_px[meet])


def settle(reports: Reports, overlaps: Overlaps, same_nucleus_iou: float) -> NDArray[np.bool_]:
    """Return which reports stay, so that each nucleus is told once.

    Whole nuclei come before cut ones, owned before others, better scores before worse. One that overlaps a kept one of
    another tile by the IoU is the same nucleus; of a cut one only a part is seen, so its own area is what counts. A cut
    one that its tile doesn't own is the neighbour's without doubt.

    Args:
        reports: of all tiles.
        overlaps: of the same reports.
        same_nucleus_iou: above 0, at most 1.
    """
    areas_px = reports.masks.areas_px()
    rivals: dict[int, list[tuple[int, int]]] = {}
    for one, other, shared_px in zip(
        overlaps.first.tolist(), overlaps.second.tolist(), overlaps.shared_px.tolist(), strict=True
    ):
        rivals.setdefault(one, []).append((other, shared_px))
        rivals.setdefault(other, []).append((one, shared_px))
    order = np.lexsort((np.arange(len(reports)), -reports.scores, ~reports.owned, reports.cut))
    kept = np.zeros(len(reports), np.bool_)
    for index in order.tolist():
        if reports.cut[index] and not reports.owned[index]:
            continue
        kept[index] = not any(
            kept[rival] and shared_px >= same_nucleus_iou * _whole_px(areas_px, reports.cut, index, rival, shared_px)
            for rival, shared_px in rivals.get(index, ())
        )
    return kept


def _whole_px(areas_px: NDArray[np.int64], cut: NDArray[np.bool_], index: int, rival: int, shared_px: int) -> int:
    return int(areas_px[index] if cut[index] else areas_px[index] + areas_px[rival] - shared_px)


def _shared_px(masks: Masks, one: int, other: int) -> int:
    first, second = masks.windows_xyxy[one], masks.windows_xyxy[other]
    x1, y1 = np.maximum(first[:2], second[:2])
    x2, y2 = np.minimum(first[2:], second[2:])
    if x1 >= x2 or y1 >= y2:
        return 0
    return int(
        np.count_nonzero(
            masks.bitmap(one)[y1 - first[1] : y2 - first[1], x1 - first[0] : x2 - first[0]]
            & masks.bitmap(other)[y1 - second[1] : y2 - second[1], x1 - second[0] : x2 - second[0]]
        )
    )
