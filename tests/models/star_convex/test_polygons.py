from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import Polygon, contains_xy, distance, points

from nucleate.core import Frame, Masks
from nucleate.models.star_convex.polygons import StarPolygons, shared_pixels
from nucleate.models.star_convex.rays import RAYS, ray_directions


def polygon(x: float, y: float, distances: NDArray[np.float64]) -> StarPolygons:
    return StarPolygons(
        centres_xy=np.array([[x, y]], np.float32), distances_px=np.asarray(distances, np.float32).reshape(1, -1)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_a_polygon_covers_the_pixels_whose_centre_shapely_finds_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    star = polygon(rng.uniform(-3, 35), rng.uniform(-3, 35), rng.uniform(1, 12, RAYS))
    frame = Frame(height_px=32, width_px=30)
    columns, rows = np.meshgrid(np.arange(30) + 0.5, np.arange(32) + 0.5)
    shape = Polygon(star.centres_xy[0].astype(np.float64) + star.corners()[0])
    inside = np.asarray(contains_xy(shape, columns, rows))
    # On the outline itself rounding decides.
    clear = np.asarray(distance(shape.exterior, points(columns, rows))) > 1e-3
    assert np.array_equal(star.draw(frame).full(0)[clear], inside[clear])


def test_a_polygon_beyond_the_image_has_no_pixel() -> None:
    assert polygon(-40, 5, np.full(RAYS, 8.0)).draw(Frame(height_px=20, width_px=20)).areas_px().tolist() == [0]


def test_seen_from_its_own_centre_a_polygon_is_itself() -> None:
    rng = np.random.default_rng(1)
    stars = StarPolygons(
        centres_xy=rng.uniform(0, 50, (700, 2)).astype(np.float32),
        distances_px=rng.uniform(5, 9, (700, RAYS)).astype(np.float32),
    )
    assert np.allclose(stars.seen_from(stars.centres_xy), stars.distances_px, rtol=1e-4)


def test_a_circle_seen_from_the_side_is_nearer_there() -> None:
    circle = polygon(0, 0, np.full(RAYS, 10.0))
    seen = circle.seen_from(np.array([[4, 0]], np.float32))[0]
    assert seen[0] == pytest.approx(6, abs=0.05)
    assert seen[RAYS // 2] == pytest.approx(14, abs=0.05)


def test_from_outside_some_rays_meet_nothing() -> None:
    seen = polygon(0, 0, np.full(RAYS, 5.0)).seen_from(np.array([[20, 0]], np.float32))[0]
    assert np.isnan(seen[0])
    assert seen[RAYS // 2] == pytest.approx(25, abs=0.1)


def test_shared_pixels_are_counted_pair_by_pair() -> None:
    frame = Frame(height_px=20, width_px=20)
    windows = np.array([[0, 0, 4, 4], [2, 2, 6, 6], [10, 10, 12, 12], [3, 3, 3, 3]], np.int32)
    bits = np.ones(16 + 16 + 4, np.bool_)
    shared = shared_pixels(Masks(frame=frame, windows_xyxy=windows, bits=bits)).toarray()
    assert shared.tolist() == [[16, 4, 0, 0], [4, 16, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]


def test_rays_start_to_the_right_and_go_down_first() -> None:
    directions = ray_directions(4)
    assert np.allclose(directions, [[1, 0], [0, 1], [-1, 0], [0, -1]])
