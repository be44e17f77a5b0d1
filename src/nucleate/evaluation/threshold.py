"""The score threshold of a model, chosen on a validation set by PQ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.data import CocoDataset
from nucleate.errors import DataError
from nucleate.evaluation.panoptic import matched_pairs
from nucleate.evaluation.standard import of_known_classes, pair_image, pair_records
from nucleate.export import ImagePredictions

# From integers, so that 0.15 is the float that a user writes.
SCORE_THRESHOLDS: tuple[float, ...] = tuple(step / 20 for step in range(1, 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdCurve:
    """Mean PQ over images at each score threshold.

    Attributes:
        score_thresholds: rising.
        pq: percent, one a threshold.
    """

    score_thresholds: tuple[float, ...]
    pq: tuple[float, ...]

    @property
    def best(self) -> float:
        """Return the threshold of the highest PQ; among equals the one nearest to 0.5, then the lower."""
        highest = max(self.pq)
        equals = [
            threshold for threshold, pq in zip(self.score_thresholds, self.pq, strict=True) if pq >= highest - 1e-9
        ]
        return min(equals, key=lambda threshold: (abs(threshold - 0.5), threshold))


def choose_score_threshold(dataset: CocoDataset, predictions: Sequence[ImagePredictions]) -> float:
    """Return the score threshold, 0.05 to 0.95 by 0.05, with the best mean PQ (see `threshold_curve`)."""
    return threshold_curve(dataset, predictions).best


def threshold_curve(
    dataset: CocoDataset,
    predictions: Sequence[ImagePredictions],
    score_thresholds: Sequence[float] = SCORE_THRESHOLDS,
) -> ThresholdCurve:
    """Return the mean PQ by the protocol `standard` (empty images score 100) at each score threshold.

    Nuclei are matched once an image: a detection's pixels and so its IoU don't depend on the threshold.

    Raises:
        DataError: the data set has no image, or the predictions don't fit it.
    """
    pq = pq_by_image(dataset, predictions, score_thresholds).mean(axis=0)
    return ThresholdCurve(score_thresholds=tuple(score_thresholds), pq=tuple(pq.tolist()))


def pq_by_image(
    dataset: CocoDataset, predictions: Sequence[ImagePredictions], score_thresholds: Sequence[float]
) -> NDArray[np.float64]:
    """Return (images, thresholds) PQ in percent (see `threshold_curve`).

    Raises:
        DataError: the data set has no image, or the predictions don't fit it.
    """
    if not dataset.records:
        raise DataError("no image to choose a score threshold on", path=dataset.annotations_path)
    thresholds = np.array(score_thresholds, np.float32)
    rows = []
    for record, image in zip(dataset.records, pair_records(dataset, predictions), strict=True):
        instances = of_known_classes(image, len(dataset.class_names)).instances.above(float(thresholds.min()))
        overlaps = pair_image(dataset.annotations(record), instances).overlaps
        scores = instances.scores[overlaps.predicted_ids - 1]
        matched = matched_pairs(overlaps)
        kept = scores[overlaps.predicted_indices[matched], None] > thresholds
        iou_sum = (overlaps.ious()[matched, None] * kept).sum(axis=0)
        sizes = overlaps.annotated_count + (scores[:, None] > thresholds).sum(axis=0)
        # PQ = sum of IoU / (TP + FP/2 + FN/2), whose denominator is half of all nuclei on both sides.
        rows.append(np.divide(2 * iou_sum, sizes, out=np.ones(len(thresholds)), where=sizes > 0))
    return 100 * np.array(rows)
