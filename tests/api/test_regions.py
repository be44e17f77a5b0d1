"""`nucleate regions`: tables of a segmented slide's regions without the model."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from nucleate.api import RegionSettings, regions
from nucleate.cli import run
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.export.summary import write_overview
from nucleate.slides import Tissue, find_tissue, open_slide
from tests.tables import drawn_nuclei, table_info, write_table


def box(x1: float, y1: float, x2: float, y2: float, **properties: Any) -> dict[str, Any]:
    ring = [[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def saved(folder: Path, *features: dict[str, Any]) -> Path:
    path = folder / "tumour.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "drawn.nucleate"
    folder.mkdir()
    write_table(folder / "nuclei.parquet", drawn_nuclei(2000))
    return folder


@pytest.fixture
def whole(results: Path) -> Path:
    """Results with all that stands beside the table."""
    mask = np.ones((80, 80), np.bool_)
    tissue = Tissue(
        path=Path("drawn.svs"),
        thumbnail_rgb=np.full((80, 80, 3), 200, np.uint8),
        mask=mask,
        ink=~mask,
        downsample_xy=(50.0, 50.0),
        mpp=0.25,
    )
    write_overview(results, tissue)
    return results


SMALL = RegionSettings(hot_spots=2, hot_spot_mm2=0.05)


def test_regions_are_counted_and_written(whole: Path, tmp_path: Path) -> None:
    drawn = saved(tmp_path, box(0, 0, 2000, 4000, name="left"), box(3000, 0, 4000, 1000, name="corner"))
    report = regions(whole, regions=drawn, settings=SMALL)
    nuclei = drawn_nuclei(2000)
    x, y = nuclei.centroids_xy.T
    left, corner = x <= 2000, (x >= 3000) & (y <= 1000)
    assert [row.nuclei for row in report.rows] == [left.sum(), corner.sum(), (~left & ~corner).sum()]
    assert report.rows[0].tissue_mm2 == pytest.approx(0.5)
    assert len(report.hot_spots) == 2
    with (whole / "regions.csv").open(encoding="utf-8", newline="") as text:
        assert [int(row["nuclei"]) for row in csv.DictReader(text)] == [row.nuclei for row in report.rows]
    content = json.loads((whole / "regions.json").read_text())
    assert [each["nuclei"] for each in content["hot_spots"]] == [spot.nuclei for spot in report.hot_spots]
    assert content["hot_spot_settings"]["area_mm2"] == 0.05
    assert len(json.loads((whole / "hot_spots.geojson").read_text())["features"]) == 2
    assert (whole / "regions.png").is_file()


def test_the_table_alone_is_enough(results: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "tables"
    drawn = saved(tmp_path, box(0, 0, 2000, 4000))
    report = regions(results / "nuclei.parquet", regions=drawn, output=output, settings=SMALL)
    assert report.rows[0].tissue_mm2 is None
    assert {path.name for path in output.iterdir()} >= {"regions.csv", "regions.json", "hot_spots.geojson"}
    assert not (output / "regions.png").exists()
    assert not (results / "regions.csv").exists()


def test_the_command_prints_a_table(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}}
    drawn = saved(tmp_path, box(0, 0, 2000, 4000, name="left" * 20), box(3900, 0, 4100, 10, name="corner"), point)
    assert run(["regions", str(whole), "--regions", str(drawn), "--hot-spots", "1", "--hot-spot-mm2", "0.05"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["region", "mm2", "nuclei", "per", "mm2", "median", "area"]
    assert lines[1].startswith("leftleft")
    assert "um2" in lines[1]
    assert lines[2].split() == ["corner", "0.000", "0", "0"]
    assert lines[3].startswith("outside all regions")
    assert lines[4].startswith("hot spots, nuclei in each: ")
    assert lines[5] == "note: left out, no regions: 1 x Point"
    assert lines[6] == "note: region 'corner' lies partly beyond the slide"
    assert lines[7] == f"tables in {whole}"


def test_many_regions_are_cut_short_on_screen_only(results: Path, tmp_path: Path) -> None:
    drawn = saved(tmp_path, *(box(30 * place, 0, 30 * place + 20, 4000) for place in range(60)))
    report = regions(results, regions=drawn, settings=RegionSettings(hot_spots=0))
    assert len(report.rows) == 61
    text = report.summary()
    assert "and 21 more regions: see regions.csv" in text
    assert "region 39" in text
    assert "region 40 " not in text
    assert "outside all regions" in text


def test_without_um_a_note_says_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "drawn.nucleate"
    write_table(folder / "nuclei.parquet", drawn_nuclei(10), table_info(mpp=None))
    report = regions(folder, regions=saved(tmp_path, box(0, 0, 2000, 4000)))
    assert report.hot_spots == ()
    assert "segment with --mpp" in report.notes[0]


def test_mistakes_are_one_line(results: Path, tmp_path: Path) -> None:
    drawn = saved(tmp_path, box(0, 0, 2000, 4000))
    with pytest.raises(DataError, match="no such folder"):
        regions(tmp_path / "nowhere", regions=drawn)
    with pytest.raises(DataError, match="holds the results of 1 slides: give one, as drawn.nucleate"):
        regions(tmp_path, regions=drawn)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no nuclei.parquet in it"):
        regions(tmp_path / "bare", regions=drawn)
    with pytest.raises(DataError, match="no such file"):
        regions(results, regions=tmp_path / "none.geojson")
    with pytest.raises(ResultsError, match="is a file"):
        regions(results, regions=drawn, output=drawn)
    with pytest.raises(ConfigError, match="of 1000 mm2"):
        regions(results, regions=drawn, settings=RegionSettings(hot_spot_mm2=1000))
    with pytest.raises(DataError, match="lies on the slide"):
        regions(results, regions=saved(tmp_path, box(5000, 0, 6000, 10)))
    assert not (results / "regions.csv").exists()


@pytest.mark.shared_data
def test_regions_of_the_sample_slide(shared_data: Path, tmp_path: Path) -> None:
    slide = open_slide(shared_data / "wsi" / "CMU-1-Small-Region.svs")
    frame = slide.info.frame
    nuclei = drawn_nuclei(500, side_px=2220)
    info = table_info()
    write_table(tmp_path / "nuclei.parquet", nuclei, type(info)(**{
        **{name: getattr(info, name) for name in type(info).__slots__}, "frame": frame
    }))  # fmt: skip
    summary = write_overview(tmp_path, find_tissue(slide))
    assert summary.tissue_mm2 == pytest.approx(0.648, abs=0.01)
    report = regions(tmp_path, regions=saved(tmp_path, box(300, 300, 1700, 1500)), settings=SMALL)
    assert report.rows[0].nuclei == shapely.contains_xy(shapely.box(300, 300, 1700, 1500), *nuclei.centroids_xy.T).sum()
    assert (tmp_path / "regions.png").is_file()
