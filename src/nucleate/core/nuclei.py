"""The nuclei of a slide as columns: a million rows are a handful of arrays, not a million objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NucleiColumns:
    """N nuclei, coordinates in level-0 pixels of their slide. Zero nuclei is an ordinary value.

    Attributes:
        numbers: (N,) int64, the nuclei's names on their slide, from 1.
        outlines_wkb: (N,) object, each outline along pixel edges as well-known binary (polygon or multipolygon).
        boxes_xyxy: (N, 4) float64, what hugs the outline.
        centroids_xy: (N, 2) float64, mean of the pixels' centres.
        areas_px: (N,) int64.
        class_indices: (N,) int64, 0-based.
        scores: (N,) float32 in [0, 1].
        measurement_names: names of the M measurements, with their units (`area_um2`).
        measurements: (N, M) float64; NaN where one is not defined.
    """

    numbers: NDArray[np.int64]
    outlines_wkb: NDArray[np.object_]
    boxes_xyxy: NDArray[np.float64]
    centroids_xy: NDArray[np.float64]
    areas_px: NDArray[np.int64]
    class_indices: NDArray[np.int64]
    scores: NDArray[np.float32]
    measurement_names: tuple[str, ...]
    measurements: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.numbers)
        shapes = {
            "outlines_wkb": (count,),
            "boxes_xyxy": (count, 4),
            "centroids_xy": (count, 2),
            "areas_px": (count,),
            "class_indices": (count,),
            "scores": (count,),
            "measurements": (count, len(self.measurement_names)),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"{name} has the shape {getattr(self, name).shape} where {shape} is needed")

    @classmethod
    def empty(cls, measurement_names: Sequence[str] = ()) -> NucleiColumns:
        """Return no nucleus at all."""
        return cls(
            numbers=np.zeros(0, np.int64),
            outlines_wkb=np.zeros(0, np.object_),
            boxes_xyxy=np.zeros((0, 4)),
            centroids_xy=np.zeros((0, 2)),
            areas_px=np.zeros(0, np.int64),
            class_indices=np.zeros(0, np.int64),
            scores=np.zeros(0, np.float32),
            measurement_names=tuple(measurement_names),
            measurements=np.zeros((0, len(measurement_names))),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def outlines(self) -> NDArray[np.object_]:
        """Return (N,) shapely polygons and multipolygons."""
        return np.asarray(shapely.from_wkb(self.outlines_wkb), np.object_).reshape(-1)

    def measurement(self, name: str) -> NDArray[np.float64]:
        """Return (N,) values of one measurement.

        Raises:
            DataError: there is none of that name.
        """
        if name not in self.measurement_names:
            raise DataError(f"no measurement {name!r}; there are: {', '.join(self.measurement_names) or 'none'}")
        return self.measurements[:, self.measurement_names.index(name)]

    def select(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> NucleiColumns:
        """Return the nuclei at the given indices (or where a boolean is true), in that order."""
        return NucleiColumns(
            numbers=self.numbers[indices],
            outlines_wkb=self.outlines_wkb[indices],
            boxes_xyxy=self.boxes_xyxy[indices],
            centroids_xy=self.centroids_xy[indices],
            areas_px=self.areas_px[indices],
            class_indices=self.class_indices[indices],
            scores=self.scores[indices],
            measurement_names=self.measurement_names,
            measurements=self.measurements[indices],
        )

    @staticmethod
    def concatenate(parts: Sequence[NucleiColumns]) -> NucleiColumns:
        """Return the nuclei of at least one part, in order; all parts hold the same measurements."""
        names = {part.measurement_names for part in parts}
        if len(names) != 1:
            raise DataError("tables with different measurements can't be one")
        return NucleiColumns(
            numbers=np.concatenate([part.numbers for part in parts]),
            outlines_wkb=np.concatenate([part.outlines_wkb for part in parts]),
            boxes_xyxy=np.concatenate([part.boxes_xyxy for part in parts]),
            centroids_xy=np.concatenate([part.centroids_xy for part in parts]),
            areas_px=np.concatenate([part.areas_px for part in parts]),
            class_indices=np.concatenate([part.class_indices for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            measurement_names=parts[0].measurement_names,
            measurements=np.concatenate([part.measurements for part in parts]),
        )
