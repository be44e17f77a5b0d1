"""COCO's polygons that leave the image or cross themselves: taken as pycocotools draws them, counted and named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import Frame, Rle
from nucleate.data.coco_file import CocoAnnotation
from nucleate.data.sources.source import Mended

CROSSING = "self-crossing polygon, drawn as pycocotools draws it"
CUT = "polygon cut at the image's border"


def crosses_itself(ring: NDArray[np.floating]) -> bool:
    """Return whether a ring of (K, 2) corners crosses itself.

    One that only touches itself, as around a pixel that hangs on by its corner, needs no repair.
    """
    polygon = shapely.Polygon(ring)
    return not polygon.is_valid and shapely.is_valid_reason(polygon).startswith("Self-intersection")


def outline_faults(entries: Sequence[CocoAnnotation], frame: Frame, key: str) -> list[Mended]:
    """Return the polygons of an image that are not taken as they are.

    Args:
        entries: of one image.
        frame: the image.
        key: the image's name, which precedes each item.
    """
    found = []
    for entry in entries:
        if isinstance(entry.segmentation, Rle):
            continue
        item = f"{key}: annotation {entry.annotation_id}"
        corners = np.concatenate(entry.segmentation)
        # Corners may stand for pixels' centres or edges: up to the frame's edge they are inside.
        if corners.min() < 0 or (corners > (frame.width_px, frame.height_px)).any():
            found.append(Mended(reason=CUT, item=item))
        if any(map(crosses_itself, entry.segmentation)):
            found.append(Mended(reason=CROSSING, item=item))
    return found
