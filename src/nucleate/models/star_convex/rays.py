"""The rays of star-convex polygons (Schmidt et al., MICCAI 2018): one fan of directions for targets and outlines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RAYS = 32
GRID_PX = 2
"""Pixels of the network's input a cell of its output; a cell's rays start at the cell's centre."""
LOG_DISTANCE_BOUNDS = (-2.0, 5.5)
"""Natural logarithms of the shortest and the longest ray, input pixels: 0.14 to 245."""


def ray_directions(rays: int = RAYS) -> NDArray[np.float64]:
    """Return (rays, 2) unit vectors x, y: the first to the right, then towards growing y, evenly spread."""
    angles = 2 * np.pi * np.arange(rays) / rays
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def cell_centres_xy(height: int, width: int) -> NDArray[np.float64]:
    """Return (height, width, 2): where the rays of each cell of an output start, in input pixels."""
    x = (np.arange(width) + 0.5) * GRID_PX
    y = (np.arange(height) + 0.5) * GRID_PX
    return np.stack(np.meshgrid(x, y), axis=2)
