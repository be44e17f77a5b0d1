"""Slides that tests write: pyramids in TIFF, and damage done to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from tests.synthetic import draw_he

TILE_PX = 64


def draw_slide(width_px: int = 400, height_px: int = 300) -> NDArray[np.uint8]:
    """Draw H&E of a size that no tile divides."""
    return draw_he(height_px=height_px, width_px=width_px, nuclei=60, diameter_px=(14.0, 24.0)).image_rgb


def halved(image_rgb: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return an image by area at 1/factor of its sides, cut to whole pixels."""
    height, width = (side // factor * factor for side in image_rgb.shape[:2])
    size = (width // factor, height // factor)
    return np.asarray(cv2.resize(image_rgb[:height, :width], size, interpolation=cv2.INTER_AREA), np.uint8)


def write_pyramid(path: Path, image_rgb: NDArray[np.uint8], *, levels: int = 3, **options: Any) -> Path:
    """Write a tiled TIFF whose levels halve; OpenSlide and tifffile read it."""
    options = {"compression": "zlib", "resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER", **options}
    with tifffile.TiffWriter(path) as file:
        for level in range(levels):
            file.write(
                halved(image_rgb, 2**level) if level else image_rgb,
                tile=(TILE_PX, TILE_PX),
                photometric="rgb",
                subfiletype=int(level > 0),
                metadata=None,
                **options,
            )
    return path


def write_ome_pyramid(path: Path, image_rgb: NDArray[np.uint8], *, levels: int = 2) -> Path:
    """Write an OME-TIFF whose coarser levels are SubIFDs."""
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25}
    options: dict[str, Any] = {"tile": (TILE_PX, TILE_PX), "photometric": "rgb", "compression": "zlib"}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(image_rgb, subifds=levels - 1, metadata=metadata, **options)
        for level in range(1, levels):
            file.write(halved(image_rgb, 2**level), subfiletype=1, **options)
    return path


def spoil_tile(path: Path, index: int) -> None:
    """Overwrite the bytes of one tile of level 0."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, count = page.dataoffsets[index], page.databytecounts[index]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * count)
