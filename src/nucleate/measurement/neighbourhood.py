"""How densely nuclei lie, and how far the nearest is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nucleate.errors import ConfigError

RADIUS_UM = 50.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeighbourhoodMeasurements:
    """Neighbours of Q nuclei, each (Q,) float64; NaN for a nucleus without centroid.

    Attributes:
        density_per_mm2: other nuclei whose centroid is at most the radius away, by the circle's area. The circle is
            not cut at borders, so density falls towards the image's border.
        neighbour_distance_um: from centroid to the nearest other centroid, at whatever distance; NaN when alone.
    """

    density_per_mm2: NDArray[np.float64]
    neighbour_distance_um: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.density_per_mm2)

    def columns(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Iterate over names and arrays, in order."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))


def measure_neighbourhood(
    centroids_xy_um: NDArray[np.floating],
    query_indices: NDArray[np.integer] | None = None,
    *,
    radius_um: float = RADIUS_UM,
    workers: int = 1,
) -> NeighbourhoodMeasurements:
    """Return the neighbours of nuclei.

    Args:
        centroids_xy_um: (N, 2) centroids; a row that isn't finite is a nucleus without centroid and nobody's neighbour.
        query_indices: the Q nuclei to measure among all N, for instance those that one tile owns; all when left out.
        radius_um: of the circle in which neighbours are counted.
        workers: threads; -1 takes all cores.

    Returns:
        Q measurements, in the order of the query.

    Raises:
        ConfigError: the radius is not a positive number.
    """
    if not (math.isfinite(radius_um) and radius_um > 0):
        raise ConfigError(f"radius_um is {radius_um}: give a positive number")
    centroids = np.asarray(centroids_xy_um, np.float64).reshape(-1, 2)
    has_centroid = np.isfinite(centroids[:, 0]) & np.isfinite(centroids[:, 1])
    asked = np.arange(len(centroids)) if query_indices is None else np.asarray(query_indices, np.int64)
    density, distance = np.full((2, len(asked)), np.nan)
    found = has_centroid[asked]
    if found.any():
        tree = cKDTree(centroids[has_centroid])
        points = centroids[asked[found]]
        # Every nucleus finds itself too.
        neighbours = tree.query_ball_point(points, radius_um, return_length=True, workers=workers) - 1
        density[found] = neighbours / (math.pi * (radius_um / 1000) ** 2)
        nearest = tree.query(points, k=[2], workers=workers)[0][:, 0]
        distance[found] = np.where(np.isfinite(nearest), nearest, np.nan)
    return NeighbourhoodMeasurements(density_per_mm2=density, neighbour_distance_um=distance)
