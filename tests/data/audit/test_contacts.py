from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from nucleate.core import Frame, Masks
from nucleate.data.audit import contacts
from nucleate.data.audit.contacts import count_parts_and_holes, find_contacts


def masks_of(*drawn: NDArray[np.bool_], shape: tuple[int, int]) -> Masks:
    return Masks.from_full(Frame(height_px=shape[0], width_px=shape[1]), drawn)


def box(x1: int, y1: int, x2: int, y2: int, shape: tuple[int, int] = (12, 20)) -> NDArray[np.bool_]:
    whole = np.zeros(shape, np.bool_)
    whole[y1:y2, x1:x2] = True
    return whole


def test_nuclei_touch_at_edges_and_corners_alone() -> None:
    masks = masks_of(box(0, 0, 3, 3), box(3, 0, 6, 3), box(6, 3, 8, 5), box(9, 3, 11, 5), shape=(12, 20))
    found = find_contacts(masks)
    assert found.touching.tolist() == [True, True, True, False]
    assert not found.overlapping.any()
    assert found.repeats == ()


def test_a_shared_pixel_is_an_overlap_and_a_contact() -> None:
    found = find_contacts(masks_of(box(0, 0, 4, 4), box(3, 3, 8, 8), box(12, 0, 14, 2), shape=(12, 20)))
    assert found.overlapping.tolist() == [True, True, False]
    assert found.touching.tolist() == [True, True, False]
    assert found.repeats == ()


def test_more_nuclei_than_16_bits_hold_have_the_same_contacts(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = masks_of(box(0, 0, 3, 3), box(3, 3, 6, 6), box(5, 5, 8, 8), box(12, 0, 14, 2), shape=(12, 20))
    short = find_contacts(masks)
    monkeypatch.setattr(contacts, "MOST_SHORT", 3)
    long = find_contacts(masks)
    assert long.touching.tolist() == short.touching.tolist() == [True, True, True, False]
    assert long.overlapping.tolist() == short.overlapping.tolist() == [False, True, True, False]


def test_a_nucleus_inside_another_overlaps() -> None:
    found = find_contacts(masks_of(box(4, 4, 6, 6), box(2, 2, 9, 9), shape=(12, 20)))
    assert found.overlapping.tolist() == [True, True]


def test_two_masks_of_an_iou_of_eight_tenths_are_one_nucleus() -> None:
    # 8 of 10 pixels are shared.
    found = find_contacts(
        masks_of(box(0, 0, 9, 1), box(1, 0, 10, 1), box(0, 5, 8, 6), box(2, 5, 10, 6), shape=(12, 20))
    )
    assert found.repeats == ((0, 1),)


def test_no_nucleus_touches_nothing() -> None:
    found = find_contacts(masks_of(shape=(4, 4)))
    assert found.touching.shape == found.overlapping.shape == (0,)


def test_a_mask_without_pixels_touches_nothing() -> None:
    found = find_contacts(masks_of(box(0, 0, 0, 0), box(0, 0, 4, 4), shape=(12, 20)))
    assert not found.touching.any()


@pytest.mark.parametrize("rows", [1, 5, 1024])
def test_strips_of_any_height_find_what_every_pair_of_pixels_says(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(contacts, "STRIP_ROWS", rows)
    rng = np.random.default_rng(3)
    shape = (24, 30)
    drawn = []
    for _ in range(30):
        x, y, width, height = rng.integers((0, 0, 1, 1), (28, 22, 7, 7)).tolist()
        drawn.append(box(x, y, x + width, y + height, shape))
    drawn += [drawn[0].copy(), drawn[3].copy()]
    found = find_contacts(masks_of(*drawn, shape=shape))
    for one, mask in enumerate(drawn):
        others = [other for other in range(len(drawn)) if other != one]
        around = ndimage.binary_dilation(mask, np.ones((3, 3)))
        assert found.touching[one] == any((around & drawn[other]).any() for other in others)
        assert found.overlapping[one] == any((mask & drawn[other]).any() for other in others)
    assert {(0, 30), (3, 31)} <= set(found.repeats)


def test_parts_and_holes_are_counted_as_outlines_have_them() -> None:
    ring = box(2, 2, 7, 7) & ~box(4, 4, 5, 5)
    # A corner parts a mask, and closes a hole.
    corner = box(0, 0, 2, 2) | box(2, 2, 4, 4)
    diamond = np.zeros((12, 20), np.bool_)
    diamond[[0, 1, 1, 2], [1, 0, 2, 1]] = True
    two_holes = box(8, 0, 15, 5) & ~box(9, 1, 10, 2) & ~box(12, 2, 13, 3)
    parts, holes = count_parts_and_holes(masks_of(box(0, 0, 3, 3), ring, corner, diamond, two_holes, shape=(12, 20)))
    assert parts.tolist() == [1, 1, 2, 4, 1]
    assert holes.tolist() == [0, 1, 0, 0, 2]


def test_a_mask_without_pixels_has_no_part() -> None:
    parts, holes = count_parts_and_holes(masks_of(box(0, 0, 0, 0), shape=(12, 20)))
    assert (parts.tolist(), holes.tolist()) == ([0], [0])
