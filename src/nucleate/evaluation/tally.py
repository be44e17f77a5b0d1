"""What is counted in an image before anything is divided; tallies of images add up, for scores over nuclei."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from nucleate.evaluation.aji import AggregatedJaccard, aggregated_jaccard, aggregated_jaccard_plus
from nucleate.evaluation.average_precision import MEDIUM_BELOW_PX, SMALL_BELOW_PX
from nucleate.evaluation.centroids import HALF_DIAMETER, CentroidLimit, Centroids, centroid_matches
from nucleate.evaluation.dice import Foreground
from nucleate.evaluation.matching import Overlaps
from nucleate.evaluation.panoptic import F1_THRESHOLDS, Matches, closest_matches, matched_pairs, panoptic_quality


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeMatches:
    """Pairs with IoU > 0.5 by size: annotated nuclei and their partners by the annotated area, others by their own.

    Attributes:
        small: below 32x32 px.
        medium: below 96x96 px.
        large: 96x96 px or more.
    """

    small: Matches
    medium: Matches
    large: Matches

    def __add__(self, other: SizeMatches) -> SizeMatches:
        return SizeMatches(
            small=self.small + other.small, medium=self.medium + other.medium, large=self.large + other.large
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of one image, or of several added up.

    Attributes:
        annotated: annotated nuclei.
        predicted: predicted nuclei.
        panoptic: pairs with IoU > 0.5, strictly.
        by_iou: one-to-one pairs with IoU >= 0.50, 0.55, ... 0.95.
        by_centroid: one-to-one pairs of near centroids; None where centroids were not given.
        jaccard: of AJI.
        jaccard_plus: of AJI+.
        foreground: pixels of nuclei.
        splits: annotated nuclei that hold more than half of the area of each of at least two predicted ones.
        merges: predicted nuclei that hold more than half of the area of each of at least two annotated ones.
        by_size: pairs with IoU > 0.5 by size class.
    """

    annotated: int
    predicted: int
    panoptic: Matches
    by_iou: tuple[Matches, ...]
    by_centroid: Matches | None
    jaccard: AggregatedJaccard
    jaccard_plus: AggregatedJaccard
    foreground: Foreground
    splits: int
    merges: int
    by_size: SizeMatches

    @property
    def count_error(self) -> int:
        """Return predicted minus annotated nuclei."""
        return self.predicted - self.annotated

    def __add__(self, other: Tally) -> Tally:
        centroid = None
        if self.by_centroid is not None and other.by_centroid is not None:
            centroid = self.by_centroid + other.by_centroid
        return Tally(
            annotated=self.annotated + other.annotated,
            predicted=self.predicted + other.predicted,
            panoptic=self.panoptic + other.panoptic,
            by_iou=tuple(map(add, self.by_iou, other.by_iou)),
            by_centroid=centroid,
            jaccard=self.jaccard + other.jaccard,
            jaccard_plus=self.jaccard_plus + other.jaccard_plus,
            foreground=self.foreground + other.foreground,
            splits=self.splits + other.splits,
            merges=self.merges + other.merges,
            by_size=self.by_size + other.by_size,
        )


def tally_overlaps(
    overlaps: Overlaps,
    *,
    centroids: Centroids | None = None,
    limit: CentroidLimit = HALF_DIAMETER,
    mpp: float | None = None,
    foreground: Foreground | None = None,
) -> Tally:
    """Return the counts of one image.

    Args:
        overlaps: of an annotated and a predicted side.
        centroids: of the same nuclei, for the pairs by centroid.
        limit: the longest distance of two centroids.
        mpp: um a pixel of the image, for a limit in um.
        foreground: where annotated nuclei share pixels; left out, both sides are label maps, in which none do.

    Raises:
        DataError: the limit is in um and mpp is unknown.
    """
    jaccard, plus = aggregated_jaccard(overlaps), aggregated_jaccard_plus(overlaps)
    if foreground is None:
        foreground = Foreground.of_label_maps(overlaps)
        _check_bound(foreground.dice, jaccard.index, "AJI")
        _check_bound(foreground.dice, plus.index, "AJI+")
    centroid = None if centroids is None else centroid_matches(overlaps, centroids, limit=limit, mpp=mpp)
    return Tally(
        annotated=overlaps.annotated_count,
        predicted=overlaps.predicted_count,
        panoptic=panoptic_quality(overlaps),
        by_iou=tuple(closest_matches(overlaps, twentieths) for twentieths in F1_THRESHOLDS),
        by_centroid=centroid,
        jaccard=jaccard,
        jaccard_plus=plus,
        foreground=foreground,
        splits=_holding_several(
            overlaps.annotated_indices,
            overlaps.intersections_px,
            overlaps.predicted_areas_px[overlaps.predicted_indices],
        ),
        merges=_holding_several(
            overlaps.predicted_indices,
            overlaps.intersections_px,
            overlaps.annotated_areas_px[overlaps.annotated_indices],
        ),
        by_size=size_matches(overlaps),
    )


def pooled(tallies: Iterable[Tally]) -> Tally:
    """Return the counts of several images together; those of no image are the counts of an empty one."""
    rows = list(tallies)
    return reduce(add, rows) if rows else tally_overlaps(_NOTHING, centroids=_NOWHERE)


def size_matches(overlaps: Overlaps) -> SizeMatches:
    """Return the pairs with IoU > 0.5 by size class (see `SizeMatches`)."""
    matched = matched_pairs(overlaps)
    rows, ious = overlaps.annotated_indices[matched], overlaps.ious()[matched]
    annotated = _size_classes(overlaps.annotated_areas_px)
    unmatched = np.ones(overlaps.predicted_count, np.bool_)
    unmatched[overlaps.predicted_indices[matched]] = False
    false = _size_classes(overlaps.predicted_areas_px[unmatched])

    def of_class(index: int) -> Matches:
        pairs = annotated[rows] == index
        found = int(np.count_nonzero(pairs))
        return Matches(
            true_positives=found,
            false_positives=int(np.count_nonzero(false == index)),
            false_negatives=int(np.count_nonzero(annotated == index)) - found,
            iou_sum=float(ious[pairs].sum()),
        )

    return SizeMatches(small=of_class(0), medium=of_class(1), large=of_class(2))


def _size_classes(areas_px: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted([SMALL_BELOW_PX, MEDIUM_BELOW_PX], areas_px, side="right"), np.int64)


def _holding_several(holders: NDArray[np.int64], shared_px: NDArray[np.int64], held_areas_px: NDArray[np.int64]) -> int:
    """Return how many nuclei hold more than half of the area of each of at least two others."""
    held = holders[2 * shared_px > held_areas_px]
    return int(np.count_nonzero(np.bincount(held) >= 2)) if len(held) else 0


def _check_bound(dice: float, index: float, name: str) -> None:
    if index > dice / (2 - dice) + 1e-9:
        raise AssertionError(f"{name} {index} above D / (2 - D) of Dice {dice}: the label maps or the {name} are wrong")


_NOTHING = Overlaps(
    annotated_ids=np.zeros(0, np.int64),
    predicted_ids=np.zeros(0, np.int64),
    annotated_areas_px=np.zeros(0, np.int64),
    predicted_areas_px=np.zeros(0, np.int64),
    annotated_indices=np.zeros(0, np.int64),
    predicted_indices=np.zeros(0, np.int64),
    intersections_px=np.zeros(0, np.int64),
)
_NOWHERE = Centroids(annotated_xy=np.zeros((0, 2)), predicted_xy=np.zeros((0, 2)))
