"""Outlines drawn by pixel centres, many at once, so that an outline along pixel edges gives back its own pixels."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import Frame, Masks

# Their pixels are counted in eight bytes each.
AT_ONCE = 2048


def rasterise_outlines(outlines: NDArray[np.object_], frame: Frame, *, factor: float = 1.0) -> Masks:
    """Return the pixels whose centres lie inside each outline; a centre on an edge belongs to the right and lower side.

    Args:
        outlines: (N,) shapely polygons and multipolygons; holes are left free.
        frame: the pixels' grid; what lies outside is cut off.
        factor: pixels of the frame per unit of the outlines (0.5 draws at half size).
    """
    if len(outlines) > AT_ONCE:
        parts = [
            rasterise_outlines(outlines[start : start + AT_ONCE], frame, factor=factor)
            for start in range(0, len(outlines), AT_ONCE)
        ]
        return Masks(
            frame=frame,
            windows_xyxy=np.concatenate([part.windows_xyxy for part in parts]),
            bits=np.concatenate([part.bits for part in parts]),
        )
    boxes = np.nan_to_num(shapely.bounds(outlines).reshape(-1, 4)) * factor
    limits = np.array([frame.width_px, frame.height_px] * 2)
    windows = np.clip(np.ceil(boxes - 0.5), 0, limits).astype(np.int64)
    xs, ys, owners = _edges(outlines, factor)
    # Rows whose centres an edge passes, half-open, so that a shared corner counts once.
    low, high = np.minimum(*ys), np.maximum(*ys)
    first = np.maximum(np.ceil(low - 0.5).astype(np.int64), windows[owners, 1])
    stop = np.minimum(np.ceil(high - 0.5).astype(np.int64), windows[owners, 3])
    repeats = np.maximum(stop - first, 0)
    edges = np.repeat(np.arange(len(owners)), repeats)
    rows = np.arange(len(edges)) - np.repeat(np.cumsum(repeats) - repeats, repeats) + first[edges]
    slopes = np.divide(xs[1] - xs[0], ys[1] - ys[0], out=np.zeros(len(owners)), where=ys[0] != ys[1])
    crossings = xs[0][edges] + (rows + 0.5 - ys[0][edges]) * slopes[edges]
    owner = owners[edges]
    columns = np.clip(np.ceil(crossings - 0.5).astype(np.int64), windows[owner, 0], windows[owner, 2])
    # One column more than the window has: what crosses beyond its right side ends there.
    widths, heights = windows[:, 2] - windows[:, 0] + 1, windows[:, 3] - windows[:, 1]
    starts = np.concatenate([[0], np.cumsum(widths * heights)])
    places = starts[owner] + (rows - windows[owner, 1]) * widths[owner] + columns - windows[owner, 0]
    # A row is crossed an even number of times, so the parity starts each row, and each outline, at zero.
    inside = np.cumsum(np.bincount(places, minlength=int(starts[-1]))) % 2 == 1
    spare = np.zeros(int(starts[-1]), np.bool_)
    row_widths = np.repeat(widths, heights)
    spare[np.cumsum(row_widths) - 1] = True
    return Masks(frame=frame, windows_xyxy=windows.astype(np.int32), bits=inside[~spare])


def _edges(
    outlines: NDArray[np.object_], factor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the rings' edges: (2, E) x, (2, E) y of both ends, and (E,) the outline of each."""
    parts, part_owners = shapely.get_parts(outlines, return_index=True)
    rings, part_of = shapely.get_rings(parts, return_index=True)
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    points = points * factor
    same = ring_of[1:] == ring_of[:-1]
    ends = np.stack([points[:-1][same], points[1:][same]])
    return ends[:, :, 0], ends[:, :, 1], part_owners[part_of[ring_of[:-1][same]]].astype(np.int64)
