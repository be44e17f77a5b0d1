"""A slide's nuclei as a 32-bit label image: a tiled OME-TIFF pyramid, written tile row by tile row.

A pixel's value is the number of the nucleus (or cell) that its centre lies in, 0 where there is none; where outlines
overlap, the higher score owns the pixel, then the lower number. Smaller levels are drawn anew, not averaged.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, NucleiColumns, masks_from_label_map
from nucleate.core.geometry import mask_geometry
from nucleate.errors import DataError
from nucleate.export.slide.rasterising import rasterise_outlines
from nucleate.export.slide.reading import wkb
from nucleate.export.slide.slide_table import ExportedNuclei, SlideTable
from nucleate.files import write_path

# A row of tiles across 100,000 pixels, with its scores, is 200 MB at most; memory is touched only where nuclei are.
TILE_PX = 256
MOST_READ_PX = 16_384
_LEVEL = 5


def write_slide_labels(path: Path, table: SlideTable) -> None:
    """Write the label image of a whole slide, cells where the table has them.

    Raises:
        ResultsError: the file can't be written.
    """
    frame = table.info.frame
    frames = _levels(frame)
    about: dict[str, Any] = {"axes": "YX", "Name": f"{table.info.slide}, nuclei"}
    about["Description"] = "Where nuclei overlap, the higher score owns the pixel, then the lower number."
    resolution: dict[str, Any] = {}
    if frame.mpp is not None:
        about |= {"PhysicalSizeX": frame.mpp, "PhysicalSizeXUnit": "µm"}
        about |= {"PhysicalSizeY": frame.mpp, "PhysicalSizeYUnit": "µm"}
        resolution = {"resolution": (1e4 / frame.mpp, 1e4 / frame.mpp), "resolutionunit": "CENTIMETER"}
    with write_path(path) as part, tifffile.TiffWriter(part, bigtiff=True, ome=True) as tiff:
        for level, small in enumerate(frames):
            base: dict[str, Any] = {"subifds": len(frames) - 1, "metadata": about, **resolution}
            tiff.write(
                _tiles(table, small, level),
                shape=small.shape,
                dtype=np.uint32,
                tile=(TILE_PX, TILE_PX),
                photometric="minisblack",
                compression="zlib",
                software="nucleate",
                **(base if level == 0 else {"subfiletype": 1, "metadata": None}),
            )


def read_slide_labels(path: Path, *, window_xyxy: tuple[int, int, int, int] | None = None) -> ExportedNuclei:
    """Return the nuclei of a label image, outlines along pixel edges; it holds neither scores nor classes.

    Args:
        path: the file.
        window_xyxy: level-0 pixels; nuclei at its border are cut off. Unset reads all.

    Raises:
        DataError: no tiled label image, or more than `MOST_READ_PX` pixels a side at once.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            if not page.is_tiled or page.ndim != 2 or page.dtype is None or page.dtype.kind not in "ui":
                raise DataError("no tiled label image", path=path)
            x1, y1, x2, y2 = window_xyxy or (0, 0, page.imagewidth, page.imagelength)
            x2, y2 = min(x2, page.imagewidth), min(y2, page.imagelength)
            if max(x2 - x1, y2 - y1) > MOST_READ_PX:
                raise DataError(
                    f"{x2 - x1} x {y2 - y1} pixels: read it in windows of {MOST_READ_PX} at most", path=path
                )
            if min(x1, y1) < 0 or x1 >= x2 or y1 >= y2:
                raise DataError(f"the window {window_xyxy} holds no pixel of the image", path=path)
            labels = _read_window(page, (x1, y1, x2, y2))
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except (tifffile.TiffFileError, OSError, zlib.error) as error:
        raise DataError(f"no TIFF that can be read: {error}", path=path) from error
    masks, numbers = masks_from_label_map(labels.astype(np.int64))
    outlines = np.empty(len(masks), np.object_)
    for index in range(len(masks)):
        outlines[index] = shapely.transform(mask_geometry(masks, index), lambda xy: xy + (x1, y1))
    nuclei = NucleiColumns(
        numbers=numbers.astype(np.int64),
        outlines_wkb=wkb(outlines),
        boxes_xyxy=shapely.bounds(outlines).reshape(-1, 4),
        centroids_xy=shapely.get_coordinates(shapely.centroid(outlines)).reshape(-1, 2),
        areas_px=masks.areas_px(),
        class_indices=np.zeros(len(masks), np.int64),
        scores=np.ones(len(masks), np.float32),
        measurement_names=(),
        measurements=np.zeros((len(masks), 0)),
    )
    return ExportedNuclei(nuclei=nuclei, class_names=("nucleus",))


