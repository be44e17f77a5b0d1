from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from scipy import ndimage

from nucleate.core import Outline, trace_all_outlines, trace_outlines
from tests.core.strategies import bitmaps, masks_of, stacks


def inside(ring: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Fill a ring of axis-parallel edges by the even-odd rule at pixel centres."""
    filled = np.zeros(shape, np.bool_)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if x1 == x2:
            filled[min(y1, y2) : max(y1, y2), x1:] ^= True
    return filled


def painted(outline: Outline, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    whole = inside(outline.exterior_xy, shape)
    for hole in outline.holes_xy:
        whole &= ~inside(hole, shape)
    return whole


@given(bitmaps())
def test_outlines_enclose_exactly_the_4_connected_parts(bitmap: NDArray[np.bool_]) -> None:
    outlines = trace_outlines(masks_of(bitmap[None]), 0)
    parts, count = ndimage.label(bitmap)
    assert len(outlines) == count
    expected = {(parts == index).tobytes() for index in range(1, count + 1)}
    assert {painted(outline, bitmap.shape).tobytes() for outline in outlines} == expected


@given(bitmaps())
def test_edges_alternate_between_along_rows_and_along_columns(bitmap: NDArray[np.bool_]) -> None:
    for outline in trace_outlines(masks_of(bitmap[None]), 0):
        for ring in (outline.exterior_xy, *outline.holes_xy):
            steps = np.roll(ring, -1, axis=0) - ring
            assert ((steps == 0).sum(axis=1) == 1).all()
            assert ((steps[:, 0] == 0) != (np.roll(steps, 1, axis=0)[:, 0] == 0)).all()


@given(stacks())
def test_all_masks_at_once_have_the_outlines_of_each(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack)
    for most in (2**18, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nucleate.core.sheets.MOST_SHEET_PX", most)
            traced = trace_all_outlines(masks)
        assert len(traced) == len(masks)
        for index, together in enumerate(traced):
            alone = trace_outlines(masks, index)
            assert [each.exterior_xy.tolist() for each in together] == [each.exterior_xy.tolist() for each in alone]
            assert [[hole.tolist() for hole in each.holes_xy] for each in together] == [
                [hole.tolist() for hole in each.holes_xy] for each in alone
            ]


def test_one_pixel_is_a_square_in_frame_coordinates() -> None:
    bitmap = np.zeros((5, 6), np.bool_)
    bitmap[3, 4] = True
    (outline,) = trace_outlines(masks_of(bitmap[None]), 0)
    assert sorted(outline.exterior_xy.tolist()) == [[4, 3], [4, 4], [5, 3], [5, 4]]


def test_an_island_in_a_hole_is_its_own_part() -> None:
    bitmap = np.ones((7, 7), np.bool_)
    bitmap[1:6, 1:6] = False
    bitmap[3, 3] = True
    outlines = trace_outlines(masks_of(bitmap[None]), 0)
    assert sorted((len(outline.exterior_xy), len(outline.holes_xy)) for outline in outlines) == [(4, 0), (4, 1)]


def test_a_mask_without_pixels_has_no_outline() -> None:
    assert trace_outlines(masks_of(np.zeros((1, 3, 3), np.bool_)), 0) == []
