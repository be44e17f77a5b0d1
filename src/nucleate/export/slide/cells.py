"""Cells grown from nuclei: each pixel within reach belongs to the nearest nucleus, so that cells never overlap.

Distances run between pixels' centres. A nucleus' distances depend on its own pixels alone and ties go to the higher
score, then the lower number, so a cell is the same however the slide is cut into blocks.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, NucleiColumns
from nucleate.core.geometry import mask_geometry
from nucleate.errors import ConfigError, ResultsError
from nucleate.export.nuclei_table import NucleiTableWriter, read_nuclei
from nucleate.export.slide.rasterising import rasterise_outlines
from nucleate.export.slide.reading import centroids_xy, wkb
from nucleate.export.slide.slide_table import SlideTable

MOST_UM = 50.0
_BLOCK_PX = 2048


@contextmanager
def with_cells(table: SlideTable, *, expand_um: float, beside: Path) -> Iterator[SlideTable]:
    """Give the table with cells, which stand in a temporary file until the block ends.

    Args:
        table: the nuclei.
        expand_um: how far cells reach beyond their nuclei, above 0 up to `MOST_UM`.
        beside: the folder for the temporary file, which is about as large as the table.

    Raises:
        ConfigError: an impossible distance, or nobody knows the slide's um/px.
        ResultsError: the folder can't be written.
    """
    if not 0 < expand_um <= MOST_UM:
        raise ConfigError(f"--expand-um {expand_um:g}: above 0 and at most {MOST_UM:g}")
    if table.info.frame.mpp is None:
        raise ConfigError("nobody knows this slide's um/px, which --expand-um needs: segment it with --mpp")
    radius_px = expand_um / table.info.frame.mpp
    try:
        beside.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".cells-", dir=beside)
    except OSError as error:
        raise ResultsError(f"can't be written: {error.strerror or error}", path=beside) from error
    with folder:
        path = Path(folder.name) / "cells.parquet"
        with NucleiTableWriter(path, replace(table.info, measurement_names=())) as cells:
            for nuclei in filter(len, read_nuclei(table.path)):
                cells.write(_cells_of(nuclei, table, radius_px))
        yield replace(table, cells_path=path)


def grow_cells(
    nuclei: NucleiColumns, neighbours: NucleiColumns, *, radius_px: float, frame: Frame
) -> NDArray[np.object_]:
    """Return each nucleus' cell along pixel edges; a nucleus without a pixel of its own keeps its outline.

    Args:
        nuclei: N of the slide.
        neighbours: all nuclei that reach within twice the radius of them, themselves among them.
        radius_px: how far a cell reaches from its nucleus.
        frame: the slide, which cells don't leave.

    Returns:
        (N,) shapely polygons and multipolygons; a cell may fall into parts where a neighbour cuts it.
    """
    grown = nuclei.outlines()
    middles = (nuclei.boxes_xyxy[:, :2] + nuclei.boxes_xyxy[:, 2:]) / 2
    _, block_of = np.unique(middles // _BLOCK_PX, axis=0, return_inverse=True)
    block_of = block_of.reshape(-1)
    for block in range(int(block_of.max(initial=-1)) + 1):
        rows = np.flatnonzero(block_of == block)
        for row, cell in zip(rows, _block(nuclei.select(rows), neighbours, radius_px, frame), strict=True):
            if not shapely.is_empty(cell):
                grown[row] = cell
    return grown


def _cells_of(nuclei: NucleiColumns, table: SlideTable, radius_px: float) -> NucleiColumns:
    x1, y1 = nuclei.boxes_xyxy[:, :2].min(axis=0).tolist()
    x2, y2 = nuclei.boxes_xyxy[:, 2:].max(axis=0).tolist()
    reach = 2 * radius_px + 2
    neighbours = NucleiColumns.concatenate(
        list(read_nuclei(table.path, window_xyxy=(x1 - reach, y1 - reach, x2 + reach, y2 + reach)))
    )
    cells = grow_cells(nuclei, neighbours, radius_px=radius_px, frame=table.info.frame)
    return NucleiColumns(
        numbers=nuclei.numbers,
        outlines_wkb=wkb(cells),
        boxes_xyxy=shapely.bounds(cells).reshape(-1, 4),
        centroids_xy=centroids_xy(cells),
        areas_px=np.rint(shapely.area(cells)).astype(np.int64),
        class_indices=nuclei.class_indices,
        scores=nuclei.scores,
        measurement_names=(),
        measurements=np.zeros((len(nuclei), 0)),
    )


def _block(
    nuclei: NucleiColumns, neighbours: NucleiColumns, radius_px: float, frame: Frame
) -> Iterator[shapely.Geometry]:
    """Yield the cells of nuclei near each other, in order."""
    reach = math.ceil(radius_px) + 1
    left, top = np.maximum(np.floor(nuclei.boxes_xyxy[:, :2].min(axis=0)).astype(int) - reach, 0)
    right, bottom = np.minimum(
        np.ceil(nuclei.boxes_xyxy[:, 2:].max(axis=0)).astype(int) + reach, (frame.width_px, frame.height_px)
    )
    boxes = neighbours.boxes_xyxy + (-reach, -reach, reach, reach)
    near = (boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < bottom) & (boxes[:, 3] > top)
    rivals = neighbours.select(near)
    # At equal distance the first keeps the pixel, as in label images.
    rivals = rivals.select(np.lexsort((rivals.numbers, -rivals.scores)))
    masks = rasterise_outlines(rivals.outlines(), frame)
    nearest = np.full((max(bottom - top, 0), max(right - left, 0)), np.iinfo(np.int32).max, np.int32)
    owner = np.zeros(nearest.shape, np.int64)
    windows = np.zeros((len(rivals), 4), np.int64)
    edges = np.array([left, top, right, bottom])
    for index, number in enumerate(rivals.numbers.tolist()):
        bitmap = masks.bitmap(index)
        if not bitmap.any():
            continue
        squares = _squared_distances(np.pad(bitmap, reach))
        whole = masks.windows_xyxy[index] + (-reach, -reach, reach, reach)
        x1, y1 = np.maximum(whole[:2], edges[:2])
        x2, y2 = np.minimum(whole[2:], edges[2:])
        if x1 >= x2 or y1 >= y2:
            continue
        windows[index] = x1, y1, x2, y2
        part = squares[y1 - whole[1] : y2 - whole[1], x1 - whole[0] : x2 - whole[0]]
        place = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        taken = (part < nearest[place]) & (part <= radius_px**2)
        nearest[place][taken] = part[taken]
        owner[place][taken] = number
    place_of = dict(zip(rivals.numbers.tolist(), windows, strict=True))
    for number in nuclei.numbers.tolist():
        x1, y1, x2, y2 = place_of[number]
        bitmap = owner[y1 - top : y2 - top, x1 - left : x2 - left] == number
        # A frame as small as the cell: tracing needs no more.
        own = Masks.from_bitmaps(
            Frame(height_px=max(int(y2 - y1), 1), width_px=max(int(x2 - x1), 1)),
            np.array([[0, 0, x2 - x1, y2 - y1]], np.int32),
            [bitmap],
        )
        yield shapely.transform(mask_geometry(own, 0), lambda xy, by=(x1, y1): xy + by)


def _squared_distances(bitmap: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return (H, W) squared distances to the nearest set pixel.

    OpenCV's distances are off by some 1e-6, and not by the same amount in every call; squared they are whole numbers.
    """
    distances = cv2.distanceTransform((~bitmap).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(np.square(distances, dtype=np.float64)).astype(np.int32)
