from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, masks_from_label_map
from nucleate.errors import DataError
from nucleate.evaluation import Overlaps, label_map_overlaps, mask_overlaps
from tests.evaluation.drawings import draw, masks_of, overlaps_of

label_maps = arrays(np.int64, (4, 5), elements=st.sampled_from([0, 0, 1, 2, 3, 7, 900_000]))


def _brute_force(annotated: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[tuple[int, int], int]:
    pairs = {}
    for row, annotated_id in enumerate(sorted(set(annotated.flat) - {0})):
        for column, predicted_id in enumerate(sorted(set(predicted.flat) - {0})):
            shared = int(((annotated == annotated_id) & (predicted == predicted_id)).sum())
            if shared:
                pairs[row, column] = shared
    return pairs


def _pairs(overlaps: Overlaps) -> dict[tuple[int, int], int]:
    rows, columns = overlaps.annotated_indices.tolist(), overlaps.predicted_indices.tolist()
    return dict(zip(zip(rows, columns, strict=True), overlaps.intersections_px.tolist(), strict=True))


@settings(deadline=None)
@given(label_maps, label_maps)
def test_overlaps_equal_those_counted_pair_by_pair(annotated: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
    overlaps = label_map_overlaps(annotated, predicted)
    assert _pairs(overlaps) == _brute_force(annotated, predicted)
    assert overlaps.annotated_ids.tolist() == sorted(set(annotated.flat) - {0})
    assert overlaps.annotated_areas_px.tolist() == [int((annotated == i).sum()) for i in overlaps.annotated_ids]
    assert overlaps.predicted_areas_px.tolist() == [int((predicted == i).sum()) for i in overlaps.predicted_ids]


@settings(deadline=None)
@given(label_maps, label_maps)
def test_masks_overlap_as_their_label_maps_do(annotated: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
    of_maps = label_map_overlaps(annotated, predicted)
    of_masks = mask_overlaps(masks_from_label_map(annotated)[0], masks_from_label_map(predicted)[0])
    assert _pairs(of_masks) == _pairs(of_maps)
    assert of_masks.annotated_areas_px.tolist() == of_maps.annotated_areas_px.tolist()


def test_many_ids_on_few_pixels_are_sorted_instead_of_counted() -> None:
    annotated = np.arange(1, 601).reshape(20, 30)
    overlaps = label_map_overlaps(annotated, annotated[::-1])
    assert overlaps.intersections_px.tolist() == [1] * 600


def test_overlapping_masks_share_pixels_with_one_prediction() -> None:
    overlaps = mask_overlaps(masks_of([(5, 15, 5, 15), (5, 15, 6, 16)]), masks_of([(5, 15, 5, 15)]))
    assert overlaps.intersections_px.tolist() == [100, 90]
    assert overlaps.ious().tolist() == [1.0, 90 / 110]


def test_windows_that_meet_without_shared_pixels_are_no_pair() -> None:
    corner = np.zeros((4, 4), bool)
    corner[0, 0] = corner[3, 3] = True
    other = np.zeros((4, 4), bool)
    other[1, 1] = other[2, 2] = True
    frame = Frame(height_px=4, width_px=4)
    overlaps = mask_overlaps(Masks.from_full(frame, [corner]), Masks.from_full(frame, [other]))
    assert len(overlaps.intersections_px) == 0


def test_dropping_predictions_renumbers_the_rest() -> None:
    overlaps = overlaps_of([(0, 5, 0, 10), (10, 15, 0, 10)], [(0, 5, 0, 5), (0, 5, 5, 10), (10, 15, 0, 9)])
    kept = overlaps.with_predicted(np.array([False, True, True]))
    assert _pairs(kept) == {(0, 0): 25, (1, 1): 45}
    assert kept.predicted_ids.tolist() == [2, 3]


def test_negative_ids_are_refused() -> None:
    with pytest.raises(DataError, match="negative id -1 in the predicted map"):
        label_map_overlaps(draw(), draw((0, 1, 0, 1), ids=[-1]))


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="shape"):
        label_map_overlaps(np.zeros((2, 2), int), np.zeros((2, 3), int))


def test_masks_of_different_frames_are_refused() -> None:
    with pytest.raises(DataError, match="predicted ones of"):
        mask_overlaps(masks_of([]), Masks.empty(Frame(height_px=2, width_px=2)))


def test_masks_without_pixels_are_refused() -> None:
    frame = Frame(height_px=2, width_px=2)
    with pytest.raises(DataError, match="predicted mask 0 has no pixel"):
        mask_overlaps(Masks.empty(frame), Masks.from_full(frame, [np.zeros((2, 2), bool)]))
