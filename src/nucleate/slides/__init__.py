"""Whole slides: opened whatever their format, read at any scale; the tissue on them."""

from __future__ import annotations

from nucleate.slides.formats import MOST_IMAGE_SIDE_PX, is_slide
from nucleate.slides.info import MppOrigin, SlideInfo, SlideLevel, Window
from nucleate.slides.reader import SlideReader, SlideSettings, open_slide
from nucleate.slides.region_file import RegionFile, RegionLimits, read_region_file, read_regions
from nucleate.slides.regions import Region, RegionIndex, RegionMembers, regions_cover
from nucleate.slides.sampling import sample_windows
from nucleate.slides.stained import TissueSettings
from nucleate.slides.tissue import Tissue, find_tissue
from nucleate.slides.tissue_outline import TISSUE_CLASS, tissue_region
from nucleate.slides.tissue_picture import tissue_picture

__all__ = [
    "MOST_IMAGE_SIDE_PX",
    "MppOrigin",
    "Region",
    "RegionFile",
    "RegionIndex",
    "RegionLimits",
    "RegionMembers",
    "SlideInfo",
    "SlideLevel",
    "SlideReader",
    "SlideSettings",
    "TISSUE_CLASS",
    "Tissue",
    "TissueSettings",
    "Window",
    "find_tissue",
    "is_slide",
    "open_slide",
    "sample_windows",
    "read_region_file",
    "read_regions",
    "regions_cover",
    "tissue_picture",
    "tissue_region",
]
