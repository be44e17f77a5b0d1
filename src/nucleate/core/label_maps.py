"""Instance maps: one id a pixel, 0 is background, ids are names and may have gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nucleate.core.frame import Frame
from nucleate.core.masks import Masks

# Ids up to this, or up to the number of pixels, are counted in a table; larger ones are sorted.
SMALL_ID = 65_536
ROWS_AT_ONCE = 1024


def relabel_sequentially(label_map: NDArray[np.integer]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the map with ids 1..n in ascending order of the old ids, and the (n,) old ids."""
    if label_map.size and label_map.min() >= 0 and label_map.max() <= max(label_map.size, SMALL_ID):
        # Counting: ten times faster than sorting all pixels.
        present = np.zeros(int(label_map.max()) + 1, np.bool_)
        for some in _bands(label_map):
            present |= np.bincount(some.astype(np.int64).reshape(-1), minlength=len(present)) > 0
        present[0] = False
        numbers = np.cumsum(present, dtype=np.int32)
        numbers[0] = 0
        sequential = np.empty(label_map.shape, np.int32)
        for some, target in zip(_bands(label_map), _bands(sequential), strict=True):
            target[...] = numbers[some.astype(np.int64)]
        return sequential, np.flatnonzero(present)
    ids, positions = np.unique(label_map, return_inverse=True)
    positions = positions.reshape(label_map.shape).astype(np.int32)
    if len(ids) and ids[0] == 0:
        return positions, ids[1:].astype(np.int64)
    return positions + np.int32(1), ids.astype(np.int64)


def masks_from_label_map(
    label_map: NDArray[np.integer], *, mpp: float | None = None
) -> tuple[Masks, NDArray[np.int64]]:
    """Return one mask an id, in ascending order of ids, and the (N,) ids.

    Args:
        label_map: (H, W) non-negative integers, 0 = background. An id in several pieces is one nucleus.
        mpp: micrometres a pixel of the frame.
    """
    frame = Frame(height_px=label_map.shape[0], width_px=label_map.shape[1], mpp=mpp)
    numbered, ids = label_map, np.zeros(0, np.int64)
    is_small = (
        bool(label_map.size) and label_map.dtype.kind in "iu" and 0 <= label_map.min() <= label_map.max() <= SMALL_ID
    )
    if not is_small:
        numbered, ids = relabel_sequentially(label_map)
    # Of small ids those that are not there have no window, which spares the map with others.
    found = [(number, place) for number, place in enumerate(ndimage.find_objects(numbered), 1) if place is not None]
    windows = [(columns.start, rows.start, columns.stop, rows.stop) for _, (rows, columns) in found]
    bits = [(numbered[place] == number).reshape(-1) for number, place in found]
    masks = Masks(
        frame=frame,
        windows_xyxy=np.array(windows, np.int32).reshape(-1, 4),
        bits=np.concatenate([np.zeros(0, np.bool_), *bits]),
    )
    return masks, np.array([number for number, _ in found], np.int64) if is_small else ids


def label_map_from_masks(masks: Masks, priority: NDArray[np.floating] | None = None) -> NDArray[np.int32]:
    """Return the (H, W) map in which mask i has id i + 1; the higher priority owns shared pixels.

    Args:
        masks: N masks.
        priority: (N,) numbers, usually scores; at equal priority, and without it, the earlier mask owns.
    """
    label_map = np.zeros(masks.frame.shape, np.int32)
    rank = np.zeros(len(masks)) if priority is None else np.asarray(priority, np.float64)
    # Painted from the weakest to the strongest, the earlier of equals last.
    for index in np.lexsort((-np.arange(len(masks)), rank)):
        x1, y1, x2, y2 = masks.windows_xyxy[index]
        label_map[y1:y2, x1:x2][masks.bitmap(int(index))] = index + 1
    return label_map


def _bands(label_map: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    """Return a map's rows in parts: counting and indexing take eight bytes a pixel."""
    return [label_map[start : start + ROWS_AT_ONCE] for start in range(0, len(label_map), ROWS_AT_ONCE)]
