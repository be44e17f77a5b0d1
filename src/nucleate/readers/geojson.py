"""GeoJSON of polygons in image pixels, as QuPath, CellViT and we write it: one file an image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from nucleate.errors import DataError
from nucleate.readers.side import ONE_CLASS, Side, SideImage

SUFFIX = ".geojson"
SCORE_KEYS = ("score", "probability", "confidence", "type_prob")


def read_geojson_side(path: Path) -> Side:
    """Read one file, or every NAME.geojson of a folder.

    Raises:
        DataError: a file is no GeoJSON, or a nucleus is no polygon of numbers.
    """
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    images, skipped = [], 0
    for file in files:
        image, others = _read(file)
        images.append(image)
        skipped += others
    notes = (f"{skipped} GeoJSON features that are no polygons were left out",) if skipped else ()
    return Side(path=path, format="geojson", images=tuple(images), names_images=path.is_dir(), notes=notes)


def is_geojson(content: Any) -> bool:
    """Return whether parsed JSON is a collection, a list of features, or one of them."""
    if isinstance(content, list):
        return bool(content) and all(isinstance(each, dict) and each.get("type") == "Feature" for each in content)
    return isinstance(content, dict) and content.get("type") in ("FeatureCollection", "Feature")


def _read(path: Path) -> tuple[SideImage, int]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", path=path) from error
    features = content.get("features") if isinstance(content, dict) else content
    if isinstance(content, dict) and content.get("type") == "Feature":
        features = [content]
    if not isinstance(features, list):
        raise DataError("no GeoJSON: a FeatureCollection or a list of features is needed", path=path)
    polygons, names, scores, skipped = [], [], [], 0
    for number, feature in enumerate(features):
        try:
            polygon = _polygon(feature)
            if polygon is None:
                skipped += 1
                continue
            properties = feature["properties"] if isinstance(feature.get("properties"), dict) else {}
            scores.append(_score(properties))
        except DataError as error:
            raise DataError(error.message, path=path, item=f"feature {number}") from error
        polygons.append(polygon)
        names.append(_class_name(properties))
    image = SideImage(
        name=path.stem,
        frame=None,
        masks=None,
        polygons=np.array([*polygons, None], np.object_)[:-1],
        class_names=tuple(names),
        scores=np.array(scores, np.float32),
    )
    return image, skipped


def _polygon(feature: Any) -> shapely.Geometry | None:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return None
    try:
        polygon = shape(geometry)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, shapely.errors.ShapelyError) as error:
        raise DataError(f"unsound geometry: {error}") from error
    if polygon.is_empty or not np.isfinite(shapely.get_coordinates(polygon)).all():
        raise DataError("a geometry without corners, or with one that is no number")
    return polygon


def _class_name(properties: Mapping[str, Any]) -> str:
    named = properties.get("classification", properties.get("class"))
    if isinstance(named, dict):
        named = named.get("name")
    return named if isinstance(named, str) and named else ONE_CLASS


def _score(properties: Mapping[str, Any]) -> float:
    measured = properties.get("measurements") or {}
    if isinstance(measured, list):
        # QuPath up to 0.3 writes a list of names and values.
        measured = {each.get("name"): each.get("value") for each in measured if isinstance(each, dict)}
    for values in (properties, measured):
        for key in SCORE_KEYS:
            value = values.get(key) if isinstance(values, dict) else None
            if isinstance(value, int | float) and not isinstance(value, bool):
                if not 0 <= value <= 1:
                    raise DataError(f"{key} {value} lies outside 0 to 1")
                return float(value)
    return 1.0
