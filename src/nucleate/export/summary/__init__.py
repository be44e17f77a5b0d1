"""A slide's nuclei in a page: summary, density picture, tables of regions, hot spots."""

from __future__ import annotations

from nucleate.export.summary.distributions import MOST_RELATIVE_ERROR, Distribution, DistributionSketch
from nucleate.export.summary.grid import CentroidGrid, cells_inside, centroid_grid
from nucleate.export.summary.hot_spots import HotSpot, HotSpotSettings, HotSpotShape, find_hot_spots
from nucleate.export.summary.overview import (
    DENSITY_NAME,
    TABLE_NAME,
    THUMBNAIL_NAME,
    TISSUE_NAME,
    SlideOverview,
    read_overview,
    tissue_looked_at,
    write_density_picture,
    write_overview,
)
from nucleate.export.summary.picture import DensityStyle, Overlays, density_picture
from nucleate.export.summary.region_files import (
    HOT_SPOTS_NAME,
    REGIONS_CSV_NAME,
    REGIONS_JSON_NAME,
    REGIONS_PICTURE_NAME,
    RegionResults,
    write_annotations,
    write_hot_spots,
    write_regions_csv,
    write_regions_json,
)
from nucleate.export.summary.regions import OUTSIDE_NAME, RegionRow, region_table
from nucleate.export.summary.slide import (
    SUMMARY_NAME,
    ClassCount,
    ModelFacts,
    RunFacts,
    SlideSummary,
    StageTime,
    area_in_mm2,
    read_summary,
    summarise_table,
    write_summary,
)

__all__ = [
    "area_in_mm2",
    "tissue_looked_at",
    "DENSITY_NAME",
    "HOT_SPOTS_NAME",
    "MOST_RELATIVE_ERROR",
    "OUTSIDE_NAME",
    "REGIONS_CSV_NAME",
    "REGIONS_JSON_NAME",
    "REGIONS_PICTURE_NAME",
    "SUMMARY_NAME",
    "TABLE_NAME",
    "THUMBNAIL_NAME",
    "TISSUE_NAME",
    "CentroidGrid",
    "ClassCount",
    "DensityStyle",
    "Distribution",
    "DistributionSketch",
    "HotSpot",
    "HotSpotSettings",
    "HotSpotShape",
    "ModelFacts",
    "Overlays",
    "RegionResults",
    "RegionRow",
    "RunFacts",
    "SlideOverview",
    "SlideSummary",
    "StageTime",
    "cells_inside",
    "centroid_grid",
    "density_picture",
    "find_hot_spots",
    "read_overview",
    "read_summary",
    "region_table",
    "summarise_table",
    "write_annotations",
    "write_density_picture",
    "write_hot_spots",
    "write_overview",
    "write_regions_csv",
    "write_regions_json",
    "write_summary",
]
