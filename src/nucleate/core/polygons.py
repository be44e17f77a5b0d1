"""Which pixels lie inside a polygon: those whose centre does, whatever way the outline winds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core.frame import Frame
from nucleate.errors import DataError

# Rows that an outline crosses, over all its edges: a nucleus crosses some hundred.
MOST_CROSSINGS = 2**22
# Cells that are filled at once; larger windows go by strips of rows.
STRIP_CELLS = 2**22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FilledRing:
    """The pixels of one closed outline.

    Attributes:
        window_xyxy: half-open, inside the frame.
        bitmap: (h, w) of the window.
    """

    window_xyxy: tuple[int, int, int, int]
    bitmap: NDArray[np.bool_]


def ring_window(ring_xy: NDArray[np.floating], frame: Frame) -> tuple[int, int, int, int]:
    """Return the smallest window of the frame that holds all of a ring's pixels, half-open; it may be empty."""
    corner = (frame.width_px, frame.height_px)
    x1, y1 = np.floor(np.clip(ring_xy.min(axis=0), 0, corner)).astype(int).tolist()
    x2, y2 = np.ceil(np.clip(ring_xy.max(axis=0), 0, corner)).astype(int).tolist()
    return x1, y1, x2, y2


def fill_ring(ring_xy: NDArray[np.floating], frame: Frame) -> FilledRing:
    """Return the pixels whose centre lies inside a ring; left and upper edges belong to it.

    Inside is what the ring winds around (the non-zero rule): where it crosses or overlaps itself no hole appears.
    What lies outside of the frame is cut off.

    Args:
        ring_xy: (K, 2) finite corners, pixel (0, 0) covers [0, 1); the last may repeat the first.
        frame: the image.

    Raises:
        DataError: an outline so long that it can't be a nucleus'.
    """
    x1, y1, x2, y2 = ring_window(ring_xy, frame)
    bitmap = np.zeros((y2 - y1, x2 - x1), np.bool_)
    if bitmap.size == 0:
        return FilledRing(window_xyxy=(x1, y1, x2, y2), bitmap=bitmap)
    start_xy, end_xy = ring_xy.astype(np.float64), np.roll(ring_xy, -1, axis=0).astype(np.float64)
    strip_px = max(1, STRIP_CELLS // (x2 - x1 + 1))
    for top in range(y1, y2, strip_px):
        bottom = min(top + strip_px, y2)
        bitmap[top - y1 : bottom - y1] = _wound(start_xy, end_xy, (x1, top, x2, bottom))
    return FilledRing(window_xyxy=(x1, y1, x2, y2), bitmap=bitmap)


def _wound(
    start_xy: NDArray[np.float64], end_xy: NDArray[np.float64], window_xyxy: tuple[int, int, int, int]
) -> NDArray[np.bool_]:
    x1, y1, x2, y2 = window_xyxy
    low, high = np.minimum(start_xy[:, 1], end_xy[:, 1]), np.maximum(start_xy[:, 1], end_xy[:, 1])
    # Rows whose centre line lies in [low, high): a corner on a centre line counts once.
    first = np.ceil(np.clip(low - 0.5, y1, y2)).astype(np.int64)
    counts = np.ceil(np.clip(high - 0.5, y1, y2)).astype(np.int64) - first
    total = int(counts.sum())
    if total > MOST_CROSSINGS:
        raise DataError(f"an outline crosses {total} rows of pixels, more than {MOST_CROSSINGS}: no nucleus does")
    edges = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
    along = (rows + 0.5 - start_xy[edges, 1]) / (end_xy[edges, 1] - start_xy[edges, 1])
    crossings = start_xy[edges, 0] + along * (end_xy[edges, 0] - start_xy[edges, 0])
    columns = np.ceil(np.clip(crossings - 0.5, x1, x2)).astype(np.int64) - x1
    turns = np.where(end_xy[edges, 1] > start_xy[edges, 1], 1, -1)
    width = x2 - x1 + 1
    grid = np.zeros((y2 - y1) * width, np.int32)
    np.add.at(grid, (rows - y1) * width + columns, turns)
    return np.asarray(np.cumsum(grid.reshape(-1, width), axis=1)[:, :-1] != 0)
