"""Every measurement's name, unit and meaning, for tables, exports and documentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementColumn:
    """One column of measurements.

    Attributes:
        name: in tables and files.
        unit: its symbol, empty for a ratio.
        description: one line.
    """

    name: str
    unit: str
    description: str


def _column(name: str, unit: str, description: str) -> MeasurementColumn:
    return MeasurementColumn(name=name, unit=unit, description=description)


SHAPE_COLUMNS = (
    _column("area_um2", "um2", "Area"),
    _column("perimeter_um", "um", "Length of the border, holes included"),
    _column("major_axis_um", "um", "Longer axis of the ellipse with the same second moments"),
    _column("minor_axis_um", "um", "Shorter axis of the ellipse with the same second moments"),
    _column("eccentricity", "", "Eccentricity of that ellipse: 0 is a circle, 1 a line"),
    _column("solidity", "", "Area by the area of the convex hull: 1 is convex"),
    _column("circularity", "", "4 pi area / perimeter^2, at most 1: a disk of pixels has about 0.93"),
)
STAIN_COLUMNS = (
    _column("haematoxylin_od_mean", "OD", "Mean optical density of haematoxylin in the nucleus"),
    _column("haematoxylin_od_sd", "OD", "Standard deviation of haematoxylin in the nucleus"),
    _column("eosin_od_mean", "OD", "Mean optical density of eosin in the nucleus"),
    _column("eosin_od_sd", "OD", "Standard deviation of eosin in the nucleus"),
    _column("ring_haematoxylin_od_mean", "OD", "Mean optical density of haematoxylin in the ring around the nucleus"),
    _column("ring_haematoxylin_od_sd", "OD", "Standard deviation of haematoxylin in the ring"),
    _column("ring_eosin_od_mean", "OD", "Mean optical density of eosin in the ring around the nucleus"),
    _column("ring_eosin_od_sd", "OD", "Standard deviation of eosin in the ring"),
)
NUCLEUS_COLUMNS = SHAPE_COLUMNS + STAIN_COLUMNS
NEIGHBOURHOOD_COLUMNS = (
    _column("density_per_mm2", "1/mm2", "Other nuclei within 50 um (unless set otherwise), by the circle's area"),
    _column("neighbour_distance_um", "um", "Distance from centroid to the nearest other centroid"),
)
COLUMNS = NUCLEUS_COLUMNS + NEIGHBOURHOOD_COLUMNS
