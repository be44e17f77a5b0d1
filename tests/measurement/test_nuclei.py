from __future__ import annotations

import numpy as np
import pytest

from nucleate.core import Frame, Masks
from nucleate.errors import DataError
from nucleate.measurement import (
    COLUMNS,
    NEIGHBOURHOOD_COLUMNS,
    NUCLEUS_COLUMNS,
    NucleusMeasurements,
    StainSettings,
    measure_neighbourhood,
    measure_nuclei,
    measure_shapes,
    measure_stain,
)
from tests.measurement.scenes import drawn


def test_columns_are_named_in_this_order() -> None:
    assert " ".join(column.name for column in COLUMNS) == (
        "area_um2 perimeter_um major_axis_um minor_axis_um eccentricity solidity circularity "
        "haematoxylin_od_mean haematoxylin_od_sd eosin_od_mean eosin_od_sd "
        "ring_haematoxylin_od_mean ring_haematoxylin_od_sd ring_eosin_od_mean ring_eosin_od_sd "
        "density_per_mm2 neighbour_distance_um"
    )


def test_every_column_says_what_it_is() -> None:
    for column in COLUMNS:
        assert column.description
        assert "\n" not in column.description
        assert (column.unit == "") == (column.name in ("eccentricity", "solidity", "circularity"))


def test_measured_nuclei_have_the_columns_listed() -> None:
    drawing, masks = drawn()
    settings = StainSettings(ring_um=3.0)
    measured = measure_nuclei(drawing.image_rgb, masks, mpp=0.5, settings=settings)
    assert [name for name, _ in measured.columns()] == [column.name for column in NUCLEUS_COLUMNS]
    values = dict(measured.columns())
    expected = dict(measure_shapes(masks, 0.5).columns())
    expected |= dict(measure_stain(drawing.image_rgb, masks, mpp=0.5, settings=settings).columns())
    assert len(measured) == len(masks)
    assert all(values[name].tolist() == expected[name].tolist() for name in expected)
    assert all(values[name].dtype == np.float64 for name in values)


def test_neighbourhood_has_the_columns_listed() -> None:
    names = [name for name, _ in measure_neighbourhood(np.zeros((2, 2))).columns()]
    assert names == [column.name for column in NEIGHBOURHOOD_COLUMNS]


def test_no_nucleus_has_empty_columns() -> None:
    masks = Masks.empty(Frame(height_px=4, width_px=5))
    measured = measure_nuclei(np.zeros((4, 5, 3), np.uint8), masks, mpp=0.5)
    assert all(values.shape == (0,) for _, values in measured.columns())


def test_shapes_and_stain_of_other_nuclei_are_refused() -> None:
    drawing, masks = drawn()
    stain = measure_stain(drawing.image_rgb, masks.select([0]), mpp=0.5)
    with pytest.raises(DataError, match="with stain of 1"):
        NucleusMeasurements(shapes=measure_shapes(masks, 0.5), stain=stain)
