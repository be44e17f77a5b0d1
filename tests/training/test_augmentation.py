from __future__ import annotations

import numpy as np
import pytest

from nucleate.core import Frame, Instances, Masks, masks_from_label_map
from nucleate.training.mask_rcnn.augmentation import random_affine, warp_image, warp_instances
from nucleate.training.mask_rcnn.settings import Augmentation
from tests.synthetic import draw_he


def affine_of(linear: list[list[float]], shift: list[float]) -> np.ndarray:
    return np.array([[*linear[0], shift[0]], [*linear[1], shift[1]]], np.float64)


def square(frame_px: int, x1: int, y1: int, side_px: int) -> Instances:
    frame = Frame(height_px=frame_px, width_px=frame_px)
    window = np.array([[x1, y1, x1 + side_px, y1 + side_px]], np.int32)
    return Instances.from_masks(Masks.from_bitmaps(frame, window, [np.ones((side_px, side_px), np.bool_)]))


def test_the_identity_changes_neither_image_nor_masks() -> None:
    drawing = draw_he(height_px=128, width_px=128)
    masks, _ = masks_from_label_map(drawing.label_map)
    same = affine_of([[1, 0], [0, 1]], [0, 0])
    assert np.array_equal(warp_image(drawing.image_rgb, same, 128), drawing.image_rgb)
    warped = warp_instances(Instances.from_masks(masks), same, 128, min_visible=0.2)
    assert [warped.masks.full(i).tolist() for i in range(len(warped))] == [
        masks.full(i).tolist() for i in range(len(masks))
    ]


def test_a_horizontal_flip_mirrors_boxes_to_the_pixel() -> None:
    flip = affine_of([[-1, 0], [0, 1]], [64, 0])
    moved = warp_instances(square(64, 4, 10, 8), flip, 64, min_visible=0.2)
    assert moved.boxes_xyxy.tolist() == [[52, 10, 60, 18]]


def test_magnification_by_two_doubles_box_and_quadruples_area() -> None:
    moved = warp_instances(square(64, 8, 8, 10), affine_of([[2, 0], [0, 2]], [0, 0]), 64, min_visible=0.2)
    assert moved.boxes_xyxy.tolist() == [[16, 16, 36, 36]]
    assert moved.masks.areas_px().tolist() == [400]


def test_a_nucleus_mostly_outside_is_left_out_and_one_mostly_inside_is_cut() -> None:
    nucleus = square(64, 0, 0, 10)
    cut = warp_instances(nucleus, affine_of([[1, 0], [0, 1]], [-4, 0]), 64, min_visible=0.2)
    gone = warp_instances(nucleus, affine_of([[1, 0], [0, 1]], [-9, 0]), 64, min_visible=0.2)
    assert cut.boxes_xyxy.tolist() == [[0, 0, 6, 10]]
    assert len(gone) == 0


def test_a_rotated_square_covers_the_rotated_image() -> None:
    """Masks and image turn about the same point: the darkened square stays under its mask."""
    image = np.full((96, 96, 3), 200, np.uint8)
    image[30:50, 40:60] = 20
    settings = Augmentation(crop_px=96, scale=(1.3, 1.3), rotation_degrees=180.0)
    for seed in range(5):
        affine = random_affine(Frame(height_px=96, width_px=96), settings, np.random.default_rng(seed))
        nuclei = warp_instances(Instances.from_masks(square(96, 40, 30, 20).masks), affine, 96, min_visible=0.01)
        dark = warp_image(image, affine, 96)[..., 0] < 110
        drawn = nuclei.masks.full(0) if len(nuclei) else np.zeros_like(dark)
        assert np.count_nonzero(dark != drawn) <= 0.03 * 400 * 1.69


def test_crops_lie_inside_the_image_where_they_can() -> None:
    settings = Augmentation(crop_px=64, scale=(1.0, 1.0), rotation_degrees=0.0)
    frame = Frame(height_px=200, width_px=100)
    for seed in range(20):
        affine = random_affine(frame, settings, np.random.default_rng(seed))
        corners = np.linalg.inv(affine[:, :2]) @ (np.array([[0, 64], [0, 64]]) - affine[:, 2:])
        assert corners.min() > -1e-9
        assert (corners.max(axis=1) < np.array([100, 200]) + 1e-9).all()


def test_no_nuclei_stay_no_nuclei() -> None:
    empty = Instances.empty(Frame(height_px=64, width_px=64))
    assert len(warp_instances(empty, affine_of([[1, 0], [0, 1]], [0, 0]), 64, min_visible=0.2)) == 0


@pytest.mark.parametrize("crop_px", [100, 32])
def test_crops_that_no_pyramid_can_halve_are_refused(crop_px: int) -> None:
    with pytest.raises(Exception, match="multiple of 32"):
        Augmentation(crop_px=crop_px)
