"""Targets of the star-convex network, traced in the annotations' own pixels, so that no resampling blurs them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleate.models.star_convex.rays import GRID_PX, RAYS, ray_directions

UNKNOWN = -1
"""Label of pixels that teach nothing: crowd regions."""
_BISECTIONS = 4
_STEP_PX = 0.75
_FARTHEST_STEPS = 400
_ALL, _BEFORE, _AFTER = slice(None), slice(None, -1), slice(1, None)
_NEIGHBOURS = (((_ALL, _BEFORE), (_ALL, _AFTER)), ((_BEFORE, _ALL), (_AFTER, _ALL)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A rectangle of a crop that shows one image.

    Attributes:
        window_xyxy: in crop pixels, multiples of `GRID_PX`.
        to_image: (2, 3) matrix from the crop to the image, both in pixel-edge coordinates.
    """

    window_xyxy: tuple[int, int, int, int]
    to_image: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchTargets:
    """Targets of a patch's cells; see `StarConvexTargets`.

    Attributes:
        labels: (h, w) int32, 0 outside of nuclei, `UNKNOWN` beyond the image or in a crowd.
        distances_px: (K, 32) float32, of the K cells with a positive label, row by row.
        visible: (K, 32) bool.
    """

    labels: NDArray[np.int32]
    distances_px: NDArray[np.float32]
    visible: NDArray[np.bool_]


def relative_depth(labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return each pixel's distance to its nucleus' outline over that of the deepest pixel, 0..255 for 0..1.

    The image's border is no outline: a nucleus that it cuts goes on.

    Args:
        labels: (H, W), 0 for no nucleus.
    """
    inner = (labels > 0).astype(np.uint8)
    # Where nuclei touch, the outline runs between them: both sides count as outline pixels.
    for first, second in _NEIGHBOURS:
        touching = (labels[first] != labels[second]) & (labels[first] > 0) & (labels[second] > 0)
        inner[first][touching] = 0
        inner[second][touching] = 0
    if inner.all():
        return np.full(labels.shape, 255, np.uint8)
    # Pixels at the outline are half a pixel away from it.
    distance = cv2.distanceTransform(inner, cv2.DIST_L2, 5) + np.float32(0.5)
    deepest = np.zeros(int(labels.max(initial=0)) + 1, np.float32)
    inside = labels > 0
    np.maximum.at(deepest, labels[inside], distance[inside])
    depth = np.zeros(labels.shape, np.uint8)
    depth[inside] = np.clip(np.rint(255 * distance[inside] / deepest[labels[inside]]), 1, 255)
    return depth


def trace_patch(labels: NDArray[np.int32], patch: Patch, rays: int = RAYS) -> PatchTargets:
    """Return the labels of a patch's cells, and how far the outlines are along the rays.

    A ray ends where the label changes: in a nucleus that is not star-convex seen from a cell, that is the near side.

    Args:
        labels: (H, W) of the image.
        patch: where and how it shows.
        rays: number of rays.
    """
    x1, y1, x2, y2 = patch.window_xyxy
    cells = np.zeros(((y2 - y1) // GRID_PX, (x2 - x1) // GRID_PX), np.int32)
    _label_cells(labels, patch.to_image, float(x1), float(y1), cells)
    count = int(np.count_nonzero(cells > 0))
    distances = np.zeros((count, rays), np.float32)
    visible = np.zeros((count, rays), np.bool_)
    window = np.array(patch.window_xyxy, np.float64)
    _trace(labels, patch.to_image, window, cells, ray_directions(rays), distances, visible)
    return PatchTargets(labels=cells, distances_px=distances, visible=visible)


@njit(cache=True, nogil=True)
def _label_at(labels, x, y):  # type: ignore[no-untyped-def] # numba compiles it
    column, row = int(np.floor(x)), int(np.floor(y))
    if column < 0 or row < 0 or row >= labels.shape[0] or column >= labels.shape[1]:
        return UNKNOWN
    return labels[row, column]


@njit(cache=True, nogil=True)
def _label_cells(labels, to_image, left, top, cells):  # type: ignore[no-untyped-def]
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            x, y = left + (column + 0.5) * GRID_PX, top + (row + 0.5) * GRID_PX
            image_x = to_image[0, 0] * x + to_image[0, 1] * y + to_image[0, 2]
            image_y = to_image[1, 0] * x + to_image[1, 1] * y + to_image[1, 2]
            cells[row, column] = _label_at(labels, image_x, image_y)


@njit(cache=True, nogil=True)
def _trace(labels, to_image, window, cells, directions, distances, visible):  # type: ignore[no-untyped-def] # noqa: PLR0913
    index = 0
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            own = cells[row, column]
            if own <= 0:
                continue
            x, y = window[0] + (column + 0.5) * GRID_PX, window[1] + (row + 0.5) * GRID_PX
            image_x = to_image[0, 0] * x + to_image[0, 1] * y + to_image[0, 2]
            image_y = to_image[1, 0] * x + to_image[1, 1] * y + to_image[1, 2]
            for ray in range(directions.shape[0]):
                ray_x, ray_y = directions[ray, 0], directions[ray, 1]
                along_x = to_image[0, 0] * ray_x + to_image[0, 1] * ray_y
                along_y = to_image[1, 0] * ray_x + to_image[1, 1] * ray_y
                step = _STEP_PX / np.sqrt(along_x * along_x + along_y * along_y)
                far = 0.0
                met = own
                for _ in range(_FARTHEST_STEPS):
                    far += step
                    met = _label_at(labels, image_x + far * along_x, image_y + far * along_y)
                    if met != own:
                        break
                near = far - step
                for _ in range(_BISECTIONS):
                    middle = 0.5 * (near + far)
                    if _label_at(labels, image_x + middle * along_x, image_y + middle * along_y) == own:
                        near = middle
                    else:
                        far = middle
                distance = 0.5 * (near + far)
                end_x, end_y = x + distance * ray_x, y + distance * ray_y
                distances[index, ray] = distance
                visible[index, ray] = (
                    met != own
                    and met != UNKNOWN
                    and window[0] <= end_x <= window[2]
                    and window[1] <= end_y <= window[3]
                )
            index += 1
