"""Which format nuclei come in, found by what lies there, and the one function that reads them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, assert_never

from nucleate.data import available_splits
from nucleate.errors import DataError
from nucleate.export.results_folder import COCO_NAME
from nucleate.models.run_card import CARD_NAME
from nucleate.readers import geojson, geoparquet, label_images
from nucleate.readers.coco import read_coco_side, read_results_side
from nucleate.readers.side import FileFormat, Side

LABELS_FOLDER = "labels"
JSON_SUFFIX = ".json"


def detect_format(path: Path) -> FileFormat | None:
    """Return the format of a file or folder; None for a run, a model's name, or anything unknown.

    A folder that holds several is taken as the first of: results of `segment`, a data set that `prepare` made,
    GeoJSON, GeoParquet, label images (in `labels` where there is such a folder).
    """
    if path.is_dir():
        return _of_folder(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        return None
    if suffix == JSON_SUFFIX:
        return _of_json(path)
    if suffix == geojson.SUFFIX:
        return "geojson"
    if suffix in geoparquet.SUFFIXES:
        return "geoparquet"
    return "label-images" if suffix in label_images.SUFFIXES else None


def read_side(path: Path) -> Side:
    """Read the nuclei of a file or folder, by image.

    Raises:
        DataError: no format that is known, or an unsound file.
    """
    file_format = detect_format(path)
    match file_format:
        case "coco":
            return read_coco_side(path)
        case "coco-results":
            return read_results_side(path, file_format)
        case "results-folder":
            return read_results_side(path / COCO_NAME, file_format)
        case "label-images":
            inside = path / LABELS_FOLDER
            return label_images.read_label_side(inside if inside.is_dir() else path)
        case "geojson":
            return geojson.read_geojson_side(path)
        case "geoparquet":
            return geoparquet.read_geoparquet_side(path)
        case None:
            what = "no nuclei that can be read here" if path.exists() else "no such file or folder"
            raise DataError(
                f"{what}: give a results folder of `segment`, COCO, label images (PNG, TIFF, NPY), GeoJSON or "
                "GeoParquet",
                path=path,
            )
        case _:
            assert_never(file_format)


def _of_folder(path: Path) -> FileFormat | None:
    if (path / COCO_NAME).is_file():
        return "results-folder"
    if available_splits(path):
        return "coco"
    if (path / CARD_NAME).is_file() or any(path.glob("*.pth")):
        return None
    if any(path.glob(f"*{geojson.SUFFIX}")):
        return "geojson"
    if geoparquet.parquet_files(path):
        return "geoparquet"
    return "label-images" if label_images.label_files(path) else None


def _of_json(path: Path) -> FileFormat:
    content: Any = None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        # What is wrong with it, the reader says.
        return "coco"
    if geojson.is_geojson(content):
        return "geojson"
    return "coco-results" if isinstance(content, list) else "coco"
