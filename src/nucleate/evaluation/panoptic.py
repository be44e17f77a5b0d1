"""Matched nuclei of one image: panoptic quality (Kirillov 2019, eq. 1), and F1 by StarDist's `matching`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.evaluation.assignment import best_assignment
from nucleate.evaluation.matching import Overlaps

# IoU thresholds are twentieths, so that 0.6 is 12/20 and not numpy's 0.6000000000000001.
TWENTIETHS = 20
HALF = 10
F1_THRESHOLDS: tuple[int, ...] = tuple(range(10, 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Counts of matched nuclei, and what follows from them, 0 where nothing matched; images can be added up.

    Attributes:
        true_positives: annotated nuclei with a partner.
        false_positives: predicted nuclei without a partner.
        false_negatives: annotated nuclei without a partner.
        iou_sum: summed IoU of the pairs.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    iou_sum: float

    @classmethod
    def none(cls) -> Matches:
        """Return the counts of an image without nuclei."""
        return cls(true_positives=0, false_positives=0, false_negatives=0, iou_sum=0.0)

    def __add__(self, other: Matches) -> Matches:
        return Matches(
            true_positives=self.true_positives + other.true_positives,
            false_positives=self.false_positives + other.false_positives,
            false_negatives=self.false_negatives + other.false_negatives,
            iou_sum=self.iou_sum + other.iou_sum,
        )

    @property
    def dq(self) -> float:
        """Return the detection quality TP / (TP + FP/2 + FN/2), which is F1 by these pairs."""
        both = 2 * self.true_positives
        return both / (both + self.false_positives + self.false_negatives) if self.true_positives else 0.0

    @property
    def sq(self) -> float:
        """Return the segmentation quality: the mean IoU of the pairs."""
        return self.iou_sum / self.true_positives if self.true_positives else 0.0

    @property
    def pq(self) -> float:
        """Return DQ x SQ."""
        return self.dq * self.sq

    @property
    def precision(self) -> float:
        """Return TP / (TP + FP)."""
        return self.true_positives / (self.true_positives + self.false_positives) if self.true_positives else 0.0

    @property
    def recall(self) -> float:
        """Return TP / (TP + FN)."""
        return self.true_positives / (self.true_positives + self.false_negatives) if self.true_positives else 0.0


def panoptic_quality(overlaps: Overlaps, iou_twentieths: int = HALF) -> Matches:
    """Return the pairs with IoU > k/20, strictly, compared in integers (HoVer-Net's `get_fast_pq`).

    From 10/20 up such pairs are unique as long as the predictions don't overlap; two annotated nuclei that overlap may
    both match one prediction: true positives are counted on the annotated side. Below, the one-to-one assignment of
    the highest summed IoU comes first, and of its pairs those above the threshold are kept.
    """
    matched = matched_pairs(overlaps, iou_twentieths)
    if iou_twentieths < HALF:
        matched &= best_assignment(overlaps.annotated_indices, overlaps.predicted_indices, overlaps.ious())
    return matches_of(overlaps, matched)


def matched_pairs(overlaps: Overlaps, iou_twentieths: int = HALF) -> NDArray[np.bool_]:
    """Return (K,) whether a pair's IoU is greater than k/20, 0.5 by default."""
    return np.asarray(TWENTIETHS * overlaps.intersections_px > iou_twentieths * overlaps.unions_px())


def closest_matches(overlaps: Overlaps, iou_twentieths: int) -> Matches:
    """Return one-to-one pairs with IoU >= k/20: the most that can be made, then those of the highest summed IoU.

    StarDist's `matching`: an assignment of cost -(IoU >= t) - IoU / (2 min(M, N)) over all pairs.
    """
    close = TWENTIETHS * overlaps.intersections_px >= iou_twentieths * overlaps.unions_px()
    rows, columns = overlaps.annotated_indices, overlaps.predicted_indices
    if len(np.unique(rows[close])) < np.count_nonzero(close) or len(np.unique(columns[close])) < np.count_nonzero(
        close
    ):
        fewer = min(overlaps.annotated_count, overlaps.predicted_count)
        close &= best_assignment(rows, columns, close + overlaps.ious() / (2 * fewer))
    return matches_of(overlaps, close)


def matches_of(overlaps: Overlaps, matched: NDArray[np.bool_]) -> Matches:
    """Return the counts of the pairs where `matched`, (K,), is true; no annotated nucleus may have two."""
    count = int(np.count_nonzero(matched))
    return Matches(
        true_positives=count,
        false_positives=overlaps.predicted_count - len(np.unique(overlaps.predicted_indices[matched])),
        false_negatives=overlaps.annotated_count - count,
        iou_sum=float(overlaps.ious()[matched].sum()),
    )
