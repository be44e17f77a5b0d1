"""Regions' tables and hot spots as files: `regions.csv`, `regions.json`, GeoJSON that QuPath opens."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.polygon import orient

from nucleate.export.nuclei_table import NucleiTableInfo
from nucleate.export.summary.hot_spots import HotSpot, HotSpotSettings
from nucleate.export.summary.regions import RegionRow
from nucleate.files import write_json, write_text
from nucleate.slides import Region

REGIONS_CSV_NAME = "regions.csv"
REGIONS_JSON_NAME = "regions.json"
REGIONS_PICTURE_NAME = "regions.png"
HOT_SPOTS_NAME = "hot_spots.geojson"
SCHEMA_VERSION = 1

# Sizes get all percentiles, other measurements the middle.
_SIZES = ("area_px", "area_um2")
_SIZE_COLUMNS = ("mean", "sd", "p5", "p25", "median", "p75", "p95")
_OTHER_COLUMNS = ("mean", "sd", "median")
# QuPath's own colours repeat red for tumour; violet stands out on H&E less than this orange.
_HOT_SPOT_RGB = (255, 120, 20)
_ID_NAMESPACE = uuid.UUID("5f2d6a1e-8f0b-5c3a-9a52-3a1d7c1b6e48")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionResults:
    """Everything that was found for a slide's regions.

    Attributes:
        info: what the slide's table is about.
        source: name of the file of regions.
        rows: from `region_table`.
        hot_spots: most nuclei first.
        hot_spot_settings: how they were looked for.
        notes: what was left out or mended, a sentence each.
    """

    info: NucleiTableInfo
    source: str
    rows: tuple[RegionRow, ...]
    hot_spots: tuple[HotSpot, ...]
    hot_spot_settings: HotSpotSettings
    notes: tuple[str, ...] = ()


def write_regions_csv(path: Path, rows: Sequence[RegionRow]) -> None:
    """Write a line a row; what is unknown or not defined is empty."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    records = [_csv_record(row) for row in rows]
    if records:
        lines.writerow(records[0])
    for record in records:
        lines.writerow(["" if value is None else value for value in record.values()])
    write_text(path, text.getvalue())


def write_regions_json(path: Path, results: RegionResults) -> None:
    """Write rows with full distributions, hot spots and notes."""
    rows = [_row_json(row) for row in results.rows]
    content = {
        "schema_version": SCHEMA_VERSION,
        "slide": results.info.slide,
        "mpp": results.info.frame.mpp,
        "mpp_known_by": results.info.mpp_known_by,
        "model": results.info.model,
        "source": results.source,
        "notes": list(results.notes),
        "regions": [row for row in rows if row["number"] is not None],
        "outside": next((row for row in rows if row["number"] is None), None),
        "hot_spot_settings": asdict(results.hot_spot_settings),
        "hot_spots": [_spot_json(spot) for spot in results.hot_spots],
    }
    write_json(path, content, indent=1)


def write_hot_spots(path: Path, spots: Sequence[HotSpot], *, slide: str) -> None:
    """Write hot spots as QuPath's annotations with their counts as measurements."""
    features = []
    for spot in spots:
        measurements: dict[str, float] = {"Nuclei": spot.nuclei, "Nuclei per mm^2": spot.nuclei_per_mm2}
        measurements |= {f"Nuclei: {each.name}": each.count for each in spot.classes}
        features.append(_annotation(spot.region, f"{slide}#hot spot {spot.number}", _HOT_SPOT_RGB, measurements))
    write_json(path, {"type": "FeatureCollection", "features": features})


def write_annotations(path: Path, regions: Sequence[Region], *, slide: str, colour_rgb: tuple[int, int, int]) -> None:
    """Write regions as QuPath's annotations; `nucleate.slides.read_regions` reads them back."""
    features = [
        _annotation(region, f"{slide}#{region.name}#{place}", colour_rgb, {}) for place, region in enumerate(regions, 1)
    ]
    write_json(path, {"type": "FeatureCollection", "features": features})


def _csv_record(row: RegionRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "number": row.number,
        "name": row.name,
        "classification": row.classification,
        "area_px": row.area_px,
        "area_mm2": row.area_mm2,
        "tissue_mm2": row.tissue_mm2,
        "nuclei": row.nuclei,
        "nuclei_per_mm2": row.nuclei_per_mm2,
        "nuclei_per_tissue_mm2": row.nuclei_per_tissue_mm2,
    }
    for each in row.classes:
        record[f"nuclei: {each.name}"] = each.count
        record[f"nuclei per mm2: {each.name}"] = each.per_mm2
    for distribution in row.distributions:
        # The region's own area has the plain name.
        is_size = distribution.name in _SIZES
        name = f"nucleus_{distribution.name}" if is_size else distribution.name
        for column in _SIZE_COLUMNS if is_size else _OTHER_COLUMNS:
            record[f"{name}_{column}"] = getattr(distribution, column)
    record["note"] = row.note
    return record


def _row_json(row: RegionRow) -> dict[str, Any]:
    content = asdict(row)
    content["distributions"] = {each.pop("name"): each for each in content["distributions"]}
    return content


def _spot_json(spot: HotSpot) -> dict[str, Any]:
    return {
        "number": spot.number,
        "centre_xy": list(spot.centre_xy),
        "area_mm2": spot.area_mm2,
        "inside": spot.inside,
        "nuclei": spot.nuclei,
        "nuclei_per_mm2": spot.nuclei_per_mm2,
        "classes": [asdict(each) for each in spot.classes],
    }


def _annotation(
    region: Region, identity: str, colour_rgb: tuple[int, int, int], measurements: dict[str, float]
) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": "annotation", "name": region.name}
    if region.classification is not None:
        properties["classification"] = {"name": region.classification, "color": list(colour_rgb)}
    properties |= {"isLocked": True, "measurements": measurements}
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_ID_NAMESPACE, identity)),
        "geometry": _geometry_json(region.geometry),
        "properties": properties,
    }


def _geometry_json(geometry: Polygon | MultiPolygon) -> dict[str, Any]:
    if isinstance(geometry, Polygon):
        return {"type": "Polygon", "coordinates": _rings_json(geometry)}
    return {"type": "MultiPolygon", "coordinates": [_rings_json(part) for part in geometry.geoms]}


def _rings_json(polygon: Polygon) -> list[list[list[float]]]:
    """Return the rings with the exterior counterclockwise, as RFC 7946 asks."""
    turned = orient(polygon)
    return [[[float(x), float(y)] for x, y, *_ in ring.coords] for ring in (turned.exterior, *turned.interiors)]
