"""Nuclei along pixel edges that don't overlap: blobs on a grid, one with a hole, one in two parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import Frame, NucleiColumns
from nucleate.export import NucleiTableInfo, mask_geometry
from nucleate.export.slide import SlideTable
from tests.export.slide.bitmaps import one_mask
from tests.tables import write_table

PITCH_PX = 40
MEASUREMENTS = ("area_um2", "major_axis_um", "ring_eosin_od_sd", "chromatin", "neighbour_distance_um")
MPP = 0.25


def blob_table(folder: Path, *, columns: int = 9, rows: int = 7, mpp: float | None = MPP) -> SlideTable:
    """Write a slide's results and open them."""
    path = folder / "blobs.nucleate" / "nuclei.parquet"
    path.parent.mkdir(parents=True)
    return SlideTable.open(write_table(path, blob_nuclei(columns, rows), blob_info(columns, rows, mpp=mpp)))


def blob_info(columns: int = 9, rows: int = 7, *, mpp: float | None = MPP) -> NucleiTableInfo:
    return NucleiTableInfo(
        slide="blobs.svs",
        frame=Frame(height_px=rows * PITCH_PX, width_px=columns * PITCH_PX, mpp=mpp),
        mpp_known_by=None if mpp is None else "file",
        class_names=("nucleus", "lymphocyte"),
        model="drawn",
        measurement_names=MEASUREMENTS,
    )


def blob_nuclei(columns: int = 9, rows: int = 7, *, first_number: int = 1) -> NucleiColumns:
    rng = np.random.default_rng(7)
    count = columns * rows
    outlines = np.empty(count, np.object_)
    for index in range(count):
        corner = np.array([index % columns, index // columns]) * PITCH_PX
        corner = corner + rng.integers(4, 12, 2)
        outlines[index] = shapely.transform(
            mask_geometry(one_mask(_bitmap(index, rng)), 0), lambda xy, by=corner: xy + by
        )
    areas = shapely.area(outlines)
    measured = np.stack([areas * MPP**2, *rng.uniform(0, 9, (4, count))], axis=1).astype(np.float32).astype(float)
    # Not defined for the second nucleus.
    measured[1:2, 2] = np.nan
    return NucleiColumns(
        numbers=np.arange(first_number, first_number + count),
        outlines_wkb=np.asarray(shapely.to_wkb(outlines), np.object_).reshape(-1),
        boxes_xyxy=shapely.bounds(outlines).reshape(-1, 4),
        centroids_xy=shapely.get_coordinates(shapely.centroid(outlines)).reshape(-1, 2),
        areas_px=np.rint(areas).astype(np.int64),
        class_indices=(np.arange(count) % 3 == 0).astype(np.int64),
        scores=rng.uniform(0.5, 1, count).astype(np.float32),
        measurement_names=MEASUREMENTS,
        measurements=measured,
    )


def _bitmap(index: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a blob; the first has a hole, the second two parts that touch at a corner, the third two apart."""
    size = 23
    ys, xs = np.mgrid[:size, :size] - size // 2
    radii = rng.uniform(5, 11, 2)
    bitmap = (xs / radii[0]) ** 2 + (ys / radii[1]) ** 2 <= 1
    if index == 0:
        bitmap = xs**2 + ys**2 <= 100
        bitmap[9:13, 8:15] = False
    if index == 1:
        bitmap = np.zeros((size, size), np.bool_)
        bitmap[2:9, 2:9] = bitmap[9:18, 9:20] = True
    if index == 2:
        bitmap = np.abs(xs) > 6
    return np.asarray(bitmap, np.bool_)
