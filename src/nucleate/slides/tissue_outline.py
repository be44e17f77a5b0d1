"""Tissue as a region: its outline along the thumbnail's pixels, in level-0 pixels."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry import Polygon

from nucleate.core import masks_from_label_map, trace_outlines
from nucleate.slides.regions import Region, dissolved, polygons_of
from nucleate.slides.tissue import Tissue

TISSUE_CLASS = "Tissue"


def tissue_region(tissue: Tissue) -> Region | None:
    """Return the tissue as a region, holes kept; None for a slide without.

    Its area is the mask's, in level-0 pixels.
    """
    if not tissue.mask.any():
        return None
    masks, _ = masks_from_label_map(tissue.mask.astype(np.int32))
    scale_xy = np.array(tissue.downsample_xy)
    parts = []
    for outline in trace_outlines(masks, 0):
        polygon = Polygon(outline.exterior_xy * scale_xy, [hole * scale_xy for hole in outline.holes_xy])
        # Rings that meet themselves at a corner are cut there.
        parts.append(polygon if polygon.is_valid else polygons_of(shapely.make_valid(polygon)))
    return Region(name="tissue", geometry=dissolved(parts), classification=TISSUE_CLASS)