def _levels(frame: Frame) -> list[Frame]:
    """Return the pyramid's frames, each half of the one before, down to one tile."""
    levels = [frame]
    while max(levels[-1].shape) > TILE_PX:
        height, width = levels[-1].shape
        levels.append(Frame(height_px=math.ceil(height / 2), width_px=math.ceil(width / 2)))
    return levels


def _tiles(table: SlideTable, frame: Frame, level: int) -> Iterator[bytes]:
    """Yield a level's compressed tiles, row by row."""
    columns = math.ceil(frame.width_px / TILE_PX)
    empty = zlib.compress(bytes(4 * TILE_PX**2), _LEVEL)
    for top in range(0, frame.height_px, TILE_PX):
        band = _band(table, frame, level, (top, min(top + TILE_PX, frame.height_px)))
        for column in range(columns):
            tile = band[:, column * TILE_PX : (column + 1) * TILE_PX]
            yield zlib.compress(tile.tobytes(), _LEVEL) if tile.any() else empty


def _band(table: SlideTable, frame: Frame, level: int, rows: tuple[int, int]) -> NDArray[np.uint32]:
    """Return the (TILE_PX, width up to whole tiles) labels of a row of tiles."""
    width = math.ceil(frame.width_px / TILE_PX) * TILE_PX
    labels, best = np.zeros((TILE_PX, width), np.uint32), np.zeros((TILE_PX, width), np.float32)
    top, bottom = rows
    scale = 2**level
    for shapes in table.shapes_in((0, top * scale, frame.width_px * scale, bottom * scale)):
        # Later ones overwrite earlier ones.
        ordered = shapes.select(np.lexsort((-shapes.numbers, shapes.scores)))
        masks = rasterise_outlines(ordered.outlines(), frame, factor=1 / scale)
        ys, xs, owners = _pixels(masks)
        inside = (ys >= top) & (ys < bottom)
        ys, xs, owners = ys[inside] - top, xs[inside], owners[inside]
        numbers, scores = ordered.numbers[owners], ordered.scores[owners]
        held = labels[ys, xs]
        wins = (held == 0) | (scores > best[ys, xs]) | ((scores == best[ys, xs]) & (numbers < held))
        labels[ys[wins], xs[wins]] = numbers[wins]
        best[ys[wins], xs[wins]] = scores[wins]
    return labels


def _pixels(masks: Masks) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return y, x and the mask of every pixel, mask after mask."""
    set_bits = np.flatnonzero(masks.bits)
    owners = np.searchsorted(masks.offsets, set_bits, side="right") - 1
    windows = masks.windows_xyxy[owners].astype(np.int64)
    rows, columns = np.divmod(set_bits - masks.offsets[owners], windows[:, 2] - windows[:, 0])
    return rows + windows[:, 1], columns + windows[:, 0], owners


def _read_window(page: tifffile.TiffPage, window_xyxy: tuple[int, int, int, int]) -> NDArray[np.integer]:
    x1, y1, x2, y2 = window_xyxy
    across = math.ceil(page.imagewidth / page.tilewidth)
    labels = np.zeros((y2 - y1, x2 - x1), page.dtype)
    for row in range(y1 // page.tilelength, math.ceil(y2 / page.tilelength)):
        for column in range(x1 // page.tilewidth, math.ceil(x2 / page.tilewidth)):
            index = row * across + column
            page.parent.filehandle.seek(page.dataoffsets[index])
            encoded = page.parent.filehandle.read(page.databytecounts[index])
            tile = np.asarray(page.decode(encoded, index)[0]).reshape(-1, page.tilewidth)
            left, top = column * page.tilewidth, row * page.tilelength
            from_x, from_y = max(x1, left), max(y1, top)
            to_x, to_y = min(x2, left + tile.shape[1]), min(y2, top + tile.shape[0])
            labels[from_y - y1 : to_y - y1, from_x - x1 : to_x - x1] = tile[
                from_y - top : to_y - top, from_x - left : to_x - left
            ]
    return labels
