from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nucleate.core import Frame, Masks
from nucleate.errors import DataError
from tests.core.strategies import full, masks_of, stacks

FRAME = Frame(height_px=4, width_px=5)


@given(stacks())
def test_ragged_masks_give_back_the_full_ones(stack: NDArray[np.bool_]) -> None:
    assert np.array_equal(full(masks_of(stack)), stack)


@given(stacks())
def test_areas_are_pixel_counts(stack: NDArray[np.bool_]) -> None:
    assert np.array_equal(masks_of(stack).areas_px(), stack.sum(axis=(1, 2)))


@given(stacks(least=1), st.data())
def test_select_takes_indices_in_their_order(stack: NDArray[np.bool_], data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(stack) - 1)))
    assert np.array_equal(full(masks_of(stack).select(indices)), stack[np.array(indices, int)])


@given(stacks(), st.data())
def test_select_takes_booleans(stack: NDArray[np.bool_], data: st.DataObject) -> None:
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(stack), max_size=len(stack))), np.bool_)
    assert np.array_equal(full(masks_of(stack).select(chosen)), stack[chosen])


@given(stacks(), st.integers(-12, 12), st.integers(-12, 12))
def test_moved_masks_are_cut_at_the_frame(stack: NDArray[np.bool_], dx_px: int, dy_px: int) -> None:
    frame = Frame(height_px=7, width_px=6)
    pasted = np.zeros((len(stack), 50, 50), np.bool_)
    pasted[:, 20 + dy_px : 20 + dy_px + stack.shape[1], 20 + dx_px : 20 + dx_px + stack.shape[2]] = stack
    assert np.array_equal(full(masks_of(stack).moved(dx_px, dy_px, frame)), pasted[:, 20:27, 20:26])


@given(stacks())
def test_cropped_windows_hug_their_pixels(stack: NDArray[np.bool_]) -> None:
    height_px, width_px = stack.shape[1:]
    frame = Frame(height_px=height_px, width_px=width_px)
    loose = Masks.from_bitmaps(frame, np.array([[0, 0, width_px, height_px]] * len(stack), np.int32), list(stack))
    tight = loose.cropped()
    assert np.array_equal(full(tight), stack)
    for index, window in enumerate(tight.windows_xyxy):
        ys, xs = np.nonzero(stack[index])
        expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (0, 0, 0, 0)
        assert tuple(window.tolist()) == tuple(int(value) for value in expected)


@given(stacks(), stacks())
def test_concatenated_masks_follow_each_other(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> None:
    frame = Frame(height_px=9, width_px=9)
    parts = [masks_of(first).moved(0, 0, frame), masks_of(second).moved(0, 0, frame)]
    joined = Masks.concatenate(frame, parts)
    assert np.array_equal(full(joined), np.concatenate([full(parts[0]), full(parts[1])]))


def test_no_mask_is_an_ordinary_value() -> None:
    none = Masks.empty(FRAME)
    assert len(none) == 0
    assert len(none.areas_px()) == 0
    assert len(none.select([])) == 0
    assert len(none.cropped()) == 0
    assert len(Masks.concatenate(FRAME, [])) == 0


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 6, 2), (0, 0, 2, 5), (3, 0, 2, 2)])
def test_a_window_outside_the_frame_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(DataError, match="leaves the image of 5 x 4"):
        Masks(frame=FRAME, windows_xyxy=np.array([window]), bits=np.zeros(4, np.bool_))


def test_a_wrong_number_of_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="3 mask pixels where the windows hold 4"):
        Masks(frame=FRAME, windows_xyxy=np.array([[0, 0, 2, 2]]), bits=np.zeros(3, np.bool_))


def test_a_bitmap_of_another_shape_than_its_window_is_refused() -> None:
    with pytest.raises(DataError, match="does not fit"):
        Masks.from_bitmaps(FRAME, np.array([[0, 0, 2, 3]], np.int32), [np.zeros((2, 3), np.bool_)])


def test_a_full_bitmap_of_another_shape_than_the_frame_is_refused() -> None:
    with pytest.raises(DataError, match="shape"):
        Masks.from_full(FRAME, [np.zeros((5, 4), np.bool_)])


@pytest.mark.parametrize(("height_px", "width_px"), [(0, 5), (5, 0)])
def test_a_frame_without_pixels_is_refused(height_px: int, width_px: int) -> None:
    with pytest.raises(DataError, match="has no pixel"):
        Frame(height_px=height_px, width_px=width_px)


@pytest.mark.parametrize("mpp", [0.0, -0.25, float("nan"), float("inf")])
def test_a_pixel_size_must_be_a_positive_number(mpp: float) -> None:
    with pytest.raises(DataError, match="um a pixel"):
        Frame(height_px=1, width_px=1, mpp=mpp)
