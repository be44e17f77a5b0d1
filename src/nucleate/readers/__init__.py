"""Nuclei of any program, annotated or predicted: label images, GeoJSON, GeoParquet, COCO, found by what is there."""

from __future__ import annotations

from nucleate.readers.bands import Band, BandedPolygons
from nucleate.readers.coco import side_of_dataset
from nucleate.readers.detection import detect_format, read_side
from nucleate.readers.geoparquet import GeoParquetFile, PolygonBatch
from nucleate.readers.side import LARGEST_FRAME_PX, FileFormat, FramedImage, Side, SideImage, frame_of_both

__all__ = [
    "LARGEST_FRAME_PX",
    "Band",
    "BandedPolygons",
    "FileFormat",
    "FramedImage",
    "GeoParquetFile",
    "PolygonBatch",
    "Side",
    "SideImage",
    "detect_format",
    "frame_of_both",
    "read_side",
    "side_of_dataset",
]
