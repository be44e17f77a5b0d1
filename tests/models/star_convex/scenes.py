"""Perfect answers of a network: maps made from known nuclei."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleate.models.star_convex.decoding import DenseMaps
from nucleate.models.star_convex.rays import GRID_PX, RAYS
from nucleate.training.star_convex.targets import Patch, relative_depth, trace_patch


def perfect_maps(labels: NDArray[np.int32], *, shrunk_by: int = 1) -> DenseMaps:
    """Return what a perfect network says of an image with these nuclei, seen that many times smaller.

    The sides are multiples of 2 times `shrunk_by`.
    """
    height_px, width_px = labels.shape[0] // shrunk_by, labels.shape[1] // shrunk_by
    whole = Patch(window_xyxy=(0, 0, width_px, height_px), to_image=shrunk_by * np.eye(2, 3))
    traced = trace_patch(labels, whole)
    inside = traced.labels > 0
    distances = np.ones((RAYS, *traced.labels.shape), np.float32)
    distances[:, inside] = traced.distances_px.T
    cell_px = GRID_PX * shrunk_by
    depth = relative_depth(labels)[cell_px // 2 :: cell_px, cell_px // 2 :: cell_px] / np.float32(255)
    # As sure as the share of a cell that nuclei cover.
    covered = (labels > 0).reshape(height_px // GRID_PX, cell_px, width_px // GRID_PX, cell_px).mean(axis=(1, 3))
    return DenseMaps(
        depth=np.where(inside, depth, 0).astype(np.float32),
        inside=covered.astype(np.float32),
        quality=np.ones(inside.shape, np.float32),
        log_distances=np.log(distances),
    )


def ellipses(side_px: int, count: int, *, radius_px: tuple[float, float], seed: int) -> NDArray[np.int32]:
    """Return a label map of up to `count` ellipses that don't overlap."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side_px, side_px), np.int32)
    rows, columns = np.mgrid[:side_px, :side_px] + 0.5
    number = 0
    for _ in range(count * 20):
        y, x = rng.uniform(0, side_px, 2)
        a, b = rng.uniform(*radius_px, 2)
        angle = rng.uniform(0, np.pi)
        u = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        v = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        drawn = (u / a) ** 2 + (v / b) ** 2 < 1
        if drawn.any() and not labels[drawn].any():
            number += 1
            labels[drawn] = number
        if number == count:
            break
    return labels
