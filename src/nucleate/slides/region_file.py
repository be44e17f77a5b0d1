"""Regions out of GeoJSON, as QuPath and others write it."""

from __future__ import annotations

import json
import logging
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from nucleate.errors import DataError
from nucleate.files.limits import ReadLimits, check_file
from nucleate.slides.regions import Region, dissolved, polygons_of

logger = logging.getLogger(__name__)

MOST_PX = 1e9

_GZIP = b"\x1f\x8b"
_NO_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
# QuPath's objects that are no regions, even where they are polygons.
_NO_REGION = ("detection", "cell", "tile")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLimits:
    """What a file of regions may hold before it is refused.

    Attributes:
        max_bytes: of its text, unpacked; a million corners are 25 MB, and parsed they take ten times as much.
        max_regions: more are nuclei, not regions.
        max_depth: of collections within collections.
    """

    max_bytes: int = 64 * 2**20
    max_regions: int = 10_000
    max_depth: int = 16


DEFAULT_LIMITS = RegionLimits()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionFile:
    """What a file of regions holds.

    Attributes:
        path: the file.
        regions: at least one, in the file's order.
        notes: what was left out of the file or mended, a sentence each.
    """

    path: Path
    regions: tuple[Region, ...]
    notes: tuple[str, ...] = ()


def read_regions(path: Path, *, limits: RegionLimits = DEFAULT_LIMITS) -> tuple[Region, ...]:
    """Return a file's regions; warn of what was left out or mended (see `read_region_file`)."""
    read = read_region_file(path, limits=limits)
    for note in read.notes:
        logger.warning("%s: %s", path, note)
    return read.regions


def read_region_file(path: Path, *, limits: RegionLimits = DEFAULT_LIMITS) -> RegionFile:
    """Read regions: polygons and multipolygons in level-0 pixels, holes kept.

    Taken are a FeatureCollection, a list of features (older QuPath), a Feature, a GeometryCollection or a geometry,
    also packed by gzip. A region is named by `properties.name`, else by its classification, else by its place.
    Points, lines and QuPath's detections, cells and tiles are no regions: they are counted in the notes. Polygons
    that cross themselves are mended.

    Raises:
        DataError: no such file, no GeoJSON, too large, coordinates that are no numbers, or no region in it.
    """
    reading = _Reading(limits=limits)
    try:
        reading.take(json.loads(_text(path, limits)), limits.max_depth)
    except RecursionError as error:
        raise DataError("nested too deeply: no GeoJSON of regions", path=path) from error
    except ValueError as error:
        raise DataError(f"no GeoJSON: {error}", path=path) from error
    except DataError as error:
        raise DataError(error.message, path=path, item=error.item) from error
    if reading.problems:
        more = f" (and {len(reading.problems) - 1:,} more)" if len(reading.problems) > 1 else ""
        raise DataError(f"{reading.problems[0]}{more}", path=path)
    left_out = ", ".join(f"{count:,} x {kind}" for kind, count in sorted(reading.left_out.items()))
    if not reading.regions:
        found = left_out or "nothing"
        raise DataError(f"no region in it: a polygon is needed, and there is {found}", path=path)
    notes = [f"region {region.name!r}: {region.note}" for region in reading.regions if region.note]
    if left_out:
        notes.insert(0, f"left out, no regions: {left_out}")
    return RegionFile(path=path, regions=tuple(reading.regions), notes=tuple(notes))


