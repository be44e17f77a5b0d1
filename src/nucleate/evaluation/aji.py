"""Aggregated Jaccard index (Kumar 2017), greedy with reuse, as HoVer-Net's `get_fast_aji`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleate.evaluation.matching import Overlaps

LARGEST_SAFE_FACTOR = 2**31


def aggregated_jaccard_index(overlaps: Overlaps) -> float:
    """Return the AJI of one image, in [0, 1]; 0 where nothing overlaps.

    Every annotated nucleus takes the predicted one of highest IoU; one that is taken stays available. The
    numerator sums the pairs' intersections, the denominator their unions, the annotated nuclei without a pair
    and the predicted ones taken by nobody.
    """
    chosen = best_pairs(overlaps)
    unpaired = np.ones(overlaps.annotated_count, np.bool_)
    unpaired[overlaps.annotated_indices[chosen]] = False
    untaken = np.ones(overlaps.predicted_count, np.bool_)
    untaken[overlaps.predicted_indices[chosen]] = False
    shared = int(overlaps.intersections_px[chosen].sum())
    total = int(overlaps.unions_px()[chosen].sum())
    total += int(overlaps.annotated_areas_px[unpaired].sum()) + int(overlaps.predicted_areas_px[untaken].sum())
    return shared / total if total else 0.0


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
