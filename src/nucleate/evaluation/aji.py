"""Aggregated Jaccard index: AJI (Kumar 2017; HoVer-Net's `get_fast_aji`) and AJI+ (its `get_fast_aji_plus`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.evaluation.assignment import best_assignment
from nucleate.evaluation.matching import Overlaps

LARGEST_SAFE_FACTOR = 2**31
# HoVer-Net adds it to each union before it compares.
EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatedJaccard:
    """Numerator and denominator, so that images can be pooled.

    Attributes:
        shared_px: summed intersections of the pairs.
        total_px: summed unions of the pairs, and the areas of the nuclei without a pair.
    """

    shared_px: int
    total_px: int

    @property
    def index(self) -> float:
        """Return the index, 0 to 1; 0 where there is no nucleus."""
        return self.shared_px / self.total_px if self.total_px else 0.0

    def __add__(self, other: AggregatedJaccard) -> AggregatedJaccard:
        return AggregatedJaccard(shared_px=self.shared_px + other.shared_px, total_px=self.total_px + other.total_px)


def aggregated_jaccard(overlaps: Overlaps) -> AggregatedJaccard:
    """Return the AJI of one image.

    Every annotated nucleus takes the predicted one of highest IoU; one that is taken stays available. The
    numerator sums the pairs' intersections, the denominator their unions, the annotated nuclei without a pair
    and the predicted ones taken by nobody.
    """
    return _of_pairs(overlaps, best_pairs(overlaps))


def aggregated_jaccard_plus(overlaps: Overlaps) -> AggregatedJaccard:
    """Return the AJI+ of one image: one-to-one pairs of the highest summed IoU, the denominator as for AJI."""
    weights = overlaps.intersections_px / (overlaps.unions_px() + EPSILON)
    chosen = best_assignment(overlaps.annotated_indices, overlaps.predicted_indices, weights)
    return _of_pairs(overlaps, np.flatnonzero(chosen))


def aggregated_jaccard_index(overlaps: Overlaps) -> float:
    """Return the AJI of one image, in [0, 1]; 0 where nothing overlaps (see `aggregated_jaccard`)."""
    return aggregated_jaccard(overlaps).index


def _of_pairs(overlaps: Overlaps, chosen: NDArray[np.int64]) -> AggregatedJaccard:
    unpaired = np.ones(overlaps.annotated_count, np.bool_)
    unpaired[overlaps.annotated_indices[chosen]] = False
    untaken = np.ones(overlaps.predicted_count, np.bool_)
    untaken[overlaps.predicted_indices[chosen]] = False
    total = int(overlaps.unions_px()[chosen].sum())
    total += int(overlaps.annotated_areas_px[unpaired].sum()) + int(overlaps.predicted_areas_px[untaken].sum())
    return AggregatedJaccard(shared_px=int(overlaps.intersections_px[chosen].sum()), total_px=total)


def best_pairs(overlaps: Overlaps) -> NDArray[np.int64]:
    """Return for each annotated nucleus that overlaps any predicted one the index of its best pair.

    The highest IoU wins; at equal IoU (compared as fractions, in integers) the larger union, which is what
    HoVer-Net's I / (U + 1e-6) prefers; then the smaller predicted index.
    """
    starts = np.flatnonzero(np.diff(overlaps.annotated_indices, prepend=-1))
    ends = np.append(starts[1:], len(overlaps.annotated_indices))
    intersections, unions = overlaps.intersections_px, overlaps.unions_px()
    if len(unions) and int(unions.max()) >= LARGEST_SAFE_FACTOR:
        # Products would leave 64 bits: Python's integers have no limit.
        intersections, unions = intersections.astype(object), unions.astype(object)
    best = starts.copy()
    for step in range(1, int((ends - starts).max(initial=1))):
        rows = np.flatnonzero(starts + step < ends)
        rival, holder = starts[rows] + step, best[rows]
        left, right = intersections[rival] * unions[holder], intersections[holder] * unions[rival]
        wins = (left > right) | ((left == right) & (unions[rival] > unions[holder]))
        best[rows[wins.astype(np.bool_)]] = rival[wins.astype(np.bool_)]
    return best
