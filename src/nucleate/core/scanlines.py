"""Polygons as pixels: those whose centre lies inside, as horizontal runs; many polygons at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core.frame import Frame
from nucleate.core.masks import Masks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """K horizontal runs of pixels, sorted by polygon, row and column; a polygon without a pixel centre has none.

    Attributes:
        owners: (K,) int64, the polygon's index.
        rows: (K,) int64.
        starts: (K,) int64 first column.
        stops: (K,) int64 column after the last.
    """

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.owners)

    def clipped(self, left: int, top: int, right: int, bottom: int) -> Runs:
        """Return what lies in a window, half-open; coordinates stay the frame's."""
        kept = (self.rows >= top) & (self.rows < bottom) & (self.starts < right) & (self.stops > left)
        return Runs(
            owners=self.owners[kept],
            rows=self.rows[kept],
            starts=np.maximum(self.starts[kept], left),
            stops=np.minimum(self.stops[kept], right),
        )

    def pixels(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the (P,) owner, row and column of every pixel, run by run."""
        lengths = self.stops - self.starts
        first = np.cumsum(lengths) - lengths
        columns = np.arange(int(lengths.sum())) - np.repeat(first - self.starts, lengths)
        return np.repeat(self.owners, lengths), np.repeat(self.rows, lengths), columns


def polygon_runs(polygons: NDArray[np.object_]) -> Runs:
    """Return the pixels whose centre lies inside each polygon or multipolygon, by the even-odd rule.

    A centre on a left or upper edge belongs to the polygon, one on a right or lower edge does not, so that polygons
    that share an edge share no pixel. Rings may be invalid in other ways. Pixel (0, 0) covers [0, 1) x [0, 1).

    Args:
        polygons: (N,) shapely geometries.
    """
    parts, part_owners = shapely.get_parts(polygons, return_index=True)
    rings, ring_parts = shapely.get_rings(parts, return_index=True)
    corners, places = shapely.get_coordinates(rings, return_index=True)
    owners = part_owners[ring_parts[places]]
    edges = np.flatnonzero(places[:-1] == places[1:]) if len(places) else np.zeros(0, np.int64)
    (x1, y1), (x2, y2) = corners[edges].T, corners[edges + 1].T
    # Rows whose centre line lies in [upper, lower): a corner on a centre line counts once.
    first = np.ceil(np.minimum(y1, y2) - 0.5).astype(np.int64)
    counts = np.ceil(np.maximum(y1, y2) - 0.5).astype(np.int64) - first
    of_edge = np.repeat(np.arange(len(edges)), counts)
    starts = np.cumsum(counts) - counts
    rows = np.arange(len(of_edge)) - starts[of_edge] + first[of_edge]
    slopes = np.divide(x2 - x1, y2 - y1, out=np.zeros(len(edges)), where=y1 != y2)
    crossings = x1[of_edge] + (rows + 0.5 - y1[of_edge]) * slopes[of_edge]
    columns = np.ceil(crossings - 0.5).astype(np.int64)
    crossing_owners = owners[edges][of_edge].astype(np.int64)
    order = np.lexsort((columns, rows, crossing_owners))
    entering, leaving = order[0::2], order[1::2]
    inside = columns[entering] < columns[leaving]
    entering, leaving = entering[inside], leaving[inside]
    return Runs(owners=crossing_owners[entering], rows=rows[entering], starts=columns[entering], stops=columns[leaving])


def masks_from_polygons(polygons: NDArray[np.object_], frame: Frame) -> Masks:
    """Return one mask a polygon (see `polygon_runs`), cut at the frame; without pixels where it lies outside."""
    runs = polygon_runs(polygons).clipped(0, 0, frame.width_px, frame.height_px)
    windows = np.zeros((len(polygons), 4), np.int64)
    heads = np.flatnonzero(np.diff(runs.owners, prepend=-1))
    if len(heads):
        lows = [np.minimum.reduceat(values, heads) for values in (runs.starts, runs.rows)]
        highs = [np.maximum.reduceat(values, heads) for values in (runs.stops, runs.rows + 1)]
        windows[runs.owners[heads]] = np.stack([*lows, *highs], axis=1)
    widths = windows[:, 2] - windows[:, 0]
    areas = widths * (windows[:, 3] - windows[:, 1])
    offsets = np.cumsum(areas) - areas
    bits = np.zeros(int(areas.sum()), np.bool_)
    owners, rows, columns = runs.pixels()
    bits[offsets[owners] + (rows - windows[owners, 1]) * widths[owners] + columns - windows[owners, 0]] = True
    return Masks(frame=frame, windows_xyxy=windows.astype(np.int32), bits=bits)
