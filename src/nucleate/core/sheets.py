"""Small masks looked at together: drawn one below the other, so that numpy is called once for many of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core.masks import Masks

# Masks that are drawn together; more pixels would leave the processor's caches.
MOST_SHEET_PX = 2**18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """Some masks below each other, with an empty row between them and an empty border around all.

    Attributes:
        indices: which masks, (n,) one after the other.
        pixels: (rows, columns) bool; the bitmap of mask i starts in column 1 and in row `tops[i] + 1`.
        tops: (n,) rising rows, the empty one above each mask.
    """

    indices: slice
    pixels: NDArray[np.bool_]
    tops: NDArray[np.int64]

    def owners(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the place on this sheet (0 to n - 1) of the mask that each row belongs to; `tops` rows do too."""
        return np.searchsorted(self.tops, rows, side="right") - 1


def mask_sheets(masks: Masks) -> Iterator[Sheet]:
    """Give all masks on sheets of up to `MOST_SHEET_PX` pixels; a larger mask has a sheet of its own."""
    windows = masks.windows_xyxy.astype(np.int64)
    sides = (windows[:, 2:] - windows[:, :2]).tolist()
    starts = masks.offsets.tolist()
    first = 0
    while first < len(sides):
        width_px, height_px, stop, tops = 0, 1, first, []
        while stop < len(sides):
            wider, higher = max(width_px, sides[stop][0]), height_px + sides[stop][1] + 1
            if stop > first and (wider + 2) * higher > MOST_SHEET_PX:
                break
            tops.append(height_px - 1)
            width_px, height_px, stop = wider, higher, stop + 1
        pixels = np.zeros((height_px, width_px + 2), np.bool_)
        for index, top in enumerate(tops, first):
            width, height = sides[index]
            bitmap = masks.bits[starts[index] : starts[index + 1]].reshape(height, width)
            pixels[top + 1 : top + 1 + height, 1 : 1 + width] = bitmap
        yield Sheet(indices=slice(first, stop), pixels=pixels, tops=np.array(tops, np.int64))
        first = stop
