"""A picture of what was taken for tissue: its outline over the slide's thumbnail."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nucleate.slides.tissue import Tissue

# Green on pink and violet, orange on the colours of pens.
_TISSUE_RGB = (0, 140, 60)
_INK_RGB = (255, 140, 0)


def tissue_picture(tissue: Tissue, *, most_side_px: int = 2048) -> bytes:
    """Return a PNG: the tissue's outline in green, ink's in orange, and what was left out paler than it is.

    Args:
        tissue: what was found.
        most_side_px: of the picture; larger thumbnails are made smaller.
    """
    height_px, width_px = tissue.mask.shape
    factor = min(1.0, most_side_px / max(height_px, width_px))
    size_wh = (max(1, round(width_px * factor)), max(1, round(height_px * factor)))
    shown = np.asarray(cv2.resize(tissue.thumbnail_rgb, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    taken, ink = _resized(tissue.mask, size_wh), _resized(tissue.ink, size_wh)
    pale = (shown.astype(np.uint16) + 255) // 2
    picture = np.where(taken[:, :, None], shown, pale.astype(np.uint8))
    thickness_px = max(1, round(max(size_wh) / 700))
    for mask, colour in ((ink, _INK_RGB), (taken, _TISSUE_RGB)):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour, thickness_px)
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def _resized(mask: NDArray[np.bool_], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) > 0)
