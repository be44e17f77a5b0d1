"""Rows of any exported file as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import NucleiColumns
from nucleate.export.slide.slide_table import ExportedNuclei


@dataclass(slots=True)
class MeasuredRows:
    """Rows as they are read; a measurement that a row lacks is not defined there."""

    numbers: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    areas_px: list[int] = field(default_factory=list)
    measurements: dict[str, dict[int, float]] = field(default_factory=dict)

    @classmethod
    def named(cls, measurement_names: Iterable[str]) -> Self:
        """Return no row yet, with the measurements that a file lists; others follow as they come."""
        return cls(measurements={name: {} for name in measurement_names})

    def add(self, *, number: int, score: float, area_px: int, **measurements: float) -> None:
        """Append a row."""
        for name, value in measurements.items():
            self.measurements.setdefault(name, {})[len(self.numbers)] = value
        self.numbers.append(number)
        self.scores.append(score)
        self.areas_px.append(area_px)

    def table(self) -> NDArray[np.float64]:
        """Return the (N, M) measurements."""
        values = np.full((len(self.numbers), len(self.measurements)), np.nan)
        for column, found in enumerate(self.measurements.values()):
            values[list(found), column] = list(found.values())
        return values


def columns_of(
    rows: MeasuredRows,
    *,
    classes: Sequence[str],
    class_names: Sequence[str],
    outlines: Any,
    cells: Any | None,
) -> ExportedNuclei:
    """Return rows as columns; boxes and centroids are those of the outlines.

    Args:
        rows: numbers, scores, areas and measurements.
        classes: (N,) names.
        class_names: those that the file lists, in order; others follow as they come.
        outlines: (N,) shapely geometries.
        cells: the same, or None.
    """
    names = tuple(dict.fromkeys([*class_names, *classes]))
    index_of = {name: index for index, name in enumerate(names)}
    outlines = np.asarray(outlines, np.object_).reshape(-1)
    nuclei = NucleiColumns(
        numbers=np.array(rows.numbers, np.int64),
        outlines_wkb=wkb(outlines),
        boxes_xyxy=shapely.bounds(outlines).reshape(-1, 4),
        centroids_xy=centroids_xy(outlines),
        areas_px=np.array(rows.areas_px, np.int64),
        class_indices=np.array([index_of[name] for name in classes], np.int64),
        scores=np.array(rows.scores, np.float32),
        measurement_names=tuple(rows.measurements),
        measurements=rows.table(),
    )
    return ExportedNuclei(
        nuclei=nuclei, class_names=names, cells_wkb=None if cells is None else wkb(np.asarray(cells, np.object_))
    )


def wkb(outlines: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return (N,) outlines as well-known binary."""
    return np.asarray(shapely.to_wkb(outlines), np.object_).reshape(-1)


def centroids_xy(outlines: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the (N, 2) centres of mass."""
    return np.asarray(shapely.get_coordinates(shapely.centroid(outlines))).reshape(-1, 2)
