from __future__ import annotations

import numpy as np
import pytest

from nucleate.core import Frame, Instances, Masks, masks_from_label_map
from nucleate.errors import DataError
from nucleate.export import OverlayStyle, draw_overlay, side_by_side
from nucleate.export.figures import figure_png
from nucleate.export.overlays import PALETTE_RGB, line_thickness_px, neighbour_colours
from tests.synthetic import draw_he


def drawn(**options: object) -> tuple[np.ndarray, Instances]:
    drawing = draw_he(**options)  # type: ignore[arg-type]
    return drawing.image_rgb, Instances.from_masks(masks_from_label_map(drawing.label_map)[0])


def test_overlay_has_the_images_size_and_leaves_the_image_alone() -> None:
    image, found = drawn()
    before = image.copy()
    overlay = draw_overlay(image, found, ["nucleus"])
    assert overlay.shape == image.shape
    assert overlay.dtype == np.uint8
    assert np.array_equal(image, before)
    assert not np.array_equal(overlay, image)


def test_without_nuclei_the_overlay_is_the_image() -> None:
    image, _ = drawn()
    frame = Frame(height_px=image.shape[0], width_px=image.shape[1])
    assert np.array_equal(draw_overlay(image, Instances.empty(frame), ["nucleus"]), image)


def test_pixels_away_from_nuclei_and_boxes_stay() -> None:
    frame = Frame(height_px=60, width_px=80)
    masks = Masks.from_bitmaps(frame, np.array([[10, 10, 30, 30]], np.int32), [np.ones((20, 20), np.bool_)])
    overlay = draw_overlay(np.full((60, 80, 3), 200, np.uint8), Instances.from_masks(masks), ["nucleus"])
    assert (overlay[34:, :] == 200).all()
    assert (overlay[:, 34:] == 200).all()
    assert (overlay[20, 20] != 200).any()


def test_nearest_nuclei_differ_in_colour() -> None:
    _, found = drawn(nuclei=40, height_px=300, width_px=300)
    colours = neighbour_colours(found)
    centres = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=2) + np.diag(np.full(len(found), np.inf))
    nearest = distances.argmin(axis=1)
    assert (colours != colours[nearest]).any(axis=1).all()


def test_no_nucleus_needs_no_colour() -> None:
    assert neighbour_colours(Instances.empty(Frame(height_px=2, width_px=2))).shape == (0, 3)


def test_colours_come_from_the_palette() -> None:
    _, found = drawn()
    assert {tuple(colour) for colour in neighbour_colours(found).tolist()} <= {
        tuple(colour) for colour in PALETTE_RGB.tolist()
    }


def test_overlay_is_the_same_every_time() -> None:
    image, found = drawn()
    assert np.array_equal(draw_overlay(image, found, ["nucleus"]), draw_overlay(image, found, ["nucleus"]))


def test_few_nuclei_get_labels_and_many_none() -> None:
    image, found = drawn(height_px=220, width_px=260, nuclei=6)
    labelled = draw_overlay(image, found, ["nucleus"])
    plain = draw_overlay(image, found, ["nucleus"], style=OverlayStyle(most_labels=5))
    assert not np.array_equal(labelled, plain)


def test_lines_grow_with_the_image_but_leave_small_nuclei_visible() -> None:
    def lines(side_px: int, nucleus_px: int) -> int:
        frame = Frame(height_px=side_px, width_px=side_px)
        bitmap = np.ones((nucleus_px, nucleus_px), np.bool_)
        windows = np.array([[0, 0, nucleus_px, nucleus_px]], np.int32)
        return line_thickness_px(Instances.from_masks(Masks.from_bitmaps(frame, windows, [bitmap])))

    assert [lines(512, 30), lines(4200, 60), lines(4200, 8)] == [1, 3, 1]


def test_nucleus_of_one_pixel_and_one_with_a_hole_are_drawn() -> None:
    frame = Frame(height_px=30, width_px=30)
    ring = np.ones((15, 15), np.bool_)
    ring[3:12, 3:12] = False
    windows = np.array([[2, 2, 3, 3], [10, 10, 25, 25]], np.int32)
    masks = Masks.from_bitmaps(frame, windows, [np.ones((1, 1), np.bool_), ring])
    overlay = draw_overlay(np.full((30, 30, 3), 128, np.uint8), Instances.from_masks(masks), ["nucleus"])
    assert (overlay[2, 2] != 128).any()
    assert (overlay[17, 17] == 128).all()


def test_image_of_another_size_is_refused() -> None:
    _, found = drawn()
    with pytest.raises(DataError, match="over one of"):
        draw_overlay(np.zeros((5, 5, 3), np.uint8), found, ["nucleus"])


@pytest.mark.parametrize(("shape", "rows"), [((40, 50), 1), ((60, 40), 1), ((31, 400), 2)])
def test_wide_images_stand_one_above_the_other(shape: tuple[int, int], rows: int) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    figure = side_by_side(image, image, titles=("$a$_1.png", "no nucleus"))
    assert figure.axes[0].get_subplotspec().get_gridspec().nrows == rows  # type: ignore[union-attr]
    assert figure_png(figure, dpi=30).startswith(b"\x89PNG")
