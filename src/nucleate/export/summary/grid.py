"""Nuclei counted in the cells of a grid over a slide, and which of its cells lie in an area."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from nucleate.core import Frame
from nucleate.errors import DataError
from nucleate.export.nuclei_table import read_nuclei
from nucleate.slides import RegionIndex


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CentroidGrid:
    """Nuclei counted by their centroids.

    Attributes:
        counts: (H, W) int64; cell (row, column) covers `cell_px` level-0 pixels a side from (column, row) * cell_px.
        cell_px: side of a cell in level-0 pixels.
    """

    counts: NDArray[np.int64]
    cell_px: float

    @property
    def shape(self) -> tuple[int, int]:
        """Return (H, W)."""
        height, width = self.counts.shape
        return height, width


def centroid_grid(
    path: Path, frame: Frame, *, cell_px: float, inside: RegionIndex | None = None, class_index: int | None = None
) -> CentroidGrid:
    """Count a table's nuclei on a grid; centroids beyond the frame count in its outermost cells.

    Args:
        path: the table.
        frame: level 0 of its slide.
        cell_px: side of a cell in level-0 pixels.
        inside: counts only nuclei in these regions.
        class_index: counts only this class.

    Raises:
        DataError: no table that `segment` wrote, or cells without a side.
    """
    if not cell_px > 0:
        raise DataError(f"cells of {cell_px} px: a positive number is needed")
    height, width = math.ceil(frame.height_px / cell_px), math.ceil(frame.width_px / cell_px)
    counts = np.zeros(height * width, np.int64)
    for nuclei in read_nuclei(path):
        centroids = nuclei.centroids_xy
        if class_index is not None:
            centroids = centroids[nuclei.class_indices == class_index]
        if inside is not None:
            centroids = centroids[inside.contains(centroids)]
        columns = np.clip(np.floor(centroids[:, 0] / cell_px).astype(np.int64), 0, width - 1)
        rows = np.clip(np.floor(centroids[:, 1] / cell_px).astype(np.int64), 0, height - 1)
        # A row group lies at few places: counting over the whole grid each time would cost more than reading.
        cells, times = np.unique(rows * width + columns, return_counts=True)
        counts[cells] += times
    return CentroidGrid(counts=counts.reshape(height, width), cell_px=cell_px)


def cells_inside(geometry: Polygon | MultiPolygon, shape: tuple[int, int], *, cell_px: float) -> NDArray[np.bool_]:
    """Return which cells have their centre in a valid geometry (by the even-odd rule over its rings).

    Args:
        geometry: level-0 pixels.
        shape: (H, W) of the grid.
        cell_px: side of a cell in level-0 pixels.

    Returns:
        (H, W); a centre on a border may fall to either side.
    """
    height, width = shape
    toggles = np.zeros(height * (width + 1), np.int64)
    parts = geometry.geoms if isinstance(geometry, MultiPolygon) else [geometry]
    for part in parts:
        for ring in (part.exterior, *part.interiors):
            # In units where the centre of cell (row, column) is at (column, row).
            corners = np.asarray(ring.coords)[:, :2] / cell_px - 0.5
            (x1, y1), (x2, y2) = corners[:-1].T, corners[1:].T
            first = np.clip(np.ceil(np.minimum(y1, y2)), 0, height).astype(np.int64)
            last = np.clip(np.ceil(np.maximum(y1, y2)), 0, height).astype(np.int64)
            crossed = last - first
            edges = np.repeat(np.arange(len(crossed)), crossed)
            rows = first[edges] + np.arange(len(edges)) - np.repeat(np.cumsum(crossed) - crossed, crossed)
            shares = (rows - y1[edges]) / (y2[edges] - y1[edges])
            crossings = x1[edges] + shares * (x2[edges] - x1[edges])
            columns = np.clip(np.ceil(crossings), 0, width).astype(np.int64)
            np.add.at(toggles, rows * (width + 1) + columns, 1)
    crossed_before = np.cumsum(toggles.reshape(height, width + 1), axis=1)[:, :width]
    return np.asarray(crossed_before % 2 == 1)
