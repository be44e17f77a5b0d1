"""Which nuclei of an image touch, overlap, fall into parts or have holes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import Masks

# Rows looked at together: an image of 12,000 px a side is not held a second time.
STRIP_ROWS = 1024
# Two masks of this IoU are one nucleus, annotated twice.
REPEAT_IOU = 0.8
# The most indices that fit into 16 bits, with 0 for the background and the highest number for none.
MOST_SHORT = 2**16 - 2
_KERNEL = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contacts:
    """How the N nuclei of an image lie to each other.

    Attributes:
        touching: (N,) a pixel of it is one of the eight neighbours of another nucleus' pixel, or is shared.
        overlapping: (N,) a pixel of it is another nucleus' too.
        repeats: pairs of indices, the lower first, whose masks have an IoU of `REPEAT_IOU` or more.
    """

    touching: NDArray[np.bool_]
    overlapping: NDArray[np.bool_]
    repeats: tuple[tuple[int, int], ...]


def find_contacts(masks: Masks) -> Contacts:
    """Return which nuclei touch and which overlap.

    Args:
        masks: N masks; those without a pixel touch nothing.
    """
    touching, overlapping = np.zeros(len(masks), np.bool_), np.zeros(len(masks), np.bool_)
    height_px, width_px = masks.frame.shape
    tops, bottoms = masks.windows_xyxy[:, 1], masks.windows_xyxy[:, 3]
    for start in range(0, height_px if len(masks) else 0, STRIP_ROWS):
        # One row more than the strip, so that nuclei on either side of its lower edge meet.
        end = min(start + STRIP_ROWS + 1, height_px)
        # The types that OpenCV's morphology takes; the one that holds every index and one number more.
        owners = np.zeros((end - start, width_px), np.uint16 if len(masks) <= MOST_SHORT else np.float32)
        for index in np.flatnonzero((tops < end) & (bottoms > start)).tolist():
            x1, y1, x2, y2 = masks.windows_xyxy[index].tolist()
            top, bottom = max(y1, start), min(y2, end)
            bitmap = masks.bitmap(index)[top - y1 : bottom - y1]
            window = owners[top - start : bottom - start, x1:x2]
            before = window[bitmap]
            if before.any():
                others = np.unique(before).astype(np.int64)
                others = others[others > 0] - 1
                overlapping[others] = True
                overlapping[index] = True
            window[bitmap] = index + 1
        touching[_touching(owners)] = True
    repeats = _repeats(masks, np.flatnonzero(overlapping))
    return Contacts(touching=touching | overlapping, overlapping=overlapping, repeats=repeats)


def count_parts_and_holes(masks: Masks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each mask's number of 4-connected parts and of holes, (N,) each."""
    parts, holes = np.zeros(len(masks), np.int64), np.zeros(len(masks), np.int64)
    for index, bitmap in enumerate(masks):
        if not bitmap.size:
            continue
        padded = np.zeros((bitmap.shape[0] + 2, bitmap.shape[1] + 2), np.uint8)
        padded[1:-1, 1:-1] = bitmap
        parts[index] = cv2.connectedComponents(padded, connectivity=4, ltype=cv2.CV_16U)[0] - 1
        # All background around the mask is one component, since corners connect it.
        holes[index] = cv2.connectedComponents(1 - padded, connectivity=8, ltype=cv2.CV_16U)[0] - 2
    return parts, holes


def _touching(owners: NDArray[np.uint16] | NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the indices with a pixel beside another's, edges and corners of pixels alike."""
    highest = cv2.dilate(owners, _KERNEL)
    is_free = owners == 0
    above_all = np.inf if owners.dtype.kind == "f" else 2**16 - 1
    lowest = cv2.erode(np.where(is_free, owners.dtype.type(above_all), owners), _KERNEL)
    beside = owners[((highest != owners) | (lowest != owners)) & ~is_free]
    return np.unique(beside.astype(np.int64)) - 1


def _repeats(masks: Masks, overlapping: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    windows, areas = masks.windows_xyxy[overlapping], masks.areas_px()[overlapping]
    boxes = np.asarray(shapely.box(*windows.T), np.object_).reshape(-1)
    firsts, seconds = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    # No masks of so different areas can have that IoU, which spares most of the exact comparisons.
    near = (firsts < seconds) & (
        np.minimum(areas[firsts], areas[seconds]) >= REPEAT_IOU * np.maximum(areas[firsts], areas[seconds])
    )
    found = []
    for one, other in zip(firsts[near].tolist(), seconds[near].tolist(), strict=True):
        first, second = int(overlapping[one]), int(overlapping[other])
        shared = _shared_px(masks, first, second)
        if shared >= REPEAT_IOU * (int(areas[one]) + int(areas[other]) - shared):
            found.append((first, second))
    return tuple(sorted(found))


def _shared_px(masks: Masks, first: int, second: int) -> int:
    a, b = masks.windows_xyxy[first].tolist(), masks.windows_xyxy[second].tolist()
    left, top, right, bottom = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    if left >= right or top >= bottom:
        return 0
    crops = [
        masks.bitmap(index)[top - window[1] : bottom - window[1], left - window[0] : right - window[0]]
        for index, window in ((first, a), (second, b))
    ]
    return int(np.count_nonzero(crops[0] & crops[1]))
