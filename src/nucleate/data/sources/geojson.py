"""QuPath's GeoJSON (and other GeoJSON in pixels): polygons with holes and parts, classifications; .gz too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nucleate.core import Frame
from nucleate.data.sources.json_features import contains, read_features, starts_as_features
from nucleate.data.sources.pairs import PairedFormat
from nucleate.data.sources.shapes import DrawnNucleus, Part, Ring, draw_nuclei
from nucleate.data.sources.source import NUCLEUS, Dropped, SourceImage, SourceNuclei, annotation_path
from nucleate.errors import DataError
from nucleate.files import ReadLimits, check_file

SUFFIXES = (".geojson", ".json")
# A file with detections or cells holds annotations for the regions that they were looked for in.
_DETECTED = re.compile(rb'"object_?[tT]ype"\s*:\s*"(PathDetectionObject|PathCellObject|detection|cell)"')
_NO_NUCLEI = frozenset({"tile", "tma_core", "root", "PathTileObject", "TMACoreObject", "PathRootObject"})
_ANNOTATIONS = frozenset({"annotation", "PathAnnotationObject"})


def geojson_annotations(path: Path) -> dict[Path, str]:
    """Return the GeoJSON files below a path, or the path itself, with their images' stems."""
    files = [path] if path.is_file() else sorted(path.rglob("*.*json*"))
    found = {}
    for file in files:
        plain = Path(file.name.removesuffix(".gz"))
        if plain.suffix.lower() not in SUFFIXES or file.name.startswith(".") or not file.is_file():
            continue
        if plain.suffix.lower() == ".geojson" or starts_as_features(file):
            found[file] = plain.stem
    return found


def read_geojson_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return one nucleus a feature with an area; of a cell its nucleus. Classifications are the classes.

    Raises:
        DataError: a damaged file, or one above the limits.
    """
    path = annotation_path(image)
    check_file(path, ReadLimits())
    regions = contains(path, _DETECTED)
    shapes = (_nucleus(feature, number, regions=regions) for number, feature in enumerate(read_features(path), 1))
    try:
        return draw_nuclei(shapes, frame, image.key)
    except DataError as error:
        raise DataError(error.message, path=path, item=error.item) from error


def _nucleus(feature: dict[str, Any], number: int, *, regions: bool) -> DrawnNucleus | Dropped:
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    kind = properties.get("objectType", properties.get("object_type"))
    item = f"feature {number}"
    if kind in _NO_NUCLEI:
        return Dropped(reason="tile, TMA core or root of QuPath", item=item)
    if regions and kind in _ANNOTATIONS:
        return Dropped(reason="annotation beside detections, taken for a region", item=item)
    geometry = feature.get("nucleusGeometry") or properties.get("nucleusGeometry") or feature.get("geometry")
    if not isinstance(geometry, dict):
        return Dropped(reason="feature without a geometry", item=item)
    try:
        parts = tuple(_parts(geometry))
    except (TypeError, ValueError, IndexError, OverflowError):
        return Dropped(reason="outline with a corner that is no number", item=item)
    if not parts:
        return Dropped(reason="geometry without an area (points or lines)", item=item)
    return DrawnNucleus(item=item, parts=parts, class_name=_class_name(properties.get("classification")))


def _parts(geometry: dict[str, Any]) -> Iterator[Part]:
    """Yield the polygons of a geometry; collections are looked through one level deep."""
    coordinates = geometry.get("coordinates")
    match geometry.get("type"):
        case "Polygon":
            yield _part(coordinates)
        case "MultiPolygon" if isinstance(coordinates, list):
            for polygon in coordinates:
                yield _part(polygon)
        case "GeometryCollection" if isinstance(geometry.get("geometries"), list):
            for member in geometry["geometries"]:
                if isinstance(member, dict) and member.get("type") != "GeometryCollection":
                    yield from _parts(member)


def _part(rings: Any) -> Part:
    exterior, *holes = (_ring(ring) for ring in rings)
    return Part(exterior_xy=exterior, holes_xy=tuple(holes))


def _ring(corners: Any) -> Ring:
    ring = np.array(corners, np.float64)
    if ring.size == 0:
        return np.zeros((0, 2))
    if ring.ndim != 2 or ring.shape[1] < 2:
        raise ValueError("corners are lists of x and y")
    return ring[:, :2]


def _class_name(classification: Any) -> str:
    if isinstance(classification, dict):
        names = classification.get("names")
        joined = ": ".join(map(str, names)) if isinstance(names, list) else ""
        return str(classification.get("name") or joined or NUCLEUS)
    return classification if isinstance(classification, str) and classification else NUCLEUS


GEOJSON = PairedFormat(
    name="geojson",
    looked_for="images with NAME.geojson of QuPath, .gz too (geojson)",
    annotation="GeoJSON file",
    find=geojson_annotations,
    reader=read_geojson_nuclei,
)
