"""Outlines along pixel edges, so that an outline encloses its mask's pixels exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core.masks import Masks

# Masks that are traced together; more pixels would leave the processor's caches.
MOST_SHEET_PX = 2**18


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
    exteriors, holes = _trace_rings(np.pad(masks.bitmap(index), 1))
    return _outlines(exteriors, holes, masks.windows_xyxy[index, :2].astype(np.int64))


def trace_all_outlines(masks: Masks) -> list[list[Outline]]:
    """Return `trace_outlines` of every mask, for many small masks some times faster.

    They are traced on one sheet, one below the other, as long as it is small.
    """
    found: list[list[Outline]] = []
    windows = masks.windows_xyxy.astype(np.int64)
    sides = windows[:, 2:] - windows[:, :2]
    start = 0
    while start < len(masks):
        width_px, height_px, stop = 0, 1, start
        while stop < len(masks):
            wider, higher = max(width_px, int(sides[stop, 0])), height_px + int(sides[stop, 1]) + 1
            if stop > start and (wider + 2) * higher > MOST_SHEET_PX:
                break
            width_px, height_px, stop = wider, higher, stop + 1
        found += _trace_sheet(masks, range(start, stop), (height_px, width_px + 2))
        start = stop
    return found


def _trace_sheet(masks: Masks, indices: range, shape: tuple[int, int]) -> list[list[Outline]]:
    """Return the outlines of some masks, drawn below each other with an empty row between them."""
    sheet = np.zeros(shape, np.bool_)
    tops = []
    row = 0
    for index in indices:
        bitmap = masks.bitmap(index)
        tops.append(row)
        sheet[row + 1 : row + 1 + bitmap.shape[0], 1 : 1 + bitmap.shape[1]] = bitmap
        row += bitmap.shape[0] + 1
    rings: list[tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]] = [([], []) for _ in indices]
    for kind, traced in enumerate(_trace_rings(sheet)):
        firsts = np.array([ring[0, 1] for ring in traced], np.int64)
        for ring, place in zip(traced, np.searchsorted(tops, firsts, side="right") - 1, strict=True):
            rings[place][kind].append(ring - (0, tops[place]))
    corners_xy = masks.windows_xyxy[:, :2].astype(np.int64)
    return [_outlines(*own, corners_xy[index]) for own, index in zip(rings, indices, strict=True)]


def _outlines(
    exteriors: list[NDArray[np.int64]], holes: list[NDArray[np.int64]], shift: NDArray[np.int64]
) -> list[Outline]:
    """Return each exterior with its own holes, in coordinates of the frame."""
    if len(exteriors) == 1:
        return [Outline(exterior_xy=exteriors[0] + shift, holes_xy=tuple(hole + shift for hole in holes))]
    owned: list[list[NDArray[np.int64]]] = [[] for _ in exteriors]
    for hole in holes:
        owned[_innermost(exteriors, hole)].append(hole + shift)
    return [
        Outline(exterior_xy=ring + shift, holes_xy=tuple(inner)) for ring, inner in zip(exteriors, owned, strict=True)
    ]


def _trace_rings(bordered: NDArray[np.bool_]) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Return (exterior rings, hole rings) of a bitmap in an empty border, by pairing corners along rows and columns.

    Sorted along its row, every odd corner starts a horizontal edge and the next one ends it; along columns the
    same for vertical edges. Two parts that meet diagonally share a grid point that counts as two corners, one
    for each part.
    """
    padded = bordered.astype(np.int8)
    upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
    lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
    diagonal = (upper_left == lower_right) & (upper_right == lower_left) & (upper_left != upper_right)
    single = (upper_left + upper_right + lower_left + lower_right) % 2 == 1
    copies = single.astype(np.int64) + 2 * diagonal
    ys, xs = np.nonzero(copies)
    repeats = copies[ys, xs]
    if len(ys) == 0:
        return [], []
    starts = np.concatenate([[0], np.cumsum(repeats)[:-1]])
    copy = np.arange(int(repeats.sum())) - np.repeat(starts, repeats)
    rising = np.repeat(diagonal[ys, xs] & (upper_right[ys, xs] == 1), repeats)
    ys, xs = np.repeat(ys, repeats), np.repeat(xs, repeats)
    # At a diagonal the first copy ends the left edge. It belongs to the upper edge where the upper left pixel is
    # set, to the lower edge where the upper right one is.
    along_row = np.lexsort((copy, xs, ys))
    along_column = np.lexsort((np.where(rising, 1 - copy, copy), ys, xs))
    # Lists: taken one by one, their elements are some times faster than an array's.
    horizontal, vertical = _mates(along_row).tolist(), _mates(along_column).tolist()
    visited = [False] * len(xs)
    corners_xy = np.stack([xs, ys], axis=1)
    exteriors: list[NDArray[np.int64]] = []
    holes: list[NDArray[np.int64]] = []
    for start in along_row.tolist():
        if visited[start]:
            continue
        ring, corner, is_horizontal = [], start, True
        while not visited[corner]:
            visited[corner] = True
            ring.append(corner)
            corner = horizontal[corner] if is_horizontal else vertical[corner]
            is_horizontal = not is_horizontal
        points = corners_xy[ring]
        # The first corner in row order is the ring's upper left one: set pixels below it mean an exterior.
        is_exterior = lower_right[ys[start], xs[start]] == 1
        (exteriors if is_exterior else holes).append(points)
    return exteriors, holes


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
