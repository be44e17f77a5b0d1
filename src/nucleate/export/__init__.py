"""Results as files: instance maps, overlays, COCO results, GeoJSON, tables."""

from __future__ import annotations

from nucleate.export.coco_results import ImagePredictions, read_coco_results, write_coco_results
from nucleate.export.instance_maps import instance_map, write_instance_map
from nucleate.export.overlays import OverlayStyle, draw_overlay

__all__ = [
    "ImagePredictions",
    "OverlayStyle",
    "draw_overlay",
    "instance_map",
    "read_coco_results",
    "write_coco_results",
    "write_instance_map",
]
