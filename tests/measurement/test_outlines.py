from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, masks_from_label_map
from nucleate.core.geometry import mask_geometry
from nucleate.measurement import outlines, outlines_wkb, strips
from tests.core.strategies import masks_of, stacks
from tests.measurement.scenes import drawn, mixed_sizes, of, rows


def assert_as_mask_geometry(masks: Masks, offset_xy: tuple[int, int] = (0, 0)) -> None:
    areas = masks.areas_px()
    for index, wkb in enumerate(outlines_wkb(masks, offset_xy)):
        assert isinstance(wkb, bytes)
        outline = shapely.from_wkb(wkb)
        expected = shapely.transform(mask_geometry(masks, index), lambda xy: xy + offset_xy)
        assert outline.is_valid
        assert outline.area == areas[index]
        assert outline.normalize() == expected.normalize()


@given(stacks(), st.integers(-50, 10**6), st.integers(-50, 10**6))
def test_outlines_are_those_of_mask_geometry_shifted(stack: NDArray[np.bool_], x: int, y: int) -> None:
    assert_as_mask_geometry(masks_of(stack), (x, y))


def test_drawn_nuclei_are_written_without_shapely(monkeypatch: pytest.MonkeyPatch) -> None:
    _, masks = drawn(seed=3, nuclei=20, height_px=200, width_px=200)
    expected = [mask_geometry(masks, index) for index in range(len(masks))]
    monkeypatch.delattr(outlines, "mask_geometry")
    found = [shapely.from_wkb(wkb) for wkb in outlines_wkb(masks)]
    assert [a.normalize() == b.normalize() for a, b in zip(found, expected, strict=True)] == [True] * len(masks)


def test_exterior_starts_upper_left_and_runs_counter_clockwise_in_xy() -> None:
    bitmap = np.zeros((5, 6), np.bool_)
    bitmap[3, 4] = True
    (wkb,) = outlines_wkb(of(bitmap), (10, 20))
    ring = shapely.get_coordinates(shapely.from_wkb(wkb)).tolist()
    assert ring == [[14, 23], [15, 23], [15, 24], [14, 24], [14, 23]]


@pytest.mark.parametrize(
    "bitmap",
    [
        rows("###", "#.#", "###"),
        rows("##.", "#.#", "###"),
        rows("#.#", "#.#"),
        rows("#.", ".#"),
        rows("#.####", "#.#..#", "#.####"),
    ],
    ids=["hole", "touches itself", "two parts", "parts at a corner", "a part and a part with a hole"],
)
def test_outlines_of_several_rings(bitmap: NDArray[np.bool_]) -> None:
    assert_as_mask_geometry(of(np.ones_like(bitmap), bitmap, np.ones_like(bitmap)), (3, 4))


def test_all_sizes_of_nuclei_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_as_mask_geometry(mixed_sizes())
    monkeypatch.setattr(strips, "STRIP_PX", 500)
    assert_as_mask_geometry(mixed_sizes())


def test_nucleus_without_pixels_is_empty() -> None:
    (wkb,) = outlines_wkb(of(np.zeros((3, 3), np.bool_)), (5, 5))
    assert shapely.from_wkb(wkb).is_empty


def test_no_nucleus_is_no_outline() -> None:
    assert outlines_wkb(Masks.empty(Frame(height_px=3, width_px=3))).shape == (0,)


@pytest.mark.shared_data
def test_outlines_of_annotated_nuclei(shared_data: Path) -> None:
    from nucleate.files import read_label_map

    path = shared_data / "nuinsseg" / "mouse spleen" / "label masks modify" / "mouse_spleen_02.tif"
    assert_as_mask_geometry(masks_from_label_map(read_label_map(path))[0], (100_000, 7))
