"""Which annotated and predicted nuclei overlap, and by how many pixels; exact integers, sparse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Masks, relabel_sequentially
from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlaps:
    """The K overlapping pairs of M annotated and N predicted nuclei, sorted by annotated, then predicted index.

    Attributes:
        annotated_ids: (M,) int64, ascending: the ids in the label map; index + 1 for masks.
        predicted_ids: (N,) int64, likewise.
        annotated_areas_px: (M,) int64, at least 1.
        predicted_areas_px: (N,) int64, at least 1.
        annotated_indices: (K,) int64 into the annotated nuclei.
        predicted_indices: (K,) int64 into the predicted nuclei.
        intersections_px: (K,) int64, at least 1.
    """

    annotated_ids: NDArray[np.int64]
    predicted_ids: NDArray[np.int64]
    annotated_areas_px: NDArray[np.int64]
    predicted_areas_px: NDArray[np.int64]
    annotated_indices: NDArray[np.int64]
    predicted_indices: NDArray[np.int64]
    intersections_px: NDArray[np.int64]

    @property
    def annotated_count(self) -> int:
        """Return M."""
        return len(self.annotated_areas_px)

    @property
    def predicted_count(self) -> int:
        """Return N."""
        return len(self.predicted_areas_px)

    def unions_px(self) -> NDArray[np.int64]:
        """Return the (K,) pixels of either nucleus of each pair."""
        both = self.annotated_areas_px[self.annotated_indices] + self.predicted_areas_px[self.predicted_indices]
        return np.asarray(both - self.intersections_px)

    def ious(self) -> NDArray[np.float64]:
        """Return the (K,) intersection over union of each pair, in (0, 1]."""
        return np.asarray(self.intersections_px / self.unions_px(), np.float64)

    def with_predicted(self, kept: NDArray[np.bool_]) -> Overlaps:
        """Return the pairs of the predicted nuclei where `kept`, (N,), is true; those are renumbered in order."""
        pairs = kept[self.predicted_indices]
        new_indices = np.cumsum(kept) - 1
        return Overlaps(
            annotated_ids=self.annotated_ids,
            predicted_ids=self.predicted_ids[kept],
            annotated_areas_px=self.annotated_areas_px,
            predicted_areas_px=self.predicted_areas_px[kept],
            annotated_indices=self.annotated_indices[pairs],
            predicted_indices=new_indices[self.predicted_indices[pairs]],
            intersections_px=self.intersections_px[pairs],
        )

    def of_classes(self, annotated: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Overlaps:
        """Return the pairs of the annotated (M,) and predicted (N,) nuclei that are true, renumbered in order."""
        kept = self.with_predicted(predicted)
        pairs = annotated[kept.annotated_indices]
        new_indices = np.cumsum(annotated) - 1
        return Overlaps(
            annotated_ids=kept.annotated_ids[annotated],
            predicted_ids=kept.predicted_ids,
            annotated_areas_px=kept.annotated_areas_px[annotated],
            predicted_areas_px=kept.predicted_areas_px,
            annotated_indices=new_indices[kept.annotated_indices[pairs]],
            predicted_indices=kept.predicted_indices[pairs],
            intersections_px=kept.intersections_px[pairs],
        )


def label_map_overlaps(annotated: NDArray[np.integer], predicted: NDArray[np.integer]) -> Overlaps:
    """Return the overlaps of two instance maps; index i is the i-th smallest id, so gaps in the ids don't matter.

    Args:
        annotated: (H, W) non-negative ids, 0 = background.
        predicted: the same shape.

    Raises:
        DataError: the shapes differ, or an id is negative.
    """
    if annotated.shape != predicted.shape:
        raise DataError(f"an annotated map of shape {annotated.shape} and a predicted one of {predicted.shape}")
    # Pixels in a row mostly hold the same pair of ids: runs of them are counted by their lengths.
    flat_annotated, flat_predicted = annotated.reshape(-1), predicted.reshape(-1)
    changed = flat_annotated[1:] != flat_annotated[:-1]
    changed |= flat_predicted[1:] != flat_predicted[:-1]
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1])[: flat_annotated.size]
    lengths = np.diff(starts, append=flat_annotated.size)
    annotated, annotated_names = _small_ids(flat_annotated[starts], "annotated")
    predicted, predicted_names = _small_ids(flat_predicted[starts], "predicted")
    height, width = int(annotated.max(initial=0)) + 1, int(predicted.max(initial=0)) + 1
    codes = annotated * width + predicted
    # Counting needs a slot for every possible pair: sort instead where that is far more than there are pixels.
    if height * width <= max(flat_annotated.size, 4096):
        # Sums of weights are float64, exact up to 2^53 pixels.
        counts = np.bincount(codes, weights=lengths, minlength=height * width)
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:
        found, places = np.unique(codes, return_inverse=True)
        counts = np.bincount(places, weights=lengths)
    rows, columns = np.divmod(found, width)
    annotated_areas = np.bincount(rows, weights=counts, minlength=1).astype(np.int64)
    predicted_areas = np.bincount(columns, weights=counts, minlength=1).astype(np.int64)
    annotated_ids, predicted_ids = _present(annotated_areas), _present(predicted_areas)
    both = (rows > 0) & (columns > 0)
    return Overlaps(
        annotated_ids=annotated_ids if annotated_names is None else annotated_names,
        predicted_ids=predicted_ids if predicted_names is None else predicted_names,
        annotated_areas_px=annotated_areas[annotated_ids],
        predicted_areas_px=predicted_areas[predicted_ids],
        annotated_indices=np.searchsorted(annotated_ids, rows[both]),
        predicted_indices=np.searchsorted(predicted_ids, columns[both]),
        intersections_px=counts[both].astype(np.int64),
    )


def mask_overlaps(annotated: Masks, predicted: Masks) -> Overlaps:
    """Return the overlaps of masks, which may overlap one another on either side.

    Args:
        annotated: M masks, each with at least one pixel.
        predicted: N such masks in the same frame.

    Raises:
        DataError: the frames differ, or a mask has no pixel.
    """
    if annotated.frame.shape != predicted.frame.shape:
        raise DataError(f"annotated masks of {annotated.frame.shape} and predicted ones of {predicted.frame.shape}")
    annotated_areas, predicted_areas = annotated.areas_px(), predicted.areas_px()
    for side, areas in (("annotated", annotated_areas), ("predicted", predicted_areas)):
        if not areas.all():
            raise DataError(f"{side} mask {int(np.argmin(areas))} has no pixel")
    rows, columns, counts = [], [], []
    for row, (x1, y1, x2, y2) in enumerate(annotated.windows_xyxy.tolist()):
        windows = predicted.windows_xyxy
        near = (windows[:, 0] < x2) & (windows[:, 2] > x1) & (windows[:, 1] < y2) & (windows[:, 3] > y1)
        bitmap = annotated.bitmap(row)
        for column in np.flatnonzero(near).tolist():
            u1, v1, u2, v2 = windows[column].tolist()
            left, top, right, bottom = max(x1, u1), max(y1, v1), min(x2, u2), min(y2, v2)
            mine = bitmap[top - y1 : bottom - y1, left - x1 : right - x1]
            other = predicted.bitmap(column)[top - v1 : bottom - v1, left - u1 : right - u1]
            shared = int(np.count_nonzero(mine & other))
            if shared:
                rows.append(row)
                columns.append(column)
                counts.append(shared)
    return Overlaps(
        annotated_ids=np.arange(1, len(annotated) + 1),
        predicted_ids=np.arange(1, len(predicted) + 1),
        annotated_areas_px=annotated_areas,
        predicted_areas_px=predicted_areas,
        annotated_indices=np.array(rows, np.int64),
        predicted_indices=np.array(columns, np.int64),
        intersections_px=np.array(counts, np.int64),
    )


def _small_ids(ids: NDArray[np.integer], side: str) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Return the ids of pixels; where they are too large to count with, renumbered, and the (n,) old ids."""
    if ids.size and int(ids.min()) < 0:
        raise DataError(f"negative id {int(ids.min())} in the {side} map: ids are 1 and up, 0 is background")
    names = None
    if ids.size and int(ids.max()) > max(ids.size, 4096):
        ids, names = relabel_sequentially(ids)
    return ids.astype(np.int64), names


def _present(areas: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.flatnonzero(areas[1:]) + 1, np.int64)
