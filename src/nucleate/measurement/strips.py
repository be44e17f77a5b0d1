"""Masks of like width laid under one another, so that one pass of numpy or OpenCV serves them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Masks

Scalar = TypeVar("Scalar", bound=np.generic)

# Widths up to this share a strip; above it each doubling gets its own, so a large nucleus widens no small one's rows.
NARROW_PX = 32
# Bounds the memory, and keeps the passes over a strip in the processor's cache.
STRIP_PX = 1 << 18
# OpenCV does what is left of a row after whole vectors pixel by pixel, which made a dilation three times as slow.
VECTOR_PX = 16
# Windows that are emptier than this are cropped first.
LOOSE = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strip:
    """n masks, one below the other, each in a cell of its own rows with empty pixels around.

    Attributes:
        pixels: (R, W) uint8, 1 where a mask is set.
        indices: (n,) int64, the masks' places in their collection.
        row_starts: (n + 1,) int64, each cell's first row; the last is R.
        origins_xy: (n, 2) int64, the frame's pixel at each cell's upper left corner; may lie outside of the frame.
        widths_px: (n,) int64, each window's width and its padding.
        padding_px: empty pixels around each window.
    """

    pixels: NDArray[np.uint8]
    indices: NDArray[np.int64]
    row_starts: NDArray[np.int64]
    origins_xy: NDArray[np.int64]
    widths_px: NDArray[np.int64]
    padding_px: int

    def row_owners(self) -> NDArray[np.int64]:
        """Return the (R,) cell of each row, 0 to n - 1."""
        return np.repeat(np.arange(len(self.indices)), np.diff(self.row_starts))

    def cut_out(self, picture: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return a picture's pixels in the cells, (R, W), 0 right of a cell's window and its padding.

        Args:
            picture: (H + 2 padding_px, W + 2 padding_px), the frame with a margin as wide as the strip's padding.
        """
        cells = np.zeros(self.pixels.shape, picture.dtype)
        tops, lefts = self.row_starts.tolist(), (self.origins_xy + self.padding_px).tolist()
        for top, bottom, (x, y), width in zip(tops, tops[1:], lefts, self.widths_px.tolist(), strict=False):
            cells[top:bottom, :width] = picture[y : y + bottom - top, x : x + width]
        return cells


def lay_in_strips(masks: Masks, *, padding_px: int) -> Iterator[Strip]:
    """Yield strips that hold every mask once, those without pixels included.

    Args:
        masks: N masks; none gives no strip.
        padding_px: empty pixels on each side of each window.
    """
    if len(masks.bits) > LOOSE * int(np.count_nonzero(masks.bits)):
        masks = masks.cropped()
    windows = masks.windows_xyxy.astype(np.int64)
    widths, heights = (windows[:, 2:] - windows[:, :2]).T
    classes = np.ceil(np.log2(np.maximum(widths, NARROW_PX))).astype(np.int64)
    for width_class in np.unique(classes).tolist():
        members = np.flatnonzero(classes == width_class)
        width_px = -(-(int(widths[members].max()) + 2 * padding_px) // VECTOR_PX) * VECTOR_PX
        filled = np.cumsum((heights[members] + 2 * padding_px) * width_px)
        for group in np.split(members, np.flatnonzero(np.diff(filled // STRIP_PX)) + 1):
            yield _strip(masks, group, width_px, padding_px)


def _strip(masks: Masks, indices: NDArray[np.int64], width_px: int, padding_px: int) -> Strip:
    windows = masks.windows_xyxy[indices].astype(np.int64)
    sizes_wh = windows[:, 2:] - windows[:, :2]
    row_starts = np.concatenate([[0], np.cumsum(sizes_wh[:, 1] + 2 * padding_px)])
    pixels = np.zeros((int(row_starts[-1]), width_px), np.uint8)
    tops = (row_starts[:-1] + padding_px).tolist()
    bits = masks.bits.view(np.uint8)
    # Copying a block costs less than the index of each of its pixels.
    for top, (width, height), start in zip(tops, sizes_wh.tolist(), masks.offsets[indices].tolist(), strict=True):
        block = bits[start : start + width * height].reshape(height, width)
        pixels[top : top + height, padding_px : padding_px + width] = block
    return Strip(
        pixels=pixels,
        indices=indices,
        row_starts=row_starts,
        origins_xy=windows[:, :2] - padding_px,
        widths_px=sizes_wh[:, 0] + 2 * padding_px,
        padding_px=padding_px,
    )


def segment_sums(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums of consecutive runs of values along the first axis; a run of none sums to 0.

    Args:
        values: (M, ...) numbers.
        counts: (n,) length of each run, together M.
    """
    sums = np.zeros((len(counts), *values.shape[1:]), np.float64)
    filled = counts > 0
    if filled.any():
        starts = (np.cumsum(counts) - counts)[filled]
        sums[filled] = np.add.reduceat(values, starts, axis=0)
    return sums
