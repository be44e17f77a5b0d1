"""What stands beside a table is written together and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from nucleate.export.summary import read_overview, read_summary, write_overview
from nucleate.files import read_rgb
from nucleate.slides import Region, Tissue
from tests.tables import drawn_nuclei, write_table


def tissue_of(mask: NDArray[np.bool_], side_px: int = 4000) -> Tissue:
    return Tissue(
        path=Path("drawn.svs"),
        thumbnail_rgb=np.full((*mask.shape, 3), 200, np.uint8),
        mask=mask,
        ink=np.zeros_like(mask),
        downsample_xy=(side_px / mask.shape[1], side_px / mask.shape[0]),
        mpp=0.25,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "drawn.nucleate"
    folder.mkdir()
    write_table(folder / "nuclei.parquet", drawn_nuclei(300))
    return folder


def left_half() -> NDArray[np.bool_]:
    mask = np.zeros((100, 100), np.bool_)
    mask[:, :50] = True
    return mask


def test_overview_is_written_and_read_back(folder: Path) -> None:
    summary = write_overview(folder, tissue_of(left_half()))
    assert summary.tissue_mm2 == pytest.approx(0.5)
    assert summary.nuclei_per_mm2 == pytest.approx(600)
    assert read_summary(folder / "summary.json") == summary
    overview = read_overview(folder)
    assert overview.tissue is not None
    assert overview.tissue.geometry.equals(shapely.box(0, 0, 2000, 4000))
    assert overview.thumbnail_rgb is not None
    assert overview.thumbnail_rgb.shape == (100, 100, 3)
    assert max(read_rgb(folder / "density.png").shape) > 1200


def test_regions_of_interest_restrict_the_tissue(folder: Path) -> None:
    roi = [Region(name="roi", geometry=shapely.box(1000, 1000, 3000, 2000))]
    assert write_overview(folder, tissue_of(left_half()), roi=roi).tissue_mm2 == pytest.approx(1 / 16)
    overview = read_overview(folder)
    assert overview.tissue is not None
    assert overview.tissue.geometry.equals(shapely.box(1000, 1000, 2000, 2000))
    away = [Region(name="roi", geometry=shapely.box(3000, 1000, 3500, 2000))]
    assert write_overview(folder, tissue_of(left_half()), roi=away).tissue_mm2 == 0


def test_a_slide_without_tissue_has_none_beside_it(folder: Path) -> None:
    write_overview(folder, tissue_of(left_half()))
    summary = write_overview(folder, tissue_of(np.zeros((100, 100), np.bool_)))
    assert (summary.tissue_mm2, summary.nuclei_per_mm2) == (0, None)
    assert read_overview(folder).tissue is None


def test_large_thumbnails_are_made_smaller(folder: Path) -> None:
    write_overview(folder, tissue_of(np.zeros((10, 4000), np.bool_)))
    thumbnail_rgb = read_overview(folder).thumbnail_rgb
    assert thumbnail_rgb is not None
    assert thumbnail_rgb.shape == (5, 2048, 3)


def test_a_bare_table_has_no_overview(folder: Path) -> None:
    overview = read_overview(folder)
    assert (overview.tissue, overview.thumbnail_rgb) == (None, None)
