"""Nuclei of an image as numbers and outlines: shape, stain, neighbourhood."""

from __future__ import annotations

from nucleate.measurement.columns import (
    COLUMNS,
    NEIGHBOURHOOD_COLUMNS,
    NUCLEUS_COLUMNS,
    SHAPE_COLUMNS,
    STAIN_COLUMNS,
    MeasurementColumn,
)
from nucleate.measurement.neighbourhood import NeighbourhoodMeasurements, measure_neighbourhood
from nucleate.measurement.nuclei import NucleusMeasurements, measure_nuclei
from nucleate.measurement.outlines import outlines_wkb
from nucleate.measurement.shapes import ShapeMeasurements, measure_shapes
from nucleate.measurement.stain import StainMeasurements, StainSettings, measure_stain

__all__ = [
    "COLUMNS",
    "NEIGHBOURHOOD_COLUMNS",
    "NUCLEUS_COLUMNS",
    "SHAPE_COLUMNS",
    "STAIN_COLUMNS",
    "MeasurementColumn",
    "NeighbourhoodMeasurements",
    "NucleusMeasurements",
    "ShapeMeasurements",
    "StainMeasurements",
    "StainSettings",
    "measure_neighbourhood",
    "measure_nuclei",
    "measure_shapes",
    "measure_stain",
    "outlines_wkb",
]
