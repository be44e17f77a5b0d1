"""Slide tables with nuclei known beforehand, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from nucleate.core import Frame, NucleiColumns
from nucleate.export import NucleiTableInfo, NucleiTableWriter

MEASUREMENTS = ("area_um2", "perimeter_um", "haematoxylin_od_mean")


def drawn_nuclei(count: int, *, seed: int = 0, side_px: int = 4000, first_number: int = 1) -> NucleiColumns:
    """Return octagons of 10 to 30 px at random places, every third with class 1."""
    rng = np.random.default_rng(seed)
    radii = rng.integers(5, 16, count).astype(float)
    centres = np.rint(rng.uniform(40, side_px - 40, (count, 2)))
    squares = shapely.box(*(centres - radii[:, None]).T, *(centres + radii[:, None]).T)
    diamonds = shapely.buffer(shapely.points(centres), 1.2 * radii, quad_segs=1)
    outlines = np.asarray(shapely.intersection(squares, diamonds), np.object_).reshape(-1)
    areas = shapely.area(outlines)
    return NucleiColumns(
        numbers=np.arange(first_number, first_number + count),
        outlines_wkb=np.asarray(shapely.to_wkb(outlines), np.object_).reshape(-1),
        boxes_xyxy=np.asarray(shapely.bounds(outlines)).reshape(-1, 4),
        centroids_xy=centres,
        areas_px=np.rint(areas).astype(np.int64),
        class_indices=(np.arange(count) % 3 == 0).astype(np.int64),
        scores=rng.uniform(0.5, 1, count).astype(np.float32),
        measurement_names=MEASUREMENTS,
        measurements=np.stack([areas / 16, shapely.length(outlines) / 4, rng.uniform(0.2, 1, count)], axis=1),
    )


def table_info(side_px: int = 4000, *, mpp: float | None = 0.25) -> NucleiTableInfo:
    """Return what `drawn_nuclei` are about."""
    return NucleiTableInfo(
        slide="drawn.svs",
        frame=Frame(height_px=side_px, width_px=side_px, mpp=mpp),
        mpp_known_by=None if mpp is None else "file",
        class_names=("nucleus", "lymphocyte"),
        model="drawn",
        measurement_names=MEASUREMENTS,
    )


def write_table(path: Path, nuclei: NucleiColumns, info: NucleiTableInfo | None = None) -> Path:
    """Write a table and return its path."""
    with NucleiTableWriter(path, info or table_info()) as table:
        table.write(nuclei)
    return path
