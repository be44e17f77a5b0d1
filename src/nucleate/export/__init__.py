"""Results as files: instance maps, overlays, COCO results, GeoJSON, tables."""

from __future__ import annotations

from nucleate.export.coco_results import ImagePredictions, coco_records, read_coco_results, write_coco_results
from nucleate.export.figures import figure_png, side_by_side
from nucleate.export.geojson import mask_geometry, write_geojson
from nucleate.export.instance_maps import instance_map, write_instance_map
from nucleate.export.overlays import OverlayStyle, draw_overlay
from nucleate.export.results_folder import FinishedImage, ResultsFolder
from nucleate.export.tables import NucleusRow, nucleus_rows, write_tables

__all__ = [
    "FinishedImage",
    "ImagePredictions",
    "NucleusRow",
    "OverlayStyle",
    "ResultsFolder",
    "coco_records",
    "draw_overlay",
    "figure_png",
    "instance_map",
    "mask_geometry",
    "nucleus_rows",
    "read_coco_results",
    "side_by_side",
    "write_coco_results",
    "write_geojson",
    "write_instance_map",
    "write_tables",
]
