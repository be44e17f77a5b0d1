from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from nucleate.core import Frame, masks_from_label_map, masks_from_polygons, polygon_runs
from nucleate.evaluation import rasterise
from nucleate.export import mask_geometry

FRAME = Frame(height_px=12, width_px=15)
quarters = st.integers(-8, 68).map(lambda value: value / 4)
rings = st.lists(st.tuples(quarters, quarters), min_size=3, max_size=8)


def _array(*geometries: object) -> NDArray[np.object_]:
    return np.array([*geometries, None], np.object_)[:-1]


@given(st.lists(rings, min_size=1, max_size=4))
def test_polygons_are_those_of_the_plain_rasteriser(corners: list[list[tuple[float, float]]]) -> None:
    """Also rings that cross themselves or leave the frame, all at once."""
    masks = masks_from_polygons(_array(*(shapely.Polygon(ring) for ring in corners)), FRAME)
    for index, ring in enumerate(corners):
        assert np.array_equal(masks.full(index), rasterise([np.array(ring)], FRAME, "pixel-centres"))


@given(label_map=arrays.arrays(np.int64, FRAME.shape, elements=st.integers(0, 3)))
def test_outlines_along_pixel_edges_give_their_pixels_back(label_map: NDArray[np.int64]) -> None:
    """Holes, several parts, corners that meet."""
    masks, ids = masks_from_label_map(label_map)
    again = masks_from_polygons(_array(*(mask_geometry(masks, index) for index in range(len(ids)))), FRAME)
    assert all(np.array_equal(again.full(index), masks.full(index)) for index in range(len(ids)))


def test_polygons_that_share_an_edge_share_no_pixel() -> None:
    """Also where the edge runs through pixel centres."""
    left, right = shapely.box(0, 0, 4.5, 3.5), shapely.box(4.5, 0, 9, 3.5)
    masks = masks_from_polygons(_array(left, right), FRAME)
    assert masks.areas_px().tolist() == [12, 15]
    assert not (masks.full(0) & masks.full(1)).any()


def test_a_polygon_between_pixel_centres_or_outside_has_none() -> None:
    masks = masks_from_polygons(_array(shapely.box(1.6, 1.6, 2.4, 2.4), shapely.box(50, 50, 60, 60)), FRAME)
    assert masks.areas_px().tolist() == [0, 0]


def test_no_polygon() -> None:
    assert len(polygon_runs(_array())) == 0
    assert len(masks_from_polygons(_array(), FRAME)) == 0
