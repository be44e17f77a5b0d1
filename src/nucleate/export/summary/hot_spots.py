"""Hot spots: the places of one size that hold most nuclei."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, assert_never

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from nucleate.errors import ConfigError
from nucleate.export.nuclei_table import NucleiTableInfo, read_nuclei, read_table_info
from nucleate.export.summary.grid import CentroidGrid, cells_inside, centroid_grid
from nucleate.export.summary.slide import ClassCount, area_in_mm2, class_counts, per_mm2
from nucleate.slides import Region, RegionIndex
from nucleate.slides.regions import polygons_of

HotSpotShape = Literal["circle", "square"]
HOT_SPOT_CLASS = "Hot spot"

# Circles are drawn with so many corners, and so that their area is the circle's.
_CORNERS = 128
# Memory: a dozen arrays of so many numbers.
_MOST_CELLS = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class HotSpotSettings:
    """Which hot spots are looked for.

    Attributes:
        number: of them at most, 0 to 100; 0 looks for none.
        area_mm2: of each, 0.01 to 100; 1 mm2 is what mitoses and lymphocytes are counted in by convention.
        shape: circle or square.
        class_name: counts only nuclei of this class; None counts all.
        cell_um: resolution at which centres are tried; a twentieth of the spot where that is finer.
        least_inside: share of a spot that lies in tissue and regions, 0 to 1; the centre always does.
    """

    number: int = 5
    area_mm2: float = 1.0
    shape: HotSpotShape = "circle"
    class_name: str | None = None
    cell_um: float = 25.0
    least_inside: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 100:
            raise ConfigError(f"{self.number} hot spots: 0 to 100")
        if not 0.01 <= self.area_mm2 <= 100:
            raise ConfigError(f"hot spots of {self.area_mm2} mm2: 0.01 to 100")
        if not self.cell_um > 0:
            raise ConfigError(f"cells of {self.cell_um} um: a positive number")
        if not 0 <= self.least_inside <= 1:
            raise ConfigError(f"{self.least_inside} of a hot spot inside: 0 to 1")


DEFAULT_SETTINGS = HotSpotSettings()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Place:
    """A spot that is not counted yet."""

    centre_xy: tuple[float, float]
    inside: float
    geometry: Polygon | MultiPolygon


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HotSpot:
    """One hot spot.

    Attributes:
        number: from 1, by nuclei and then from the top.
        region: what of it lies on the slide and in the regions.
        centre_xy: level-0 pixels.
        area_mm2: of `region`.
        inside: share of the whole spot that lies in tissue and regions, on the grid, 0 to 1.
        nuclei: with their centroid in `region`, of the class that was asked for.
        nuclei_per_mm2: these by `area_mm2`.
        classes: all nuclei in `region`, class by class.
    """

    number: int
    region: Region
    centre_xy: tuple[float, float]
    area_mm2: float
    inside: float
    nuclei: int
    nuclei_per_mm2: float
    classes: tuple[ClassCount, ...]


def find_hot_spots(
    path: Path,
    *,
    regions: Sequence[Region] = (),
    tissue: Region | None = None,
    settings: HotSpotSettings = DEFAULT_SETTINGS,
) -> tuple[HotSpot, ...]:
    """Find the places that hold most nuclei; they don't overlap.

    Centres are tried on a grid, the densest spot is taken first, then the densest that doesn't overlap it, and so on.
    Nuclei outside the regions don't count. What is then found is counted exactly.

    Args:
        path: the table.
        regions: looks only there; none look everywhere.
        tissue: looks only there.
        settings: how many, how large.

    Returns:
        By nuclei, most first; fewer than asked for where no more fit, none where um a pixel are unknown.

    Raises:
        ConfigError: no such class.
        DataError: no table that `segment` wrote.
    """
    info = read_table_info(path)
    class_index = _class_index(info, settings)
    if info.frame.mpp is None or settings.number == 0:
        return ()
    side_px = math.sqrt(settings.area_mm2) * 1000 / info.frame.mpp
    cell_px = max(
        min(settings.cell_um / info.frame.mpp, side_px / 20),
        math.sqrt(info.frame.height_px * info.frame.width_px / _MOST_CELLS),
    )
    index = RegionIndex(regions) if regions else None
    grid = centroid_grid(path, info.frame, cell_px=cell_px, inside=index, class_index=class_index)
    allowed = np.ones(grid.shape, np.bool_)
    for area in ([] if index is None else [index.union]) + ([] if tissue is None else [tissue.geometry]):
        allowed &= cells_inside(area, grid.shape, cell_px=cell_px)
    limits: BaseGeometry = shapely.box(0, 0, info.frame.width_px, info.frame.height_px)
    if index is not None:
        limits = shapely.intersection(limits, index.union)
    places = [
        replace(place, geometry=polygons_of(shapely.intersection(place.geometry, limits)))
        for place in _densest(grid, allowed, side_px, settings)
    ]
    return _counted(path, info, [place for place in places if not place.geometry.is_empty], class_index=class_index)


def _class_index(info: NucleiTableInfo, settings: HotSpotSettings) -> int | None:
    if settings.class_name is None:
        return None
    if settings.class_name not in info.class_names:
        raise ConfigError(f"no class {settings.class_name!r}: the table has {', '.join(info.class_names)}")
    return info.class_names.index(settings.class_name)


def _densest(grid: CentroidGrid, allowed: NDArray[np.bool_], side_px: float, settings: HotSpotSettings) -> list[_Place]:
    """Return the densest spots that don't overlap, densest first."""
    side = side_px / grid.cell_px
    radius = _circumradius(side) if settings.shape == "circle" else side / 2
    reach = math.floor(radius)
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    match settings.shape:
        case "circle":
            kernel = down**2 + across**2 <= side**2 / math.pi
        case "square":
            kernel = np.maximum(abs(down), abs(across)) <= side / 2
        case _:
            assert_never(settings.shape)
    counts = _summed(grid.counts, kernel)
    inside = _summed(allowed, kernel) / kernel.sum()
    counts = np.where(allowed & (inside >= settings.least_inside), counts, 0)
    rows, columns = np.ogrid[: grid.shape[0], : grid.shape[1]]
    found: list[_Place] = []
    while len(found) < settings.number and counts.any():
        row, column = np.unravel_index(int(np.argmax(counts)), counts.shape)
        centre_xy = ((int(column) + 0.5) * grid.cell_px, (int(row) + 0.5) * grid.cell_px)
        geometry = _drawn(centre_xy, side_px, settings.shape)
        found.append(_Place(centre_xy=centre_xy, inside=float(inside[row, column]), geometry=geometry))
        if settings.shape == "circle":
            overlapping = (rows - row) ** 2 + (columns - column) ** 2 < (2 * radius) ** 2
        else:
            overlapping = np.maximum(abs(rows - row), abs(columns - column)) < 2 * radius
        counts[overlapping] = 0
    return found


