from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.data.resizing import resize_image, resize_masks, resized_frame
from tests.core.strategies import full, masks_of, stacks


@given(stacks(), st.integers(1, 20), st.integers(1, 20))
def test_masks_are_resized_by_nearest_pixel_centres(stack: NDArray[np.bool_], height_px: int, width_px: int) -> None:
    frame = Frame(height_px=height_px, width_px=width_px)
    resized = full(resize_masks(masks_of(stack), frame))
    for mask, expected in zip(stack, resized, strict=True):
        ys = ((np.arange(height_px) * 2 + 1) * mask.shape[0]) // (2 * height_px)
        xs = ((np.arange(width_px) * 2 + 1) * mask.shape[1]) // (2 * width_px)
        assert np.array_equal(expected, mask[ys][:, xs])


@pytest.mark.parametrize(
    ("short_side_px", "expected"), [(50, (50, 75, 0.5)), (200, (200, 300, 0.125)), (100, (100, 150, 0.25))]
)
def test_the_aspect_and_the_size_in_um_are_kept(short_side_px: int, expected: tuple[int, int, float]) -> None:
    frame = resized_frame(Frame(height_px=100, width_px=150, mpp=0.25), short_side_px)
    assert (frame.height_px, frame.width_px, frame.mpp) == expected
    assert resized_frame(Frame(height_px=100, width_px=150), short_side_px).mpp is None


def test_shrinking_averages_areas() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = (40, 80, 120)
    image[0, 0] = (80, 80, 120)
    assert resize_image(image, Frame(height_px=2, width_px=2))[0, 0].tolist() == [50, 80, 120]


def test_an_equal_size_is_left_alone() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    masks = masks_of(np.ones((1, 4, 5), np.bool_))
    assert resize_image(image, masks.frame) is image
    assert resize_masks(masks, masks.frame) is masks


def test_enlarging_is_cubic() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    expected = cv2.resize(image, (12, 10), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(resize_image(image, Frame(height_px=10, width_px=12)), expected)
