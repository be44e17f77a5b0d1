"""Slides of any size, drawn: round pieces of H&E-like tissue with nuclei on glass, as a tiled pyramid.

Pixels repeat (16 tiles of tissue), so that a slide of 100,000 pixels a side is written in a minute; its compressed
tiles are real JPEG, so that reading it costs what reading a slide costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from tests.synthetic import draw_he

TILE_PX = 512
NUCLEI_A_TILE = 55
MPP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyramid:
    """What is drawn.

    Attributes:
        side_px: of level 0, a multiple of 4096.
        tissue_share: of the slide's area, 0 to 1.
        seed: of the tissue's texture.
    """

    side_px: int
    tissue_share: float
    seed: int = 0

    @property
    def tissue_mm2(self) -> float:
        """Return the drawn tissue's area."""
        return float(self.has_tissue(TILE_PX).mean()) * (self.side_px * MPP / 1000) ** 2

    def has_tissue(self, tile_px: int) -> NDArray[np.bool_]:
        """Return (rows, columns) of square tiles of level 0: those of a disc in the middle."""
        count = self.side_px // tile_px
        centres = (np.arange(count) + 0.5) / count - 0.5
        distance = np.hypot(centres[:, None], centres[None, :])
        return np.asarray(distance <= np.sqrt(self.tissue_share / np.pi))


def write_pyramid(path: Path, pyramid: Pyramid) -> Path:
    """Write a slide as a pyramid with levels down to about 2,000 pixels, each a quarter of the one before."""
    tissue = [
        draw_he(
            seed=pyramid.seed + n, height_px=TILE_PX, width_px=TILE_PX, nuclei=NUCLEI_A_TILE, diameter_px=(16, 26)
        ).image_rgb
        for n in range(16)
    ]
    glass = np.full((TILE_PX, TILE_PX, 3), 243, np.uint8)
    options: dict[str, Any] = {
        "tile": (TILE_PX, TILE_PX),
        "photometric": "ycbcr",
        "compression": "jpeg",
        "metadata": None,
    }
    resolution: dict[str, Any] = {"resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        factor = 1
        while factor == 1 or pyramid.side_px // factor >= 1024:
            side_px = pyramid.side_px // factor
            tiff.write(
                _tiles(pyramid, factor, tissue, glass),
                shape=(side_px, side_px, 3),
                dtype=np.uint8,
                subfiletype=0 if factor == 1 else 1,
                **options,
                **resolution,
            )
            factor *= 4
    return path


def _tiles(pyramid: Pyramid, factor: int, tissue: list[NDArray[np.uint8]], glass: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield the compressed tiles of a level, row by row."""
    cell_px = TILE_PX // min(factor, 64)
    coded: dict[bytes, bytes] = {}
    cells = pyramid.has_tissue(TILE_PX)
    small = [cv2.resize(tile, (cell_px, cell_px), interpolation=cv2.INTER_AREA) for tile in tissue]
    small_glass = glass[:cell_px, :cell_px]
    across = TILE_PX // cell_px
    count = -(-pyramid.side_px // factor // TILE_PX)
    for row in range(count):
        for column in range(count):
            tops = range(row * across, (row + 1) * across)
            lefts = range(column * across, (column + 1) * across)
            kinds = [[_kind(cells, y, x) for x in lefts] for y in tops]
            key = repr(kinds).encode()
            if key not in coded:
                rows = [np.hstack([small_glass if kind < 0 else small[kind] for kind in line]) for line in kinds]
                coded[key] = _jpeg(np.vstack(rows))
                if len(coded) > 256:
                    coded.pop(next(iter(coded)))
            yield coded.get(key) or _jpeg(glass)


def _kind(cells: NDArray[np.bool_], row: int, column: int) -> int:
    inside = row < len(cells) and column < len(cells) and cells[row, column]
    return (7 * row + 3 * column) % 16 if inside else -1


def _jpeg(tile_rgb: NDArray[np.uint8]) -> bytes:
    done, content = cv2.imencode(".jpg", cv2.cvtColor(tile_rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return content.tobytes()
