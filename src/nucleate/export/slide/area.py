"""The part of a slide that an export is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import NucleiColumns
from nucleate.errors import ConfigError, DataError
from nucleate.slides import RegionIndex, read_regions


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportArea:
    """An area of a slide in level-0 pixels.

    Attributes:
        shape: a polygon or multipolygon.
    """

    shape: shapely.Geometry

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the region of `x1,y1,x2,y2`, or all polygons of a GeoJSON file together.

        Raises:
            ConfigError: four numbers that span no box.
            DataError: no such file, or no polygons in it.
        """
        try:
            x1, y1, x2, y2 = (float(side) for side in text.split(","))
        except ValueError:
            return cls(shape=_polygons(Path(text)))
        if not (math.isfinite(x1 + y1 + x2 + y2) and x1 < x2 and y1 < y2):
            raise ConfigError(f"--region {text}: x1,y1,x2,y2 with x1 below x2 and y1 below y2")
        return cls(shape=shapely.box(x1, y1, x2, y2))

    @property
    def window_xyxy(self) -> tuple[float, float, float, float]:
        """The box around it."""
        x1, y1, x2, y2 = shapely.bounds(self.shape).tolist()
        return x1, y1, x2, y2

    @property
    def corner_xy(self) -> tuple[int, int]:
        """The pixel of its upper left corner."""
        return math.floor(self.window_xyxy[0]), math.floor(self.window_xyxy[1])

    def holds(self, nuclei: NucleiColumns) -> NDArray[np.bool_]:
        """Return (N,) whether a nucleus' centroid lies inside."""
        return np.asarray(shapely.contains_xy(self.shape, nuclei.centroids_xy), np.bool_).reshape(-1)


def _polygons(path: Path) -> shapely.Geometry:
    if not path.is_file():
        raise DataError("no such file; or give --region x1,y1,x2,y2", path=path)
    return RegionIndex(read_regions(path)).union
