"""Nuclei of any program, annotated or predicted: label images, GeoJSON, GeoParquet, COCO, found by what is there."""

from __future__ import annotations

from nucleate.readers.coco import side_of_dataset
from nucleate.readers.detection import detect_format, read_side
from nucleate.readers.geoparquet import GeoParquetFile
from nucleate.readers.side import FileFormat, FramedImage, Side, SideImage, frame_of_both

__all__ = [
    "FileFormat",
    "FramedImage",
    "GeoParquetFile",
    "Side",
    "SideImage",
    "detect_format",
    "frame_of_both",
    "read_side",
    "side_of_dataset",
]
