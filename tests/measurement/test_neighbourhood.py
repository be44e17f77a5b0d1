from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from nucleate.errors import ConfigError
from nucleate.measurement import measure_neighbourhood

CENTROIDS = npst.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)), elements=st.integers(0, 200).map(float))
CIRCLE_MM2 = math.pi * 0.05**2


@given(CENTROIDS)
def test_neighbours_are_those_of_all_pairwise_distances(centroids: NDArray[np.float64]) -> None:
    found = measure_neighbourhood(centroids)
    distances = np.hypot(*(centroids[:, None] - centroids[None]).transpose(2, 0, 1))
    np.fill_diagonal(distances, np.inf)
    assert found.density_per_mm2 * CIRCLE_MM2 == pytest.approx((distances <= 50).sum(axis=1))
    nearest = distances.min(axis=1, initial=np.inf)
    assert found.neighbour_distance_um == pytest.approx(np.where(nearest < np.inf, nearest, np.nan), nan_ok=True)


def test_density_counts_others_within_the_radius() -> None:
    centroids = np.array([[0, 0], [30, 40], [60, 0], [0, 9]], np.float64)
    found = measure_neighbourhood(centroids)
    assert found.density_per_mm2 * CIRCLE_MM2 == pytest.approx([2, 3, 1, 2])
    assert found.neighbour_distance_um == pytest.approx([9, math.hypot(30, 31), 50, 9])
    within_10 = measure_neighbourhood(centroids, radius_um=10)
    assert within_10.density_per_mm2 * math.pi * 0.01**2 == pytest.approx([1, 0, 0, 1])


def test_queried_nuclei_are_measured_among_all_in_their_order() -> None:
    centroids = np.random.default_rng(0).uniform(0, 300, (40, 2))
    whole = measure_neighbourhood(centroids)
    part = measure_neighbourhood(centroids, np.array([7, 3, 3]))
    assert len(part) == 3
    for (name, values), (_, expected) in zip(part.columns(), whole.columns(), strict=True):
        assert values.tolist() == expected[[7, 3, 3]].tolist(), name


def test_nucleus_alone_has_no_nearest() -> None:
    found = measure_neighbourhood(np.array([[5.0, 5.0]]))
    assert found.density_per_mm2.tolist() == [0]
    assert np.isnan(found.neighbour_distance_um).tolist() == [True]


def test_nuclei_at_one_place_are_neighbours_at_no_distance() -> None:
    found = measure_neighbourhood(np.array([[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]))
    assert found.neighbour_distance_um.tolist() == [0, 0, 0]
    assert found.density_per_mm2 * CIRCLE_MM2 == pytest.approx([2, 2, 2])


def test_nucleus_without_centroid_is_no_neighbour() -> None:
    found = measure_neighbourhood(np.array([[0.0, 0.0], [np.nan, np.nan], [0.0, 20.0]]))
    assert found.neighbour_distance_um == pytest.approx([20, np.nan, 20], nan_ok=True)
    assert found.density_per_mm2 * CIRCLE_MM2 == pytest.approx([1, np.nan, 1], nan_ok=True)


def test_no_nucleus_has_no_neighbourhood() -> None:
    assert len(measure_neighbourhood(np.zeros((0, 2)))) == 0
    assert len(measure_neighbourhood(np.zeros((4, 2)), np.zeros(0, np.int64))) == 0


@pytest.mark.parametrize("radius_um", [0.0, -1.0, float("nan")])
def test_radius_is_positive(radius_um: float) -> None:
    with pytest.raises(ConfigError, match="radius_um"):
        measure_neighbourhood(np.zeros((1, 2)), radius_um=radius_um)
