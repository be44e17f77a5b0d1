from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nucleate.core import Frame, fill_ring, polygons, trace_outlines
from nucleate.errors import DataError
from tests.core.strategies import masks_of, stacks

FRAME = Frame(height_px=20, width_px=30)


def filled(corners: list[tuple[float, float]] | NDArray[np.float64], frame: Frame = FRAME) -> NDArray[np.bool_]:
    ring = fill_ring(np.array(corners, np.float64), frame)
    whole = np.zeros(frame.shape, np.bool_)
    x1, y1, x2, y2 = ring.window_xyxy
    whole[y1:y2, x1:x2] = ring.bitmap
    return whole


def test_a_square_of_ten_pixels_has_a_hundred() -> None:
    expected = np.zeros(FRAME.shape, np.bool_)
    expected[5:15, 10:20] = True
    assert np.array_equal(filled([(10, 5), (20, 5), (20, 15), (10, 15)]), expected)
    assert np.array_equal(filled([(10, 5), (10, 15), (20, 15), (20, 5), (10, 5)]), expected)


def test_a_pixel_belongs_to_the_outline_that_holds_its_centre() -> None:
    assert filled([(2.4, 2.4), (3.6, 2.4), (3.6, 3.6), (2.4, 3.6)]).sum() == 4
    assert filled([(2.6, 2.6), (3.4, 2.6), (3.4, 3.4), (2.6, 3.4)]).sum() == 0


def test_pixels_shared_by_two_sides_of_a_line_belong_to_one() -> None:
    left = filled([(0.5, 0.5), (4.5, 0.5), (4.5, 9.5), (0.5, 9.5)])
    right = filled([(4.5, 0.5), (9.5, 0.5), (9.5, 9.5), (4.5, 9.5)])
    assert not (left & right).any()
    assert (left | right).sum() == 81


def test_a_figure_of_eight_keeps_both_loops() -> None:
    assert filled([(2, 2), (12, 12), (12, 2), (2, 12)]).sum() > 40


def test_what_is_wound_twice_is_no_hole() -> None:
    twice = [(2, 2), (12, 2), (12, 12), (2, 12), (2, 2), (8, 2), (8, 8), (2, 8)]
    assert filled([*twice]).sum() == 100


def test_outlines_are_cut_at_the_frame_however_far_they_reach() -> None:
    assert filled([(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)]).all()
    assert not filled([(40, 40), (50, 40), (50, 50)]).any()


def test_large_outlines_are_filled_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = [(1.2, 0.3), (28.1, 4.0), (22.7, 19.9), (3.3, 15.1)]
    whole = filled(corners)
    monkeypatch.setattr(polygons, "STRIP_CELLS", 64)
    assert np.array_equal(filled(corners), whole)


def test_an_endless_zigzag_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons, "MOST_CROSSINGS", 50)
    with pytest.raises(DataError, match="no nucleus does"):
        filled([(x, (x % 2) * 20) for x in range(30)])


# Of numbers next to nothing GEOS can't tell distances, and warns.
@given(
    st.lists(
        st.tuples(*(st.floats(-5, most).map(lambda value: round(value, 6)) for most in (35, 25))),
        min_size=3,
        max_size=7,
    )
)
def test_simple_outlines_hold_the_centres_that_shapely_says(corners: list[tuple[float, float]]) -> None:
    polygon = shapely.Polygon(corners)
    if not polygon.is_valid:
        return
    rows, columns = np.mgrid[: FRAME.height_px, : FRAME.width_px] + 0.5
    centres = shapely.points(columns, rows)
    # Centres on an outline belong to one side only.
    clear = shapely.distance(polygon.boundary, centres) > 1e-6
    assert np.array_equal(filled(corners)[clear], shapely.contains(polygon, centres)[clear])


@given(stack=stacks(least=1))
def test_traced_outlines_filled_are_the_mask(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack)
    for index in range(len(masks)):
        whole = np.zeros(masks.frame.shape, np.bool_)
        for outline in trace_outlines(masks, index):
            part = filled(outline.exterior_xy.astype(np.float64), masks.frame)
            for hole in outline.holes_xy:
                part &= ~filled(hole.astype(np.float64), masks.frame)
            whole |= part
        assert np.array_equal(whole, masks.full(index))