@dataclass(slots=True, kw_only=True)
class _Reading:
    """The regions found so far."""

    limits: RegionLimits
    regions: list[Region] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def take(self, value: Any, depth: int) -> None:
        """Take whatever stands at the top of a file."""
        if depth == 0:
            raise DataError(f"collections nested more than {self.limits.max_depth} deep")
        if isinstance(value, list):
            for each in value:
                self.take(each, depth - 1)
            return
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "FeatureCollection":
            self.take(_listed(value, "features"), depth - 1)
        elif kind == "Feature":
            self._take_feature(value)
        elif kind == "GeometryCollection":
            self.take(_listed(value, "geometries"), depth - 1)
        else:
            self._add(value, name=None, classification=None)

    def _take_feature(self, feature: dict[str, Any]) -> None:
        properties = feature.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        # `object_type` is how QuPath 0.2 spelled it.
        kind = properties.get("objectType", properties.get("object_type"))
        if kind in _NO_REGION:
            self.left_out[f"QuPath {kind}"] += 1
        elif feature.get("geometry") is None:
            self.left_out["feature without geometry"] += 1
        else:
            classification = _classification(properties.get("classification"))
            self._add(feature["geometry"], name=_text_of(properties.get("name")), classification=classification)

    def _add(self, geometry: Any, *, name: str | None, classification: str | None) -> None:
        place = len(self.regions) + 1
        called = name or classification or f"region {place}"
        notes: list[str] = []
        left_out = self.left_out.total()
        try:
            polygons = [_polygon(rings, notes) for rings in self._polygons(geometry, self.limits.max_depth)]
            whole = _one(polygons, notes)
        except DataError as error:
            self.problems.append(f"region {called!r}: {error.message}")
            return
        if not polygons:
            if self.left_out.total() == left_out:
                self.left_out["empty geometry"] += 1
            return
        if whole.is_empty:
            self.problems.append(f"region {called!r}: no area")
            return
        if place > self.limits.max_regions:
            raise DataError(f"more than {self.limits.max_regions:,} polygons: export annotations alone, not nuclei")
        note = "; ".join(dict.fromkeys(notes))
        self.regions.append(Region(name=called, geometry=whole, classification=classification, note=note))

    def _polygons(self, geometry: Any, depth: int) -> Iterator[list[Any]]:
        """Yield the rings of each polygon of a geometry; count what has no area."""
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        if depth == 0:
            raise DataError(f"collections nested more than {self.limits.max_depth} deep")
        if kind in _NO_AREA:
            self.left_out[str(kind)] += 1
        elif kind == "Polygon":
            yield _listed(geometry, "coordinates")
        elif kind == "MultiPolygon":
            for rings in _listed(geometry, "coordinates"):
                if not isinstance(rings, list):
                    raise DataError("a MultiPolygon's coordinates are lists of rings")
                yield rings
        elif kind == "GeometryCollection":
            for each in _listed(geometry, "geometries"):
                yield from self._polygons(each, depth - 1)
        else:
            raise DataError(f"a geometry of type {_shortened(kind)}: GeoJSON's Polygon or MultiPolygon is needed")


def _text(path: Path, limits: RegionLimits) -> str:
    check_file(path, ReadLimits(max_file_bytes=limits.max_bytes))
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = _unpacked(content, limits.max_bytes)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("no GeoJSON: not UTF-8 text", path=path) from error
    except (OSError, zlib.error) as error:
        raise DataError(f"can't be read: {error}", path=path) from error
    except DataError as error:
        raise DataError(error.message, path=path) from error


def _unpacked(content: bytes, most: int) -> bytes:
    """Return what gzip packed; a small file may hold any number of bytes, so it is asked for no more than allowed."""
    unpacked = b""
    while content:
        packer = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        unpacked += packer.decompress(content, most + 1 - len(unpacked))
        if len(unpacked) > most:
            raise DataError(f"more than {most:,} bytes unpacked: export annotations alone, not nuclei")
        if not packer.eof:
            raise DataError("the gzip file is cut off")
        content = packer.unused_data
    return unpacked


def _polygon(rings: list[Any], notes: list[str]) -> Polygon:
    corners = [_ring(ring, notes) for ring in rings]
    if not corners:
        raise DataError("a polygon without a ring")
    polygon = Polygon(corners[0], corners[1:])
    if polygon.is_valid:
        return polygon
    reason = shapely.is_valid_reason(polygon).split("[")[0].strip().lower()
    notes.append(f"not valid ({reason}), mended")
    return polygon


def _ring(ring: Any, notes: list[str]) -> NDArray[np.float64]:
    if not isinstance(ring, list):
        raise DataError(f"{_shortened(ring)} where a ring of corners is needed")
    corners = np.empty((len(ring), 2))
    for index, corner in enumerate(ring):
        # A third number is a height, which slides have none of.
        if not (isinstance(corner, list) and len(corner) >= 2 and all(map(_is_number, corner[:2]))):
            raise DataError(f"corner {index + 1} is {_shortened(corner)}: two numbers are needed")
        corners[index] = corner[:2]
    if len(corners) and (corners[0] != corners[-1]).any():
        notes.append("a ring was open, closed")
        corners = np.concatenate([corners, corners[:1]])
    if len(corners) < 4:
        raise DataError("a ring of fewer than three corners")
    return corners


def _one(polygons: list[Polygon], notes: list[str]) -> Polygon | MultiPolygon:
    """Return a region's polygons as one valid geometry; one that was valid stays as it was drawn."""
    mended = [each if each.is_valid else polygons_of(shapely.make_valid(each)) for each in polygons]
    if len(mended) == 1:
        return polygons_of(mended[0])
    whole = dissolved(mended)
    if whole.area < (1 - 1e-9) * sum(each.area for each in mended):
        notes.append("its parts overlap, taken once")
    return whole


def _is_number(value: Any) -> bool:
    # No slide has a billion pixels a side, and NaN and infinity are not below it either.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST_PX


def _listed(value: dict[str, Any], key: str) -> list[Any]:
    listed = value.get(key)
    if not isinstance(listed, list):
        raise DataError(f"a {value['type']} without a list of {key}")
    return listed


def _classification(value: Any) -> str | None:
    """Return a class's name; QuPath before 0.5 wrote `name`, later versions write `names` for derived classes."""
    if isinstance(value, dict):
        names = value.get("names")
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return ": ".join(names)
        return _text_of(value.get("name"))
    return _text_of(value)


def _text_of(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
