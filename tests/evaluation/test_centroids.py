from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nucleate.core import masks_from_label_map
from nucleate.errors import ConfigError, DataError
from nucleate.evaluation import CentroidLimit, Centroids, Matches, centroid_matches, label_map_overlaps
from nucleate.evaluation.centroids import HALF_DIAMETER, label_map_centroids, mask_centroids
from tests.evaluation.drawings import draw


def _matches(
    annotated: NDArray[np.int64],
    predicted: NDArray[np.int64],
    limit: CentroidLimit = HALF_DIAMETER,
    mpp: float | None = None,
) -> Matches:
    overlaps = label_map_overlaps(annotated, predicted)
    centroids = Centroids(
        annotated_xy=label_map_centroids(annotated, overlaps.annotated_ids),
        predicted_xy=label_map_centroids(predicted, overlaps.predicted_ids),
    )
    return centroid_matches(overlaps, centroids, limit=limit, mpp=mpp)


def test_centroids_are_means_of_pixel_centres() -> None:
    label_map = draw((0, 2, 0, 4), (5, 6, 7, 8), ids=[3, 9])
    assert label_map_centroids(label_map, np.array([3, 9])).tolist() == [[2.0, 1.0], [7.5, 5.5]]


def test_a_prediction_within_half_the_diameter_is_found() -> None:
    """A square of 10 px has an equivalent diameter of 11.28 px."""
    for shift, found in ((5, 1), (6, 0)):
        matches = _matches(draw((5, 15, 5, 15)), draw((5, 15, 5 + shift, 15 + shift)))
        assert matches.true_positives == found


def test_the_diameter_is_the_annotated_nucleus() -> None:
    small, large = draw((9, 10, 9, 10)), draw((5, 15, 9, 19))
    assert _matches(large, small).true_positives == 1
    assert _matches(small, large).true_positives == 0


def test_more_pairs_come_before_shorter_ones() -> None:
    """The middle prediction is nearest to the first nucleus, which has another; the second has only that."""
    annotated = draw((0, 1, 10, 11), (0, 1, 14, 15))
    predicted = draw((0, 1, 7, 8), (0, 1, 11, 12))
    assert _matches(annotated, predicted, CentroidLimit(distance_px=3)).true_positives == 2


def test_a_distance_of_exactly_the_limit_is_a_pair() -> None:
    assert _matches(draw((0, 1, 0, 1)), draw((0, 1, 3, 4)), CentroidLimit(distance_px=3)).true_positives == 1


def test_um_are_converted_by_the_images_mpp() -> None:
    limit = CentroidLimit(distance_um=1.5)
    annotated, predicted = draw((0, 1, 0, 1)), draw((0, 1, 3, 4))
    assert _matches(annotated, predicted, limit, 0.5).true_positives == 1
    assert _matches(annotated, predicted, limit, 0.51).true_positives == 0


def test_um_without_mpp_are_refused() -> None:
    with pytest.raises(DataError, match="um/px is unknown"):
        _matches(draw((0, 1, 0, 1)), draw((0, 1, 0, 1)), CentroidLimit(distance_um=1))


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        CentroidLimit(distance_px=3, distance_um=1)
    with pytest.raises(ConfigError, match="-1 is not a positive number"):
        CentroidLimit(distance_px=-1)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (CentroidLimit(distance_px=3), "3 px"),
        (CentroidLimit(distance_um=1.5), "1.5 um"),
        (HALF_DIAMETER, "half the annotated nucleus' equivalent diameter"),
    ],
)
def test_the_limit_says_what_it_is(limit: CentroidLimit, words: str) -> None:
    assert str(limit) == words


label_maps = arrays(np.int64, (5, 8), elements=st.sampled_from([0, 0, 1, 2, 5]))


@settings(deadline=None, max_examples=60)
@given(label_maps, label_maps, st.sampled_from([1.0, 2.0, 4.0]))
def test_as_many_pairs_are_made_as_any_assignment_makes(
    annotated: NDArray[np.int64], predicted: NDArray[np.int64], distance_px: float
) -> None:
    ours, theirs = (_means(label_map) for label_map in (annotated, predicted))
    most = 0
    for size in range(min(len(ours), len(theirs)) + 1):
        for chosen in combinations(ours, size):
            for order in permutations(theirs, size):
                near = [np.hypot(*(a - b)) <= distance_px + 1e-9 for a, b in zip(chosen, order, strict=True)]
                most = max(most, sum(near))
    matches = _matches(annotated, predicted, CentroidLimit(distance_px=distance_px))
    counts = (matches.true_positives, matches.false_positives, matches.false_negatives)
    assert counts == (most, len(theirs) - most, len(ours) - most)


def _means(label_map: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    ids = sorted(set(label_map.flat) - {0})
    return [np.array(np.nonzero(label_map == number)).mean(axis=1) for number in ids]


@settings(deadline=None)
@given(label_maps)
def test_masks_have_the_centroids_of_their_label_map(label_map: NDArray[np.int64]) -> None:
    masks, ids = masks_from_label_map(label_map)
    assert np.allclose(mask_centroids(masks), label_map_centroids(label_map, ids))
