"""Nuclei matched by the distance of their centroids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nucleate.core import Masks
from nucleate.errors import ConfigError, DataError
from nucleate.evaluation.assignment import best_assignment
from nucleate.evaluation.matching import Overlaps
from nucleate.evaluation.panoptic import Matches

# The tree answers with a list a centroid.
CENTROIDS_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CentroidLimit:
    """How far apart the centroids of a pair may be; unset, half the annotated nucleus' equivalent diameter.

    Attributes:
        distance_px: a fixed distance in pixels.
        distance_um: a fixed distance in um, for images with a known mpp.
    """

    distance_px: float | None = None
    distance_um: float | None = None

    def __post_init__(self) -> None:
        if self.distance_px is not None and self.distance_um is not None:
            raise ConfigError("a centroid distance in pixels and one in um: give one of them")
        for distance in (self.distance_px, self.distance_um):
            if distance is not None and not (np.isfinite(distance) and distance > 0):
                raise ConfigError(f"centroid distance {distance} is not a positive number")

    def __str__(self) -> str:
        if self.distance_px is not None:
            return f"{self.distance_px:g} px"
        if self.distance_um is not None:
            return f"{self.distance_um:g} um"
        return "half the annotated nucleus' equivalent diameter"

    def of_areas_px(self, areas_px: NDArray[np.int64], mpp: float | None) -> NDArray[np.float64]:
        """Return the (M,) longest distances in pixels.

        Raises:
            DataError: the limit is in um and the image's mpp is unknown.
        """
        if self.distance_px is not None:
            return np.full(len(areas_px), self.distance_px)
        if self.distance_um is not None:
            if mpp is None:
                raise DataError("the image's um/px is unknown: give the centroid distance in pixels")
            return np.full(len(areas_px), self.distance_um / mpp)
        return np.sqrt(areas_px / np.pi)


HALF_DIAMETER = CentroidLimit()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Centroids:
    """Means of pixel centres, in the order of an image's `Overlaps`.

    Attributes:
        annotated_xy: (M, 2) pixels.
        predicted_xy: (N, 2) pixels.
    """

    annotated_xy: NDArray[np.float64]
    predicted_xy: NDArray[np.float64]


def label_map_centroids(label_map: NDArray[np.integer], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (N, 2) x, y of the pixels of each id, which must be in the map; ids ascend."""
    areas = np.bincount(np.searchsorted(ids, label_map[label_map > 0]), minlength=len(ids))
    return np.asarray(coordinate_sums(label_map, ids) / areas[:, None], np.float64)


def coordinate_sums(label_map: NDArray[np.integer], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (N, 2) summed x, y of the pixel centres of each id; exact, the sums of halves of integers.

    Args:
        label_map: (H, W) whose ids are all among those given; 0 is background.
        ids: (N,) ascending.
    """
    width = label_map.shape[1]
    flat = label_map.reshape(-1)
    changed = flat[1:] != flat[:-1]
    changed[width - 1 :: width] = True
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1])[: flat.size]
    lengths = np.diff(starts, append=flat.size)
    nuclear = flat[starts] > 0
    starts, lengths = starts[nuclear], lengths[nuclear]
    places = np.searchsorted(ids, flat[starts])
    rows, columns = np.divmod(starts, width)
    sums = (lengths * columns + lengths * lengths / 2, lengths * (rows + 0.5))
    return np.stack([np.bincount(places, weights=axis, minlength=len(ids)) for axis in sums], axis=1)


def mask_centroids(masks: Masks) -> NDArray[np.float64]:
    """Return the (N, 2) x, y of masks that have at least one pixel each."""
    centroids = np.zeros((len(masks), 2))
    for index, bitmap in enumerate(masks):
        rows, columns = np.nonzero(bitmap)
        centroids[index] = (columns.mean() + 0.5, rows.mean() + 0.5) + masks.windows_xyxy[index, :2]
    return centroids


def centroid_matches(
    overlaps: Overlaps, centroids: Centroids, *, limit: CentroidLimit = HALF_DIAMETER, mpp: float | None = None
) -> Matches:
    """Return one-to-one pairs of near centroids: the most that can be made, then those of the least summed distance.

    Args:
        overlaps: gives the nuclei and their areas; `iou_sum` of the result is 0, since pairs need not overlap.
        centroids: of the same nuclei.
        limit: the longest distance of a pair, inclusive.
        mpp: um a pixel of the image, for a limit in um.

    Raises:
        DataError: the limit is in um and mpp is unknown.
    """
    limits = limit.of_areas_px(overlaps.annotated_areas_px, mpp)
    count = 0
    if overlaps.annotated_count and overlaps.predicted_count:
        rows, columns = _near(centroids, limits)
        distances = np.linalg.norm(centroids.annotated_xy[rows] - centroids.predicted_xy[columns], axis=1)
        # One pair more is always worth it: no sum of distances reaches this number.
        beyond = (distances.max(initial=0) + 1) * (min(overlaps.annotated_count, overlaps.predicted_count) + 1)
        count = int(np.count_nonzero(best_assignment(rows, columns, beyond - distances)))
    return Matches(
        true_positives=count,
        false_positives=overlaps.predicted_count - count,
        false_negatives=overlaps.annotated_count - count,
        iou_sum=0.0,
    )


def _near(centroids: Centroids, limits: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return annotated and predicted index of all centroids within the limits, a part of them at a time."""
    tree = cKDTree(centroids.predicted_xy)
    rows, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(limits), CENTROIDS_AT_ONCE):
        part = slice(start, start + CENTROIDS_AT_ONCE)
        # One part in 1e9 more, so that rounding drops no pair that lies exactly at the limit.
        near = tree.query_ball_point(centroids.annotated_xy[part], limits[part] * (1 + 1e-9))
        rows.append(np.repeat(np.arange(start, start + len(near)), [len(found) for found in near]))
        columns.append(np.array([column for found in near for column in found], np.int64))
    return np.concatenate(rows), np.concatenate(columns)
