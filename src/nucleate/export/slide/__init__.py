"""A slide's table in the formats of other programs, streamed so that memory does not grow with the slide."""

from __future__ import annotations

from nucleate.export.slide.area import ExportArea
from nucleate.export.slide.cells import MOST_UM, grow_cells, with_cells
from nucleate.export.slide.coco import read_slide_coco, write_slide_coco
from nucleate.export.slide.geojson import read_slide_geojson, write_slide_geojson
from nucleate.export.slide.labels import read_slide_labels, write_slide_labels
from nucleate.export.slide.nuclei_csv import read_slide_csv, write_slide_csv
from nucleate.export.slide.qupath_script import qupath_script, write_qupath_script
from nucleate.export.slide.rasterising import rasterise_outlines
from nucleate.export.slide.rois import MOST_ROIS, read_slide_rois, write_slide_rois
from nucleate.export.slide.slide_table import ExportedNuclei, SlideGroup, SlideTable, results_tables
from nucleate.export.slide.spatial import read_slide_spatialdata, slide_spatialdata, write_slide_spatialdata

__all__ = [
    "MOST_ROIS",
    "MOST_UM",
    "ExportedNuclei",
    "ExportArea",
    "SlideGroup",
    "SlideTable",
    "grow_cells",
    "qupath_script",
    "rasterise_outlines",
    "read_slide_coco",
    "read_slide_csv",
    "read_slide_geojson",
    "read_slide_labels",
    "read_slide_rois",
    "read_slide_spatialdata",
    "results_tables",
    "slide_spatialdata",
    "with_cells",
    "write_qupath_script",
    "write_slide_coco",
    "write_slide_csv",
    "write_slide_geojson",
    "write_slide_labels",
    "write_slide_rois",
    "write_slide_spatialdata",
]
