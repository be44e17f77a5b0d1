from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from skimage.measure import regionprops

from nucleate.core import Frame, Masks
from nucleate.errors import ConfigError
from nucleate.measurement import measure_shapes, strips
from tests.core.strategies import masks_of, stacks
from tests.measurement.scenes import drawn, mixed_sizes, of, rows

MPP = 0.25


def by_scikit_image(bitmap: NDArray[np.bool_]) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (region,) = regionprops(bitmap.astype(np.uint8))
        return {
            "area_um2": region.area * MPP**2,
            "perimeter_um": region.perimeter * MPP,
            "major_axis_um": region.axis_major_length * MPP,
            "minor_axis_um": region.axis_minor_length * MPP,
            "eccentricity": region.eccentricity,
            "solidity": region.solidity,
        }


def assert_as_scikit_image(masks: Masks) -> None:
    measured = dict(measure_shapes(masks, MPP).columns())
    for index in range(len(masks)):
        bitmap = masks.full(index)
        if not bitmap.any():
            assert all(np.isnan(column[index]) for column in measured.values())
            continue
        for name, expected in by_scikit_image(bitmap).items():
            assert measured[name][index] == pytest.approx(expected, rel=1e-6, abs=1e-6), name


def test_a_hundred_drawn_nuclei_measure_as_in_scikit_image() -> None:
    _, masks = drawn(seed=7, nuclei=100, height_px=400, width_px=500)
    assert len(masks) == 100
    assert_as_scikit_image(masks)


@given(stacks())
def test_any_mask_measures_as_in_scikit_image(stack: NDArray[np.bool_]) -> None:
    assert_as_scikit_image(masks_of(stack))


def test_all_sizes_of_nuclei_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_as_scikit_image(mixed_sizes())
    monkeypatch.setattr(strips, "STRIP_PX", 500)
    assert_as_scikit_image(mixed_sizes())


def test_circularity_is_near_one_for_a_disk_and_less_for_a_bar() -> None:
    yy, xx = np.mgrid[:60, :60]
    disk = (yy - 30) ** 2 + (xx - 30) ** 2 < 25**2
    bar = np.zeros_like(disk)
    bar[20:24, 2:58] = True
    circularity = measure_shapes(of(disk, bar), MPP).circularity
    assert 0.9 < circularity[0] <= 1
    # 4 pi 4 56 / 116^2
    assert circularity[1] == pytest.approx(0.209, abs=0.01)


def test_circularity_is_at_most_one_even_where_the_perimeter_is_nothing() -> None:
    assert measure_shapes(of(rows("#"), rows("#")), MPP).circularity.tolist() == [1, 1]
    assert measure_shapes(of(rows("##", "##")), MPP).circularity[0] <= 1


def test_lengths_scale_with_mpp_and_areas_with_its_square() -> None:
    _, masks = drawn()
    fine, coarse = measure_shapes(masks, 0.25), measure_shapes(masks, 0.5)
    assert coarse.area_um2 == pytest.approx(4 * fine.area_um2)
    assert coarse.perimeter_um == pytest.approx(2 * fine.perimeter_um)
    assert coarse.minor_axis_um == pytest.approx(2 * fine.minor_axis_um)
    assert coarse.circularity == pytest.approx(fine.circularity)


def test_no_nucleus_has_no_shape() -> None:
    shapes = measure_shapes(Masks.empty(Frame(height_px=3, width_px=3)), MPP)
    assert len(shapes) == 0
    assert all(column.shape == (0,) for _, column in shapes.columns())


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), float("inf")])
def test_mpp_must_be_a_positive_number(mpp: float) -> None:
    with pytest.raises(ConfigError, match="um a pixel"):
        measure_shapes(of(rows("#")), mpp)
