"""Panoptic quality of one image (Kirillov 2019, eq. 1), and F1 at IoU 0.5 (StarDist's `matching`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from nucleate.evaluation.matching import Overlaps


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticQuality:
    """Counts of matched nuclei, and what follows from them; 0 where nothing matched.

    Attributes:
        true_positives: pairs with IoU > 0.5.
        false_positives: predicted nuclei without a pair.
        false_negatives: annotated nuclei without a pair.
        iou_sum: summed IoU of the pairs.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    iou_sum: float

    @property
    def dq(self) -> float:
        """Return the detection quality TP / (TP + FP/2 + FN/2)."""
        return f1_score(self.true_positives, self.false_positives, self.false_negatives)

    @property
    def sq(self) -> float:
        """Return the segmentation quality: the mean IoU of the pairs."""
        return self.iou_sum / self.true_positives if self.true_positives else 0.0

    @property
    def pq(self) -> float:
        """Return DQ x SQ."""
        return self.dq * self.sq


def panoptic_quality(overlaps: Overlaps) -> PanopticQuality:
    """Return the panoptic quality of two label maps: pairs with IoU > 0.5, strictly, compared in integers.

    Such pairs are unique as long as neither side overlaps itself.
    """
    matched = matched_pairs(overlaps)
    count = int(np.count_nonzero(matched))
    return PanopticQuality(
        true_positives=count,
        false_positives=overlaps.predicted_count - count,
        false_negatives=overlaps.annotated_count - count,
        iou_sum=float(overlaps.ious()[matched].sum()),
    )


def matched_pairs(overlaps: Overlaps) -> NDArray[np.bool_]:
    """Return (K,) whether a pair's IoU is greater than 0.5."""
    return np.asarray(2 * overlaps.intersections_px > overlaps.unions_px())


def true_positives_at_half(overlaps: Overlaps) -> int:
    """Return the most one-to-one pairs with IoU >= 0.5 that can be made (StarDist's true positives at 0.5)."""
    close = 2 * overlaps.intersections_px >= overlaps.unions_px()
    if not close.any():
        return 0
    links = csr_matrix(
        (np.ones(np.count_nonzero(close)), (overlaps.annotated_indices[close], overlaps.predicted_indices[close])),
        shape=(overlaps.annotated_count, overlaps.predicted_count),
    )
    return int(np.count_nonzero(maximum_bipartite_matching(links, perm_type="column") >= 0))


def f1_score(true_positives: int, false_positives: int, false_negatives: int) -> float:
    """Return 2 TP / (2 TP + FP + FN), 0 where TP is 0."""
    both = 2 * true_positives
    return both / (both + false_positives + false_negatives) if true_positives else 0.0
