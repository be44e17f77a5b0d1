"""The paths of ImageJ's composite regions (java.awt.geom.PathIterator's commands), as closed rings."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nucleate.data.sources.shapes import Ring

MOVE_TO, LINE_TO, QUADRATIC_TO, CUBIC_TO, CLOSE = range(5)
# Coordinates that follow each command.
_LENGTHS = {MOVE_TO: 2, LINE_TO: 2, QUADRATIC_TO: 4, CUBIC_TO: 6, CLOSE: 0}
_STEPS = np.arange(1, 17)[:, None] / 16
"""Curves become 16 lines."""


def path_rings(path: NDArray[np.float64]) -> list[Ring]:
    """Return one ring a subpath, curves as 16 lines.

    Args:
        path: (K,) commands, each followed by its coordinates.

    Raises:
        ValueError: an unknown command, a path that ends in the middle of one, or that starts without a place.
    """
    rings: list[list[NDArray[np.float64]]] = []
    place = 0
    while place < len(path):
        command = int(path[place]) if np.isfinite(path[place]) else -1
        length = _LENGTHS.get(command)
        if length is None:
            raise ValueError(f"a composite path has no command {path[place]:g}")
        numbers = path[place + 1 : place + 1 + length]
        if len(numbers) < length:
            raise ValueError("a composite path ends in the middle of a command")
        points = numbers.reshape(-1, 2)
        place += 1 + length
        if command == MOVE_TO:
            rings.append([points])
        elif not rings:
            raise ValueError("a composite path starts without a place")
        elif command != CLOSE:
            rings[-1].append(_curve(rings[-1][-1][-1], points))
    return [np.concatenate(ring) for ring in rings]


def _curve(start_xy: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points of a line, or of a Bezier curve of second or third order (de Casteljau)."""
    if len(points) == 1:
        return points
    layers = [np.broadcast_to(point, (len(_STEPS), 2)) for point in (start_xy, *points)]
    while len(layers) > 1:
        layers = [first + (second - first) * _STEPS for first, second in pairwise(layers)]
    return layers[0]
