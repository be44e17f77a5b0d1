"""Regions that somebody drew on a slide, and which windows and nuclei lie in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """An area of a slide.

    Attributes:
        name: as people call it; several regions may have one name.
        geometry: level-0 pixels; valid, with an area.
        classification: its class in QuPath, None where it has none.
        note: what was mended in it; "" for nothing.
    """

    name: str
    geometry: Polygon | MultiPolygon
    classification: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.geometry, Polygon | MultiPolygon):
            raise DataError(f"region {self.name!r} is a {self.geometry.geom_type}: polygons are needed")
        if not (self.geometry.is_valid and self.geometry.area > 0):
            raise DataError(f"region {self.name!r} is not valid or has no area")

    @property
    def area_px(self) -> float:
        """Return the area in level-0 pixels."""
        return float(self.geometry.area)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionMembers:
    """Which points lie in which regions, as K pairs, by region and then by point.

    Attributes:
        region_indices: (K,) int64.
        point_indices: (K,) int64.
    """

    region_indices: NDArray[np.int64]
    point_indices: NDArray[np.int64]

    def of(self, region_index: int) -> NDArray[np.int64]:
        """Return the points in one region, ascending."""
        first, last = np.searchsorted(self.region_indices, [region_index, region_index + 1])
        return self.point_indices[first:last]


class RegionIndex:
    """Answers fast, for many windows or points, where they lie to regions.

    Args:
        regions: any number; they may overlap. Without any, nothing lies inside.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = tuple(regions)
        self._geometries = np.array([region.geometry for region in self.regions], np.object_)
        # Overlaps must not count twice where a window's share is asked for.
        self._union = dissolved(region.geometry for region in self.regions)
        self._parts = np.asarray(shapely.get_parts(self._union), np.object_)
        shapely.prepare(self._geometries)
        shapely.prepare(self._parts)
        self._region_tree = shapely.STRtree(self._geometries)
        self._part_tree = shapely.STRtree(self._parts)

    @property
    def union(self) -> Polygon | MultiPolygon:
        """Return all regions as one; without any an empty polygon."""
        return self._union

    def shares(self, windows_xyxy: NDArray[np.number] | Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Return which share of each of N windows the regions cover.

        Args:
            windows_xyxy: (N, 4) level-0 pixels, each with an area.

        Returns:
            (N,) from 0 (none, a common border alone) to 1 (all of it).
        """
        windows = np.asarray(windows_xyxy, np.float64).reshape(-1, 4)
        boxes = np.asarray(shapely.box(*windows.T), np.object_).reshape(-1)
        areas = shapely.area(boxes)
        if not (areas > 0).all():
            raise DataError(f"window {windows[np.argmin(areas)].tolist()} has no area")
        covered = np.zeros(len(windows))
        of_window, of_part = self._part_tree.query(boxes)
        whole = shapely.contains(self._parts[of_part], boxes[of_window])
        np.add.at(covered, of_window[whole], areas[of_window[whole]])
        of_window, of_part = of_window[~whole], of_part[~whole]
        near = shapely.intersects(self._parts[of_part], boxes[of_window])
        of_window, of_part = of_window[near], of_part[near]
        common = shapely.area(shapely.intersection(self._parts[of_part], boxes[of_window]))
        np.add.at(covered, of_window, common)
        return np.asarray(np.minimum(covered / areas, 1.0))

    def meets(self, windows_xyxy: NDArray[np.number] | Sequence[Sequence[float]]) -> NDArray[np.bool_]:
        """Return (N,) whether each of N windows shares an area with a region (see `shares`)."""
        return self.shares(windows_xyxy) > 0

    def members(self, points_xy: NDArray[np.floating]) -> RegionMembers:
        """Return which of N points lie in which region; a point on a border lies inside.

        Args:
            points_xy: (N, 2) level-0 pixels.
        """
        points = np.asarray(points_xy, np.float64).reshape(-1, 2)
        of_point, of_region = self._region_tree.query(_points(points))
        inside = shapely.intersects_xy(self._geometries[of_region], *points[of_point].T)
        of_point, of_region = of_point[inside], of_region[inside]
        order = np.lexsort((of_point, of_region))
        return RegionMembers(
            region_indices=of_region[order].astype(np.int64), point_indices=of_point[order].astype(np.int64)
        )

    def contains(self, points_xy: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return (N,) whether each of N points lies in any region (see `members`)."""
        found = np.zeros(len(points_xy), np.bool_)
        found[self.members(points_xy).point_indices] = True
        return found


def regions_cover(regions: Sequence[Region], window_xyxy: Sequence[float]) -> float:
    """Return which share of one window regions cover, 0 to 1; for many windows ask a `RegionIndex`."""
    return float(RegionIndex(regions).shares([list(window_xyxy)])[0])


def dissolved(geometries: Iterable[BaseGeometry]) -> Polygon | MultiPolygon:
    """Return polygons as one, overlaps counted once; an empty polygon for none."""
    return polygons_of(shapely.union_all(list(geometries)))


def polygons_of(geometry: BaseGeometry) -> Polygon | MultiPolygon:
    """Return a geometry's parts that have an area, without lines and points; an empty polygon for none."""
    parts: list[Any] = []
    waiting = [geometry]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Polygon):
            if each.area > 0:
                parts.append(each)
        elif hasattr(each, "geoms"):
            waiting += reversed(each.geoms)
    if not parts:
        return Polygon()
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _points(points_xy: NDArray[np.float64]) -> NDArray[np.object_]:
    return np.asarray(shapely.points(points_xy), np.object_).reshape(-1)
