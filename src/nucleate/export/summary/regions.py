"""A slide's nuclei region by region, and outside all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from nucleate.core import Frame, NucleiColumns
from nucleate.errors import DataError
from nucleate.export.nuclei_table import NucleiTableInfo, read_nuclei, read_table_info
from nucleate.export.summary.distributions import Distribution, DistributionSketch, sketches_of
from nucleate.export.summary.slide import ClassCount, area_in_mm2, class_counts, per_mm2
from nucleate.slides import Region, RegionIndex

OUTSIDE_NAME = "outside all regions"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRow:
    """The nuclei with their centroid in one region, or in none.

    Attributes:
        number: the region's place in its file, from 1; None for the row of all that lies outside.
        name: of the region.
        classification: its class in QuPath, None where it has none.
        area_px: level-0 pixels of it on the slide; of the whole rest of the slide for the outside.
        area_mm2: the same; None where um a pixel are unknown.
        tissue_mm2: tissue in it; None where um a pixel or the tissue are unknown.
        nuclei: count.
        nuclei_per_mm2: by `area_mm2`, None where that is unknown or nothing.
        nuclei_per_tissue_mm2: by `tissue_mm2`, None where that is unknown or nothing.
        classes: counts class by class, their densities by `area_mm2`.
        distributions: `area_px` and every measurement.
        note: what was mended in the region, or where it lies; "" for nothing.
    """

    number: int | None
    name: str
    classification: str | None
    area_px: float
    area_mm2: float | None
    tissue_mm2: float | None
    nuclei: int
    nuclei_per_mm2: float | None
    nuclei_per_tissue_mm2: float | None
    classes: tuple[ClassCount, ...]
    distributions: tuple[Distribution, ...]
    note: str = ""


def region_table(path: Path, regions: Sequence[Region], *, tissue: Region | None = None) -> tuple[RegionRow, ...]:
    """Read a table once and return a row a region, in order, and a last one for what lies in none of them.

    A nucleus belongs where its centroid lies, borders included: to each of several regions that overlap there.

    Args:
        path: the table.
        regions: at least one.
        tissue: of the slide; None where unknown.

    Raises:
        DataError: no table that `segment` wrote, or no region lies on the slide.
    """
    info = read_table_info(path)
    slide = shapely.box(0, 0, info.frame.width_px, info.frame.height_px)
    on_slide = [shapely.intersection(region.geometry, slide) for region in regions]
    if not any(geometry.area for geometry in on_slide):
        raise DataError(
            f"none of {len(regions):,} regions lies on the slide ({info.frame.width_px} x {info.frame.height_px} px): "
            "they are another image's, or not in its finest pixels",
            path=path,
        )
    index = RegionIndex(regions)
    tallies = [_Tally(info) for _ in range(len(regions) + 1)]
    for nuclei in read_nuclei(path):
        members = index.members(nuclei.centroids_xy)
        for region_index in np.unique(members.region_indices).tolist():
            tallies[region_index].add(nuclei, members.of(region_index))
        outside = np.ones(len(nuclei), np.bool_)
        outside[members.point_indices] = False
        tallies[-1].add(nuclei, np.flatnonzero(outside))
    rows = []
    for number, (region, geometry, tally) in enumerate(zip(regions, on_slide, tallies[:-1], strict=True), 1):
        notes = [region.note] if region.note else []
        if geometry.area < (1 - 1e-9) * region.area_px:
            notes.append("lies beyond the slide" if not geometry.area else "lies partly beyond the slide")
        place = _Place(
            number=number, name=region.name, classification=region.classification, note="; ".join(notes), on=geometry
        )
        rows.append(_row(place, tally, tissue))
    rest = _Place(number=None, name=OUTSIDE_NAME, on=shapely.difference(slide, index.union))
    return (*rows, _row(rest, tallies[-1], tissue))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Place:
    number: int | None
    name: str
    classification: str | None = None
    note: str = ""
    on: BaseGeometry


class _Tally:
    """What has been counted in one region so far."""

    def __init__(self, info: NucleiTableInfo) -> None:
        self.frame: Frame = info.frame
        self.class_names = info.class_names
        self.counts = np.zeros(len(info.class_names), np.int64)
        self.sketches: tuple[DistributionSketch, ...] = sketches_of(("area_px", *info.measurement_names))

    def add(self, nuclei: NucleiColumns, rows: NDArray[np.int64]) -> None:
        self.counts += np.bincount(nuclei.class_indices[rows], minlength=len(self.counts))
        columns: list[NDArray[Any]] = [nuclei.areas_px, *nuclei.measurements.T]
        for sketch, values in zip(self.sketches, columns, strict=True):
            sketch.add(values[rows])


def _row(place: _Place, tally: _Tally, tissue: Region | None) -> RegionRow:
    area_mm2 = area_in_mm2(place.on.area, tally.frame)
    tissue_mm2 = None
    if tissue is not None:
        tissue_mm2 = area_in_mm2(shapely.intersection(place.on, tissue.geometry).area, tally.frame)
    count = int(tally.counts.sum())
    return RegionRow(
        number=place.number,
        name=place.name,
        classification=place.classification,
        area_px=float(place.on.area),
        area_mm2=area_mm2,
        tissue_mm2=tissue_mm2,
        nuclei=count,
        nuclei_per_mm2=per_mm2(count, area_mm2),
        nuclei_per_tissue_mm2=per_mm2(count, tissue_mm2),
        classes=class_counts(tally.class_names, tally.counts, area_mm2),
        distributions=tuple(sketch.distribution() for sketch in tally.sketches),
        note=place.note,
    )
