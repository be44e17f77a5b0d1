"""The density picture shows where nuclei are, what the colours mean and how long a millimetre is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from nucleate.core import NucleiColumns
from nucleate.errors import ConfigError
from nucleate.export.summary import DensityStyle, HotSpotSettings, Overlays, density_picture, find_hot_spots
from nucleate.export.summary.picture import _density
from nucleate.slides import Region
from nucleate.slides.regions import dissolved
from tests.tables import drawn_nuclei, table_info, write_table

STYLE = DensityStyle(longest_px=400, smoothing_um=20)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Nuclei in the left half of a slide of 1 mm a side."""
    drawn = drawn_nuclei(4000)
    values = {name: getattr(drawn, name) for name in NucleiColumns.__slots__}
    values["centroids_xy"] = drawn.centroids_xy * (0.5, 1)
    return write_table(tmp_path / "nuclei.parquet", NucleiColumns(**values))


def colourful(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.asarray(picture.max(axis=2).astype(int) - picture.min(axis=2), np.int64)


def test_density_is_nuclei_per_mm2(table: Path) -> None:
    density = _density(table, table_info().frame, None, STYLE)
    assert density.shape == (400, 400)
    # 4000 nuclei in half a mm2, but for the border without any.
    assert np.median(density[100:300, 50:150]) == pytest.approx(8000, rel=0.1)
    assert density[:, 320:].max() == pytest.approx(0, abs=1e-6)


def test_density_doesnt_fall_off_at_the_edge_of_tissue(table: Path) -> None:
    tissue = Region(name="tissue", geometry=shapely.box(500, 500, 1200, 3500))
    density = _density(table, table_info().frame, tissue, DensityStyle(longest_px=400, smoothing_um=60))
    assert np.isnan(density[:, 320:]).all()
    assert np.median(density[60:340, 52]) > 5500


def test_without_um_density_is_per_million_pixels(tmp_path: Path) -> None:
    info = table_info(mpp=None)
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(4000), info)
    assert np.median(_density(table, info.frame, None, STYLE)) == pytest.approx(250, rel=0.1)
    assert density_picture(table, np.full((100, 100, 3), 240, np.uint8), style=STYLE).shape == (452, 544, 3)


def test_picture_has_slide_colour_bar_and_scale_bar(table: Path) -> None:
    picture = density_picture(table, np.full((300, 300, 3), 240, np.uint8), style=STYLE)
    assert picture.shape == (452, 544, 3)
    assert picture.dtype == np.uint8
    slide = picture[40:440, 12:412]
    # Yellow and green where nuclei are dense, violet where none are.
    assert slide[100:300, 50:150, 1].mean() > slide[100:300, 250:350, 1].mean() + 40
    # 0.2 mm are 80 of the 400 pixels.
    bar = (slide[380:390] == 0).all(axis=2)
    assert bar.any(axis=0).sum() == pytest.approx(80, abs=2)
    assert len(np.unique(picture[60:420, 428:446].reshape(-1, 3), axis=0)) > 50


def test_overlays_are_drawn(table: Path) -> None:
    tissue = Region(name="tissue", geometry=shapely.box(0, 0, 2200, 4000))
    regions = (
        Region(name="$alpha$ " + "long " * 20, geometry=shapely.box(400, 400, 1200, 1500)),
        Region(name="two", geometry=dissolved([shapely.box(0, 2000, 500, 2500), shapely.box(1000, 2000, 1500, 2500)])),
    )
    spots = find_hot_spots(table, settings=HotSpotSettings(area_mm2=0.04, number=2))
    grey = np.full((300, 300, 3), 240, np.uint8)
    plain = density_picture(table, grey, style=STYLE, overlays=Overlays(tissue=tissue))
    drawn = density_picture(
        table, grey, style=STYLE, overlays=Overlays(tissue=tissue, regions=regions, hot_spots=spots)
    )
    assert (colourful(plain[40:440, 300:410]) == 0).all()
    changed = (plain != drawn).any(axis=2)
    assert changed[40 + 40 : 40 + 150, 12 + 40].mean() > 0.9
    assert len(spots) == 2
    x, y = spots[0].centre_xy
    radius = 800 / np.sqrt(np.pi)
    assert changed[40 + int(y / 10) + 1 - 2 : 40 + int(y / 10) + 3, 12 + int((x + radius) / 10) - 2 :][:, :5].any()


def test_a_small_slide_without_nuclei_is_drawn(tmp_path: Path) -> None:
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(0), table_info(90))
    picture = density_picture(table, np.full((90, 90, 3), 240, np.uint8), style=STYLE)
    assert picture.shape == (452, 544, 3)


def test_few_nuclei_have_a_colour_scale(tmp_path: Path) -> None:
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(1))
    style = DensityStyle(longest_px=400, smoothing_um=1)
    assert density_picture(table, np.full((90, 90, 3), 240, np.uint8), style=style).shape == (452, 544, 3)


def test_pictures_have_a_size() -> None:
    with pytest.raises(ConfigError, match="a picture of 100 px: 200 to 10,000"):
        DensityStyle(longest_px=100)
