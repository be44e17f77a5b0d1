"""Outlines drawn by pixel centres, against the bitmaps they came from and against shapely."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.export import mask_geometry
from nucleate.export.slide import rasterise_outlines
from tests.export.slide.bitmaps import one_mask


def outlines_of(*geometries: Any) -> NDArray[np.object_]:
    listed = np.empty(len(geometries), np.object_)
    listed[:] = geometries
    return listed


@given(st.lists(hnp.arrays(np.bool_, (9, 7)), max_size=4))
def test_pixel_edge_outlines_give_their_pixels_back(bitmaps: list[NDArray[np.bool_]]) -> None:
    frame = Frame(height_px=9, width_px=7)
    masks = rasterise_outlines(outlines_of(*(mask_geometry(one_mask(bitmap), 0) for bitmap in bitmaps)), frame)
    assert len(masks) == len(bitmaps)
    for index, bitmap in enumerate(bitmaps):
        np.testing.assert_array_equal(masks.full(index), bitmap)


@given(
    st.tuples(st.floats(-5, 25), st.floats(-5, 25)),
    st.floats(0.3, 12),
    st.floats(0, 3),
    st.sampled_from([0.5, 1.0, 1.7]),
)
def test_any_outline_covers_the_pixels_whose_centres_it_holds(
    centre: tuple[float, float], radius: float, turn: float, factor: float
) -> None:
    angles = turn + np.arange(7) / 7 * 2 * np.pi
    wobble = radius * np.where(np.arange(7) % 2, 1, 0.6)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * wobble[:, None] + centre
    star = shapely.Polygon(points)
    frame = Frame(height_px=18, width_px=21)
    drawn = rasterise_outlines(outlines_of(star), frame, factor=factor).full(0)
    ys, xs = np.mgrid[:18, :21] + 0.5
    near = shapely.distance(shapely.boundary(star), shapely.points(xs / factor, ys / factor)) < 1e-9
    expected = shapely.contains_xy(star, xs / factor, ys / factor)
    np.testing.assert_array_equal(drawn | near, expected | near)


def test_more_outlines_than_are_drawn_at_once() -> None:
    corners = np.arange(5000) % 97
    squares = shapely.box(corners, corners, corners + 2, corners + 3)
    masks = rasterise_outlines(squares, Frame(height_px=100, width_px=100))
    np.testing.assert_array_equal(masks.areas_px(), 6)
    np.testing.assert_array_equal(masks.windows_xyxy[:, 0], corners)


def test_what_lies_outside_is_cut_off() -> None:
    masks = rasterise_outlines(
        outlines_of(shapely.box(-3, -3, 2, 1), shapely.box(50, 50, 60, 60)), Frame(height_px=4, width_px=5)
    )
    assert masks.areas_px().tolist() == [2, 0]