def _summed(values: NDArray[np.integer] | NDArray[np.bool_], kernel: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the kernel's sum around every cell, with nothing beyond the grid."""
    # Here, since it takes a second to import.
    from scipy.signal import oaconvolve

    summed = oaconvolve(values.astype(np.float64), kernel.astype(np.float64), mode="full")
    reach = kernel.shape[0] // 2
    cut = summed[reach : reach + values.shape[0], reach : reach + values.shape[1]]
    return np.asarray(np.rint(cut), np.int64)


def _circumradius(side: float) -> float:
    """Return the radius of the corners of a polygon with the area of a circle of area side squared."""
    return side / math.sqrt(_CORNERS / 2 * math.sin(2 * math.pi / _CORNERS))


def _drawn(centre_xy: tuple[float, float], side_px: float, shape: HotSpotShape) -> Polygon:
    x, y = centre_xy
    if shape == "square":
        half = side_px / 2
        return shapely.box(x - half, y - half, x + half, y + half)
    angles = np.arange(_CORNERS) * (2 * math.pi / _CORNERS)
    radius = _circumradius(side_px)
    return Polygon(np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1))


def _counted(
    path: Path, info: NucleiTableInfo, places: Sequence[_Place], *, class_index: int | None
) -> tuple[HotSpot, ...]:
    if not places:
        return ()
    index = RegionIndex([Region(name=HOT_SPOT_CLASS, geometry=place.geometry) for place in places])
    counts = np.zeros((len(places), len(info.class_names)), np.int64)
    for nuclei in read_nuclei(path):
        members = index.members(nuclei.centroids_xy)
        np.add.at(counts, (members.region_indices, nuclei.class_indices[members.point_indices]), 1)
    asked_for = (counts.sum(axis=1) if class_index is None else counts[:, class_index]).tolist()
    spots: list[HotSpot] = []
    for each in sorted(range(len(places)), key=lambda each: (-asked_for[each], places[each].centre_xy[::-1])):
        area_mm2 = area_in_mm2(places[each].geometry.area, info.frame)
        number = len(spots) + 1
        spots.append(
            HotSpot(
                number=number,
                region=Region(name=f"hot spot {number}", geometry=places[each].geometry, classification=HOT_SPOT_CLASS),
                centre_xy=places[each].centre_xy,
                area_mm2=area_mm2 or 0.0,
                inside=places[each].inside,
                nuclei=asked_for[each],
                nuclei_per_mm2=per_mm2(asked_for[each], area_mm2) or 0.0,
                classes=class_counts(info.class_names, counts[each], area_mm2),
            )
        )
    return tuple(spots)
