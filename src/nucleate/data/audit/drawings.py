"""Small pictures of a data set's images: outlines for the contact sheet, thumbnails for images that look alike."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nucleate.core import trace_all_outlines
from nucleate.data.audit.findings import AuditedImage
from nucleate.data.audit.statistics import group_name
from nucleate.errors import DataError
from nucleate.files import read_rgb
from nucleate.pages import Picture, jpeg_picture
from nucleate.pages.colours import YELLOW, rgb_of

SHEET_PX, THUMBNAIL_PX = 360, 200
# Of a larger image the middle is shown: nuclei would be dots.
CROP_PX = 1024
# A sheet of more would be no overview, and many MB.
MOST_IN_SHEET = 60
JPEG_QUALITY = 82
# Outlines are drawn at twice the size and shrunk with the picture, which smooths them.
_DRAWN_PX = 2 * SHEET_PX
_SUBPIXEL_BITS = 4


def contact_sheet(images: Sequence[AuditedImage]) -> list[Picture]:
    """Return an image of each organ (else of each source) with its nuclei outlined.

    Of an organ that image is shown whose number of nuclei is the median, of several the first.
    """
    by_organ = any(image.organ is not None for image in images)
    groups: dict[str, list[AuditedImage]] = {}
    for image in images:
        groups.setdefault(group_name(image, by_organ=by_organ), []).append(image)
    pictures = []
    for name in sorted(groups)[:MOST_IN_SHEET]:
        median = np.median([len(image.nuclei) for image in groups[name]])
        chosen = min(groups[name], key=lambda image: abs(len(image.nuclei) - median))
        pixels = _read(chosen)
        if pixels is not None:
            cropped = ", its middle" if max(pixels.shape[:2]) > CROP_PX else ""
            pictures.append(
                jpeg_picture(
                    _jpeg(_outlined(chosen, pixels), SHEET_PX),
                    f"{chosen.file_name} with outlines",
                    f"{name}: {chosen.file_name}, {len(chosen.nuclei)} nuclei{cropped}",
                )
            )
    return pictures


def thumbnail(image: AuditedImage) -> Picture | None:
    """Return a small picture of an image, None where it can't be read any more."""
    pixels = _read(image)
    if pixels is None:
        return None
    return jpeg_picture(_jpeg(pixels, THUMBNAIL_PX), image.file_name, image.where)


def _middle(pixels: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return the window in the middle of an image that is shown, x1, y1, x2, y2."""
    height_px, width_px = pixels.shape[:2]
    left, top = max(0, (width_px - CROP_PX) // 2), max(0, (height_px - CROP_PX) // 2)
    return left, top, min(width_px, left + CROP_PX), min(height_px, top + CROP_PX)


def _outlined(image: AuditedImage, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    left, top, right, bottom = _middle(pixels)
    width_px, height_px = right - left, bottom - top
    scale = min(1.0, _DRAWN_PX / max(height_px, width_px))
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    canvas = np.asarray(cv2.resize(pixels[top:bottom, left:right], size, interpolation=cv2.INTER_AREA), np.uint8)
    x1, y1, x2, y2 = image.nuclei.windows_xyxy.T
    inside = (x1 < right) & (x2 > left) & (y1 < bottom) & (y2 > top)
    masks = image.decode(np.flatnonzero(inside).tolist())
    rings = [
        np.rint((ring - (left, top)) * (scale * 2**_SUBPIXEL_BITS)).astype(np.int32)
        for outlines in trace_all_outlines(masks)
        for outline in outlines
        for ring in (outline.exterior_xy, *outline.holes_xy)
    ]
    # A dark rim under the bright line, so that it is seen on pale and on dark tissue.
    for colour, width in (((0, 0, 0), 5), (rgb_of(YELLOW), 2)):
        cv2.polylines(canvas, rings, True, colour, width, cv2.LINE_AA, _SUBPIXEL_BITS)  # noqa: FBT003
    return canvas


def _read(image: AuditedImage) -> NDArray[np.uint8] | None:
    try:
        return read_rgb(image.path)
    except DataError:
        return None


def _jpeg(pixels: NDArray[np.uint8], longer_side_px: int) -> bytes:
    picture = Image.fromarray(pixels)
    picture.thumbnail((longer_side_px, longer_side_px), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return content.getvalue()
