"""Results as files: instance maps, overlays, COCO results, GeoJSON, tables."""

from __future__ import annotations

from nucleate.core.geometry import mask_geometry
from nucleate.export.coco_results import ImagePredictions, coco_records, read_coco_results, write_coco_results
from nucleate.export.dataframes import ImageNuclei, nuclei_dataframe, nuclei_geodataframe
from nucleate.export.dataset_export import DatasetExport, DatasetFormat, write_dataset
from nucleate.export.figures import figure_png, side_by_side
from nucleate.export.geojson import geojson_text, write_geojson
from nucleate.export.instance_maps import instance_map, write_instance_map
from nucleate.export.notebook import picture_html, picture_png, table_html
from nucleate.export.nuclei_table import (
    NucleiTableInfo,
    NucleiTableWriter,
    count_nuclei,
    read_nuclei,
    read_table_info,
)
from nucleate.export.overlays import OverlayStyle, draw_overlay
from nucleate.export.results_folder import FinishedImage, ResultsFolder
from nucleate.export.slide import (
    ExportedNuclei,
    read_slide_coco,
    read_slide_csv,
    read_slide_geojson,
    read_slide_labels,
    read_slide_rois,
    read_slide_spatialdata,
)
from nucleate.export.tables import NucleusRow, nucleus_rows, write_tables

__all__ = [
    "DatasetExport",
    "DatasetFormat",
    "ExportedNuclei",
    "FinishedImage",
    "ImageNuclei",
    "ImagePredictions",
    "NucleiTableInfo",
    "NucleiTableWriter",
    "NucleusRow",
    "OverlayStyle",
    "ResultsFolder",
    "coco_records",
    "count_nuclei",
    "draw_overlay",
    "figure_png",
    "geojson_text",
    "instance_map",
    "mask_geometry",
    "nuclei_dataframe",
    "nuclei_geodataframe",
    "nucleus_rows",
    "picture_html",
    "picture_png",
    "read_coco_results",
    "read_nuclei",
    "read_slide_coco",
    "read_slide_csv",
    "read_slide_geojson",
    "read_slide_labels",
    "read_slide_rois",
    "read_slide_spatialdata",
    "read_table_info",
    "side_by_side",
    "table_html",
    "write_coco_results",
    "write_dataset",
    "write_geojson",
    "write_instance_map",
    "write_tables",
]
