"""Areas of the nuclei's convex hulls, in whole pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.measurement.strips import Strip, segment_sums


def convex_areas_px(strip: Strip) -> NDArray[np.float64]:
    """Return the (n,) number of pixels whose centre lies in a mask's convex hull or on its border; 0 without pixels.

    The hull is that of the middles of the pixels' sides, as scikit-image's `area_convex` has it: the hull of the
    pixels' centres, widened by a diamond of half a pixel. It's computed in whole numbers, so borders are exact.
    """
    pixels = strip.pixels.view(np.bool_)
    rows = np.flatnonzero(pixels.any(axis=1))
    if len(rows) == 0:
        return np.zeros(len(strip.indices))
    firsts = pixels[rows].argmax(axis=1)
    lasts = pixels.shape[1] - 1 - pixels[rows, ::-1].argmax(axis=1)
    points_xy = np.empty((len(rows), 2, 2), np.int32)
    points_xy[:, 0, 0], points_xy[:, 1, 0], points_xy[:, :, 1] = firsts, lasts, rows[:, None]
    counts = np.bincount(strip.row_owners()[rows], minlength=len(strip.indices))
    edges = _hull_edges(points_xy.reshape(-1, 2), 2 * counts[counts > 0])
    lows, highs = _extents(edges, len(pixels))
    spans = np.maximum(highs - lows + 1, 0).astype(np.float64)
    return segment_sums(spans, np.diff(strip.row_starts))


def _hull_edges(points_xy: NDArray[np.int32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (E, 4) edges x1, y1, x2, y2 of the convex hull of each run of points; one point is one edge."""
    stops = np.cumsum(counts)
    bounds = zip((stops - counts).tolist(), stops.tolist(), strict=True)
    hulls = [cv2.convexHull(points_xy[start:stop]) for start, stop in bounds]
    sizes = np.array([len(hull) for hull in hulls])
    corners = np.concatenate(hulls).reshape(-1, 2).astype(np.int64)
    following = np.arange(1, len(corners) + 1)
    following[np.cumsum(sizes) - 1] = np.cumsum(sizes) - sizes
    return np.concatenate([corners, corners[following]], axis=1)


def _extents(edges: NDArray[np.int64], rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and last column inside the widened hulls, for each row; the first is larger where none is."""
    far = np.iinfo(np.int64).max // 4
    lows, highs = np.full(rows, far), np.full(rows, -far)
    # A diamond's tip to the left or right of a corner adds no column, one above or below adds no row.
    np.minimum.at(lows, edges[:, 1], edges[:, 0])
    np.maximum.at(highs, edges[:, 1], edges[:, 0])
    # The tip that an edge is pushed out to: sideways for a steep one, up or down for a flat one, whichever is outside.
    # As a hull's edges don't say on which side they lie, both are tried: the inner one changes nothing.
    dx, dy = edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1]
    is_steep = np.abs(dy) >= np.abs(dx)
    for sign in (-1, 1):
        # In half pixels, the upper end first.
        tips = np.stack([np.where(is_steep, sign, 0), np.where(is_steep, 0, sign)], axis=1)
        ends = 2 * edges + np.tile(tips, 2)
        ends = np.where((dy < 0)[:, None], ends[:, [2, 3, 0, 1]], ends)[dy != 0]
        first_row, last_row = -(-ends[:, 1] // 2), ends[:, 3] // 2
        lengths = np.maximum(last_row - first_row + 1, 0)
        owners = np.repeat(np.arange(len(ends)), lengths)
        row = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths - first_row, lengths)
        x1, y1, x2, y2 = ends[owners].T
        run = y2 - y1
        # 2 x = (x1 run + (2 row - y1) (x2 - x1)) / run
        numerator = x1 * run + (2 * row - y1) * (x2 - x1)
        np.minimum.at(lows, row, -(-numerator // (2 * run)))
        np.maximum.at(highs, row, numerator // (2 * run))
    return lows, highs
