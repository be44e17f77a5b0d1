"""Pixels of one level brought to another scale: by area down, cubic up, at any fraction of a pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Fractions of a pixel below this are rounding errors of the division that made them.
_EXACT = 1e-6


def resample_window(
    pixels_rgb: NDArray[np.uint8], window_xyxy: tuple[float, float, float, float], size_wh: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a window of an image, resampled: each pixel of the result is the mean of the area that it covers.

    Enlarged windows are interpolated (cubic) instead; they must lie on whole pixels, which level 0 always does.

    Args:
        pixels_rgb: (H, W, 3).
        window_xyxy: in the image's continuous coordinates, inside of it.
        size_wh: of the result.

    Returns:
        (height, width, 3) of `size_wh`.
    """
    x1, y1, x2, y2 = window_xyxy
    whole = [round(side) for side in window_xyxy]
    if max(abs(side - rounded) for side, rounded in zip(window_xyxy, whole, strict=True)) < _EXACT:
        cropped = pixels_rgb[whole[1] : whole[3], whole[0] : whole[2]]
        if cropped.shape[1::-1] == size_wh:
            return np.ascontiguousarray(cropped)
        is_smaller = size_wh[0] <= cropped.shape[1] and size_wh[1] <= cropped.shape[0]
        method = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(cropped, size_wh, interpolation=method), np.uint8)
    height, width = pixels_rgb.shape[:2]
    rows = _area_weights(y1, y2, size_wh[1], height) @ pixels_rgb.reshape(height, width * 3).astype(np.float32)
    turned = rows.reshape(size_wh[1], width, 3).swapaxes(0, 1).reshape(width, size_wh[1] * 3)
    columns = _area_weights(x1, x2, size_wh[0], width) @ turned
    means = columns.reshape(size_wh[0], size_wh[1], 3).swapaxes(0, 1)
    return np.ascontiguousarray(np.rint(means), dtype=np.uint8)


def _area_weights(start: float, stop: float, count: int, length: int) -> sparse.csr_array:
    """Return (count, length) float32: the share of each source pixel in each of `count` equal parts of a range."""
    edges = np.linspace(start, stop, count + 1)
    first = np.floor(edges[:-1]).astype(np.int64)
    taps = int(np.ceil((stop - start) / count)) + 1
    sources = first[:, None] + np.arange(taps)
    covered = np.minimum(edges[1:, None], sources + 1) - np.maximum(edges[:-1, None], sources)
    weights = np.clip(covered, 0, None)
    weights[(sources < 0) | (sources >= length)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    targets = np.broadcast_to(np.arange(count)[:, None], sources.shape)
    places = (targets.ravel(), np.clip(sources, 0, length - 1).ravel())
    return sparse.csr_array((weights.ravel().astype(np.float32), places), shape=(count, length))
