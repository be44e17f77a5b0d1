"""Masks as shapely geometry along pixel edges."""

from __future__ import annotations

import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.polygon import orient

from nucleate.core.masks import Masks
from nucleate.core.outlines import trace_outlines


def mask_geometry(masks: Masks, index: int) -> Polygon | MultiPolygon:
    """Return a mask as a valid geometry along pixel edges, holes kept; empty for a mask without pixels.

    Its area is the mask's number of pixels.
    """
    parts: list[Polygon] = []
    for outline in trace_outlines(masks, index):
        polygon = Polygon(outline.exterior_xy, list(outline.holes_xy))
        # A ring that meets itself at a corner is simple for QuPath only after it's cut into several.
        valid = polygon if polygon.is_valid else shapely.make_valid(polygon)
        parts += [piece for piece in shapely.get_parts(valid) if isinstance(piece, Polygon)]
    if len(parts) == 1:
        return orient(parts[0])
    return MultiPolygon([orient(part) for part in parts])
