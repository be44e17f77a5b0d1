"""Outlines along pixel edges, so that an outline encloses its mask's pixels exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core.masks import Masks
from nucleate.core.sheets import Sheet, mask_sheets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """The boundary of one 4-connected part of a mask: closed rings of corners, the last point not repeated.

    Attributes:
        exterior_xy: (K, 2) int64 corners in pixel-edge coordinates of the frame.
        holes_xy: one such ring a hole.
    """

    exterior_xy: NDArray[np.int64]
    holes_xy: tuple[NDArray[np.int64], ...] = ()


def trace_outlines(masks: Masks, index: int) -> list[Outline]:
    """Return one outline a 4-connected part of the mask, none for a mask without pixels.

    Parts that touch at a corner alone are separate; the rectangle of one pixel (x, y) is
    (x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1).
    """
    return trace_all_outlines(masks.select([index]))[0]


def trace_all_outlines(masks: Masks) -> list[list[Outline]]:
    """Return `trace_outlines` of every mask, for many small masks some times faster."""
    corners_xy = masks.windows_xyxy[:, :2].astype(np.int64)
    return [outlines for sheet in mask_sheets(masks) for outlines in _trace_sheet(sheet, corners_xy[sheet.indices])]


def _trace_sheet(sheet: Sheet, corners_xy: NDArray[np.int64]) -> list[list[Outline]]:
    """Return the outlines of a sheet's n masks, whose (n, 2) upper left corners lie in the frame as given.

    Corners of pixels are paired along rows and columns: sorted along its row, every odd corner starts a horizontal
    edge and the next one ends it; along columns the same for vertical edges. Two parts that meet diagonally share a
    grid point that counts as two corners, one for each part.
    """
    pixels = sheet.pixels
    across = pixels[:, 1:] != pixels[:, :-1]
    upper_left, lower_left = pixels[:-1, :-1], pixels[1:, :-1]
    diagonal = across[:-1] & across[1:] & (upper_left != lower_left)
    found = np.flatnonzero((across[:-1] != across[1:]) | diagonal)
    is_diagonal = diagonal.reshape(-1)[found]
    ys, xs = np.divmod(np.repeat(found, 1 + is_diagonal), diagonal.shape[1])
    in_column = _column_order(xs, np.repeat(is_diagonal & ~upper_left.reshape(-1)[found], 1 + is_diagonal))
    # Lists: taken one by one, their elements are some times faster than an array's.
    horizontal, vertical = _mates(np.arange(len(xs))).tolist(), _mates(in_column).tolist()
    starts, order, ends = _walk_rings(horizontal, vertical)
    owners = sheet.owners(ys)
    # The sheet's border takes one column and one row, but a grid point (0, 0) lies behind the first of each.
    points_xy = (np.stack([xs, ys - sheet.tops[owners]], axis=1) + corners_xy[owners])[order]
    # The first corner in row order is the ring's upper left one: set pixels below it mean an exterior.
    is_exterior = pixels[1:, 1:][ys[starts], xs[starts]].tolist()
    rings: list[tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]] = [([], []) for _ in sheet.tops]
    begin = 0
    for owner, outer, end in zip(owners[starts].tolist(), is_exterior, ends, strict=True):
        rings[owner][0 if outer else 1].append(points_xy[begin:end])
        begin = end
    return [_outlines(exteriors, holes) for exteriors, holes in rings]


def _column_order(xs: NDArray[np.int64], is_rising: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the order along columns of corners that are sorted along rows.

    At a diagonal the first copy ends the left edge. It belongs to the upper edge where the upper left pixel is set,
    to the lower edge where the upper right one is (a rising diagonal): there the two copies change places.
    """
    swapped = np.arange(len(xs))
    rising = np.flatnonzero(is_rising)
    swapped[rising[0::2]], swapped[rising[1::2]] = rising[1::2], rising[0::2]
    # numpy sorts 16 bits by counting.
    keys = xs.astype(np.uint16) if xs.max(initial=0) < 2**16 else xs
    return swapped[np.argsort(keys, kind="stable")]


def _walk_rings(horizontal: list[int], vertical: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Return each ring's first corner, the corners of all rings one after the other, and where each ring ends there."""
    visited = bytearray(len(horizontal))
    starts: list[int] = []
    order: list[int] = []
    ends: list[int] = []
    start = visited.find(0)
    while start >= 0:
        corner = start
        while True:
            beside = horizontal[corner]
            order.append(corner)
            order.append(beside)
            visited[corner] = visited[beside] = 1
            corner = vertical[beside]
            if corner == start:
                break
        starts.append(start)
        ends.append(len(order))
        start = visited.find(0, start)
    return starts, order, ends


def _outlines(exteriors: list[NDArray[np.int64]], holes: list[NDArray[np.int64]]) -> list[Outline]:
    """Return each exterior with its own holes."""
    if len(exteriors) == 1:
        return [Outline(exterior_xy=exteriors[0], holes_xy=tuple(holes))]
    owned: list[list[NDArray[np.int64]]] = [[] for _ in exteriors]
    for hole in holes:
        owned[_innermost(exteriors, hole)].append(hole)
    return [Outline(exterior_xy=ring, holes_xy=tuple(inner)) for ring, inner in zip(exteriors, owned, strict=True)]


def _mates(order: NDArray[np.int64]) -> NDArray[np.int64]:
    mates = np.empty(len(order), np.int64)
    mates[order[0::2]], mates[order[1::2]] = order[1::2], order[0::2]
    return mates


def _innermost(exteriors: list[NDArray[np.int64]], hole: NDArray[np.int64]) -> int:
    """Return the index of the smallest exterior ring that holds the hole's first pixel's left neighbour."""
    x, y = hole[0, 0] - 0.5, hole[0, 1] + 0.5
    inside = [index for index, ring in enumerate(exteriors) if _contains(ring, x, y)]
    return min(inside, key=lambda index: _ring_area(exteriors[index]))


def _contains(ring: NDArray[np.int64], x: float, y: float) -> bool:
    following = np.roll(ring, -1, axis=0)
    vertical = ring[:, 0] == following[:, 0]
    low, high = np.minimum(ring[:, 1], following[:, 1]), np.maximum(ring[:, 1], following[:, 1])
    return bool(np.count_nonzero(vertical & (low < y) & (y < high) & (ring[:, 0] < x)) % 2)


def _ring_area(ring: NDArray[np.int64]) -> float:
    following = np.roll(ring, -1, axis=0)
    return abs(float((ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum())) / 2
