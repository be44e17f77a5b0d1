"""Nuclei as GeoJSON that QuPath opens (File > Import objects), coordinates in image pixels."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from nucleate.core import Instances
from nucleate.core.geometry import mask_geometry
from nucleate.export.overlays import PALETTE_RGB
from nucleate.files import json_text, write_text

# Namespace of the ids, so that one file and number always give one id (QuPath wants UUIDs).
_ID_NAMESPACE = uuid.UUID("5f2d6a1e-8f0b-5c3a-9a52-3a1d7c1b6e48")


def geojson_features(file: str, instances: Instances, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one QuPath detection a nucleus that has pixels, with number, score and area as measurements.

    Args:
        file: the image, from which the ids are made.
        instances: the nuclei.
        class_names: the classes that `class_indices` count.
    """
    areas_px = instances.masks.areas_px().tolist()
    features = []
    for index in np.flatnonzero(instances.masks.areas_px()).tolist():
        class_index = int(instances.class_indices[index])
        features.append(
            {
                "type": "Feature",
                "id": feature_id(file, index + 1),
                "geometry": _geometry_json(mask_geometry(instances.masks, index)),
                "properties": {
                    "objectType": "detection",
                    "classification": {
                        "name": class_names[class_index],
                        "color": PALETTE_RGB[class_index % len(PALETTE_RGB)].tolist(),
                    },
                    "isLocked": False,
                    "measurements": {
                        "number": index + 1,
                        "score": round(float(instances.scores[index]), 6),
                        "area_px": areas_px[index],
                    },
                },
            }
        )
    return features


def geojson_text(file: str, instances: Instances, class_names: Sequence[str]) -> str:
    """Return one image's nuclei as a FeatureCollection; equal nuclei give equal text."""
    return json_text({"type": "FeatureCollection", "features": geojson_features(file, instances, class_names)})


def write_geojson(path: Path, file: str, instances: Instances, class_names: Sequence[str]) -> None:
    """Write `geojson_text` to a file, whole or not at all."""
    write_text(path, geojson_text(file, instances, class_names))


def _geometry_json(geometry: Polygon | MultiPolygon) -> dict[str, Any]:
    if isinstance(geometry, Polygon):
        return {"type": "Polygon", "coordinates": _rings_json(geometry)}
    return {"type": "MultiPolygon", "coordinates": [_rings_json(part) for part in geometry.geoms]}


def _rings_json(polygon: Polygon) -> list[list[list[int]]]:
    rings: list[NDArray[np.int64]] = [
        np.asarray(ring.coords, np.float64).astype(np.int64) for ring in (polygon.exterior, *polygon.interiors)
    ]
    return [ring.tolist() for ring in rings]


def feature_id(file: str, number: int) -> str:
    """Return the UUID of a nucleus in QuPath, by the image's file name and the nucleus' number."""
    return str(uuid.uuid5(_ID_NAMESPACE, f"{file}#{number}"))
