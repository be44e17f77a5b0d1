"""What stands beside a slide's table: summary, tissue, thumbnail, density picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.export.nuclei_table import read_table_info
from nucleate.export.summary.picture import DensityStyle, Overlays, density_picture
from nucleate.export.summary.region_files import write_annotations
from nucleate.export.summary.slide import (
    SUMMARY_NAME,
    RunFacts,
    SlideSummary,
    area_in_mm2,
    summarise_table,
    write_summary,
)
from nucleate.files import read_rgb, write_image
from nucleate.slides import TISSUE_CLASS, Region, RegionIndex, RegionLimits, Tissue, read_region_file, tissue_region
from nucleate.slides.regions import polygons_of

TABLE_NAME = "nuclei.parquet"
TISSUE_NAME = "tissue.geojson"
THUMBNAIL_NAME = "thumbnail.png"
DENSITY_NAME = "density.png"

_TISSUE_RGB = (0, 140, 60)
# Our own file, along the thumbnail's pixels: many corners, one region.
_TISSUE_LIMITS = RegionLimits(max_bytes=512 * 2**20)
_THUMBNAIL_PX = 2048


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlideOverview:
    """What a results folder knows of its slide beside the table.

    Attributes:
        tissue: that was looked at; None where there is none, or nobody knows.
        thumbnail_rgb: (H, W, 3), the whole slide; None where there is none.
    """

    tissue: Region | None
    thumbnail_rgb: NDArray[np.uint8] | None


def write_overview(
    folder: Path, tissue: Tissue, *, roi: Sequence[Region] = (), run: RunFacts | None = None
) -> SlideSummary:
    """Write `summary.json`, `tissue.geojson`, `thumbnail.png` and `density.png` beside a slide's `nuclei.parquet`.

    A slide without tissue gets no `tissue.geojson`.

    Args:
        folder: the slide's results.
        tissue: of the slide.
        roi: the regions that the run was restricted to; none for the whole slide.
        run: how the nuclei were found.

    Returns:
        The summary.

    Raises:
        DataError: no table in the folder.
        ResultsError: the folder can't be written.
    """
    table = folder / TABLE_NAME
    info = read_table_info(table)
    looked_at = tissue_looked_at(tissue, roi)
    area_px = 0.0 if looked_at is None else looked_at.area_px
    summary = summarise_table(table, tissue_mm2=area_in_mm2(area_px, info.frame), run=run)
    # An earlier run's must not stand for a slide without tissue.
    (folder / TISSUE_NAME).unlink(missing_ok=True)
    if looked_at is not None:
        write_annotations(folder / TISSUE_NAME, [looked_at], slide=info.slide, colour_rgb=_TISSUE_RGB)
    thumbnail_rgb = _no_larger(tissue.thumbnail_rgb, _THUMBNAIL_PX)
    write_image(folder / THUMBNAIL_NAME, thumbnail_rgb)
    write_density_picture(
        folder / DENSITY_NAME, table, thumbnail_rgb=thumbnail_rgb, overlays=Overlays(tissue=looked_at)
    )
    # Last: it stands for a slide that is finished.
    write_summary(folder / SUMMARY_NAME, summary)
    return summary


def tissue_looked_at(tissue: Tissue, roi: Sequence[Region]) -> Region | None:
    """Return the tissue of a slide, of its regions where there are any; None where there is none."""
    looked_at = tissue_region(tissue)
    if looked_at is None or not roi:
        return looked_at
    common = polygons_of(shapely.intersection(looked_at.geometry, RegionIndex(roi).union))
    return None if common.is_empty else Region(name="tissue", geometry=common, classification=TISSUE_CLASS)


def read_overview(folder: Path) -> SlideOverview:
    """Read what `write_overview` left beside a table; what is not there is None.

    Raises:
        DataError: a file is damaged.
    """
    tissue, thumbnail_rgb = None, None
    if (folder / TISSUE_NAME).is_file():
        tissue = read_region_file(folder / TISSUE_NAME, limits=_TISSUE_LIMITS).regions[0]
    if (folder / THUMBNAIL_NAME).is_file():
        thumbnail_rgb = read_rgb(folder / THUMBNAIL_NAME)
    return SlideOverview(tissue=tissue, thumbnail_rgb=thumbnail_rgb)


def write_density_picture(
    path: Path,
    table: Path,
    *,
    thumbnail_rgb: NDArray[np.uint8],
    overlays: Overlays,
    style: DensityStyle | None = None,
) -> None:
    """Write `density_picture` as PNG, whole or not at all."""
    write_image(path, density_picture(table, thumbnail_rgb, overlays=overlays, style=style or DensityStyle()))


def _no_larger(image_rgb: NDArray[np.uint8], most_side_px: int) -> NDArray[np.uint8]:
    height_px, width_px = image_rgb.shape[:2]
    factor = most_side_px / max(height_px, width_px)
    if factor >= 1:
        return image_rgb
    size_wh = (max(1, round(width_px * factor)), max(1, round(height_px * factor)))
    return np.asarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
