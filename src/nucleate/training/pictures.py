"""What the network is fed, as a picture: `pictures/augmented.png`."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Instances
from nucleate.export import OverlayStyle, draw_overlay


def contact_sheet(
    images_rgb: Sequence[NDArray[np.uint8]], instances: Sequence[Instances], *, columns: int = 4, side_px: int = 320
) -> NDArray[np.uint8]:
    """Return images with their nuclei outlined, in rows; each fitted into a square of `side_px`."""
    tiles = []
    for image_rgb, nuclei in zip(images_rgb, instances, strict=True):
        drawn = draw_overlay(image_rgb, nuclei, ("nucleus",), style=OverlayStyle(most_labels=0))
        factor = side_px / max(drawn.shape[:2])
        size_wh = (max(1, round(drawn.shape[1] * factor)), max(1, round(drawn.shape[0] * factor)))
        small = cv2.resize(drawn, size_wh, interpolation=cv2.INTER_AREA)
        tile = np.full((side_px + 4, side_px + 4, 3), 255, np.uint8)
        tile[2 : 2 + size_wh[1], 2 : 2 + size_wh[0]] = small
        tiles.append(tile)
    blank = np.full((side_px + 4, side_px + 4, 3), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)
