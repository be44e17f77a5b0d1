"""Outlines of all nuclei of a tile as WKB, along pixel edges."""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import Masks
from nucleate.core.geometry import mask_geometry
from nucleate.measurement.strips import Strip, lay_in_strips

# The pixels around a grid point: 1 upper left, 2 upper right, 4 lower left, 8 lower right. Walking with the set
# pixels on the right hand (y points down), a corner is left along its row at these codes, along its column at those.
ALONG_ROW, ALONG_COLUMN, DIAGONAL = 1, 2, 3
CORNER_KINDS = np.zeros(256, np.uint8)
CORNER_KINDS[[1, 8, 11, 13]] = ALONG_ROW
CORNER_KINDS[[2, 4, 7, 14]] = ALONG_COLUMN
CORNER_KINDS[[6, 9]] = DIAGONAL
_POLYGON_HEADER = np.dtype([("byte_order", "u1"), ("kind", "<u4"), ("rings", "<u4"), ("points", "<u4")])
_WKB_LITTLE_ENDIAN, _WKB_POLYGON = 1, 3


def outlines_wkb(masks: Masks, offset_xy: tuple[int, int] = (0, 0)) -> NDArray[np.object_]:
    """Return each mask's outline along pixel edges as well-known binary, little-endian.

    The geometries are those of `mask_geometry`: valid, Polygon or MultiPolygon, holes kept, exteriors
    counter-clockwise in (x, y), area equal to the number of pixels.

    Args:
        masks: N masks.
        offset_xy: added to the coordinates: the tile's place on the slide, pixels.

    Returns:
        (N,) bytes; a mask without pixels is an empty MultiPolygon.
    """
    outlines = np.empty(len(masks), np.object_)
    for strip in lay_in_strips(masks, padding_px=1):
        _write_simple(strip, offset_xy, outlines)
    # What is left has several rings, touches itself at a corner, or is empty.
    for index, outline in enumerate(outlines.tolist()):
        if outline is not None:
            continue
        geometry = shapely.transform(mask_geometry(masks, index), lambda xy: xy + offset_xy)
        outlines[index] = shapely.to_wkb(geometry, byte_order=_WKB_LITTLE_ENDIAN)
    return outlines


def _write_simple(strip: Strip, offset_xy: tuple[int, int], outlines: NDArray[np.object_]) -> None:
    """Fill in the outlines that are one ring which never meets itself."""
    pixels = strip.pixels
    codes = pixels[:-1, :-1] + 2 * pixels[:-1, 1:] + 4 * pixels[1:, :-1] + 8 * pixels[1:, 1:]
    corners = cv2.LUT(codes, CORNER_KINDS).reshape(-1)
    places = np.flatnonzero(corners != 0)
    if len(places) == 0:
        return
    rows, xs = np.divmod(places, codes.shape[1])
    kind, owners, count = corners[places], strip.row_owners()[rows], len(strip.indices)
    is_simple = np.bincount(owners, minlength=count) > 0
    is_simple[owners[kind == DIAGONAL]] = False
    kept = is_simple[owners]
    rows, xs, owners, kind = rows[kept], xs[kept], owners[kept], kind[kept]
    steps, is_one_ring = _steps_to_first(xs, owners, kind == ALONG_ROW, count)
    is_simple &= is_one_ring
    kept = is_simple[owners]
    rows, xs, owners, steps = rows[kept], xs[kept], owners[kept], steps[kept]
    lengths = np.bincount(owners, minlength=count)[is_simple]
    if len(lengths) == 0:
        return
    # The first corner is 0 steps from itself and stands first, and once more as the last.
    ends = np.cumsum(lengths + 1)
    closing = (np.cumsum(is_simple) - 1)[owners]
    places = ends[closing] - 1 - steps
    shift_xy = strip.origins_xy + 1 + np.asarray(offset_xy, np.int64)
    points_xy = np.empty((int(ends[-1]), 2), "<f8")
    points_xy[places, 0] = xs + shift_xy[owners, 0]
    points_xy[places, 1] = rows - strip.row_starts[owners] + shift_xy[owners, 1]
    points_xy[ends - lengths - 1] = points_xy[ends - 1]
    headers = np.empty(len(lengths), _POLYGON_HEADER)
    headers["byte_order"], headers["kind"], headers["rings"] = _WKB_LITTLE_ENDIAN, _WKB_POLYGON, 1
    headers["points"] = lengths + 1
    body, head = points_xy.tobytes(), headers.tobytes()
    starts, stops = ((ends - lengths - 1) * 16).tolist(), (ends * 16).tolist()
    size = _POLYGON_HEADER.itemsize
    for number, index in enumerate(strip.indices[is_simple].tolist()):
        outlines[index] = head[number * size : (number + 1) * size] + body[starts[number] : stops[number]]


def _steps_to_first(
    xs: NDArray[np.intp],
    owners: NDArray[np.int64],
    is_left_along_row: NDArray[np.bool_],
    count: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return how many corners on along its ring each mask's first corner stands, and which masks are one ring.

    All rings are followed at once, in strides that double.

    Args:
        xs: (M,) column of each corner, the corners in row order; no two share a grid point.
        owners: (M,) cell of each corner.
        is_left_along_row: (M,) whether the walk leaves the corner along its row.
        count: number of cells.

    Returns:
        (M,) steps, meaningless where a mask has several rings, and (count,) whether all corners are on one ring.
    """
    along_row = np.arange(len(xs))
    along_column = np.argsort(owners * (int(xs.max(initial=0)) + 1) + xs, kind="stable")
    following = np.where(is_left_along_row, _mates(along_row), _mates(along_column))
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    following[firsts] = firsts
    steps = np.ones(len(xs), np.int64)
    steps[firsts] = 0
    longest = int(np.bincount(owners, minlength=1).max())
    for _ in range(longest.bit_length()):
        steps += steps[following]
        following = following[following]
    first_of_cell = np.zeros(count, np.int64)
    first_of_cell[owners[firsts]] = firsts
    is_one_ring = np.ones(count, np.bool_)
    is_one_ring[owners[following != first_of_cell[owners]]] = False
    return steps, is_one_ring


def _mates(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each corner's partner where the 1st and 2nd, 3rd and 4th, ... of an order end one edge each."""
    mates = np.empty(len(order), np.int64)
    mates[order[0::2]], mates[order[1::2]] = order[1::2], order[0::2]
    return mates
