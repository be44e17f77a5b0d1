"""Tables of regions are what shapely and numpy say of every nucleus, one by one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from shapely.geometry import Point

from nucleate.core import NucleiColumns
from nucleate.errors import DataError
from nucleate.export import NucleiTableWriter, read_table_info
from nucleate.export.summary import (
    MOST_RELATIVE_ERROR,
    OUTSIDE_NAME,
    HotSpotSettings,
    RegionResults,
    RegionRow,
    region_table,
    write_annotations,
    write_regions_csv,
    write_regions_json,
)
from nucleate.slides import Region, read_regions
from nucleate.slides.regions import dissolved, polygons_of
from tests.tables import drawn_nuclei, table_info, write_table

RING = polygons_of(shapely.difference(shapely.box(500, 500, 2500, 2500), shapely.box(1000, 1000, 1500, 1500)))
REGIONS = (
    Region(name="ring", geometry=RING, classification="Tumor"),
    Region(name="across", geometry=shapely.box(2000, 2000, 3000, 3000)),
    Region(name="edge", geometry=shapely.box(3500, -500, 4500, 500), note="mended"),
    Region(name="away", geometry=shapely.box(9000, 0, 9100, 100)),
    Region(name="empty", geometry=shapely.box(0, 0, 5, 5)),
)
TISSUE = Region(name="tissue", geometry=shapely.box(0, 0, 2000, 4000))


@pytest.fixture(scope="module")
def nuclei() -> NucleiColumns:
    return NucleiColumns.concatenate([drawn_nuclei(10_000, seed=1), drawn_nuclei(10_000, seed=2, first_number=10_001)])


@pytest.fixture(scope="module")
def table(nuclei: NucleiColumns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "nuclei.parquet"
    with NucleiTableWriter(path, table_info()) as writer:
        writer.write(nuclei)
    return path


def check_row(row: RegionRow, inside: NDArray[np.bool_], nuclei: NucleiColumns) -> None:
    assert row.nuclei == inside.sum()
    assert [each.count for each in row.classes] == np.bincount(nuclei.class_indices[inside], minlength=2).tolist()
    columns = [nuclei.areas_px.astype(float), *nuclei.measurements.astype(np.float32).astype(float).T]
    for found, values in zip(row.distributions, columns, strict=True):
        known = values[inside]
        assert found.count == len(known)
        assert found.mean == pytest.approx(known.mean())
        assert found.sd == pytest.approx(known.std(ddof=1))
        middle = np.array([found.p5, found.p25, found.median, found.p75, found.p95], float)
        expected = np.percentile(known, [5, 25, 50, 75, 95])
        np.testing.assert_allclose(middle, expected, rtol=1.01 * MOST_RELATIVE_ERROR)


def test_rows_are_what_every_nucleus_says(table: Path, nuclei: NucleiColumns) -> None:
    rows = region_table(table, REGIONS, tissue=TISSUE)
    assert [row.name for row in rows] == ["ring", "across", "edge", "away", "empty", OUTSIDE_NAME]
    assert [row.number for row in rows] == [1, 2, 3, 4, 5, None]
    points = [Point(centre) for centre in nuclei.centroids_xy]
    inside = np.array([[region.geometry.covers(point) for point in points] for region in REGIONS])
    for place in (0, 1, 2):
        check_row(rows[place], inside[place], nuclei)
    check_row(rows[-1], np.asarray(~inside.any(axis=0)), nuclei)
    assert rows[3].nuclei == rows[4].nuclei == 0


def test_areas_are_what_lies_on_the_slide(table: Path) -> None:
    rows = region_table(table, REGIONS, tissue=TISSUE)
    assert [row.area_px for row in rows] == [3.75e6, 1e6, 0.25e6, 0, 25, 16e6 - 3.75e6 - 1e6 + 0.25e6 - 0.25e6 - 25]
    # 0.25 um a pixel: 16 million pixels are a mm2.
    assert rows[0].area_mm2 == pytest.approx(3.75 / 16)
    assert rows[0].tissue_mm2 == pytest.approx((3.75 - 1) / 16)
    assert rows[0].nuclei_per_mm2 == pytest.approx(rows[0].nuclei / (3.75 / 16))
    assert rows[0].nuclei_per_tissue_mm2 == pytest.approx(rows[0].nuclei / (2.75 / 16))
    assert rows[0].classes[0].per_mm2 == pytest.approx(rows[0].classes[0].count / (3.75 / 16))
    assert (rows[3].nuclei_per_mm2, rows[1].nuclei_per_tissue_mm2) == (None, None)
    assert [row.note for row in rows] == [
        "", "", "mended; lies partly beyond the slide", "lies beyond the slide", "", "",
    ]  # fmt: skip


def test_without_tissue_its_columns_are_unknown(table: Path) -> None:
    rows = region_table(table, REGIONS[:1])
    assert {(row.tissue_mm2, row.nuclei_per_tissue_mm2) for row in rows} == {(None, None)}


def test_without_um_areas_are_pixels_only(tmp_path: Path) -> None:
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(100), table_info(mpp=None))
    row = region_table(table, REGIONS, tissue=TISSUE)[0]
    assert (row.area_mm2, row.tissue_mm2, row.nuclei_per_mm2, row.classes[0].per_mm2) == (None,) * 4
    assert row.area_px == 3.75e6


def test_a_slide_without_nuclei_has_rows(tmp_path: Path) -> None:
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(0))
    rows = region_table(table, REGIONS)
    assert {row.nuclei for row in rows} == {0}
    assert rows[0].distributions[0].mean is None


def test_regions_of_another_image_are_refused(table: Path) -> None:
    with pytest.raises(DataError, match=r"none of 1 regions lies on the slide \(4000 x 4000 px\)"):
        region_table(table, REGIONS[3:4])


def test_csv_has_a_line_a_region(table: Path, tmp_path: Path) -> None:
    rows = region_table(table, REGIONS, tissue=TISSUE)
    write_regions_csv(tmp_path / "regions.csv", rows)
    with (tmp_path / "regions.csv").open(encoding="utf-8", newline="") as text:
        records = list(csv.DictReader(text))
    assert [record["name"] for record in records] == [row.name for row in rows]
    first, last = records[0], records[-1]
    assert (first["number"], last["number"], last["classification"]) == ("1", "", "")
    assert int(first["nuclei: lymphocyte"]) == rows[0].classes[1].count
    assert float(first["nuclei per mm2: lymphocyte"]) == rows[0].classes[1].per_mm2
    assert float(first["nucleus_area_um2_p95"]) == rows[0].distributions[1].p95
    assert float(first["perimeter_um_median"]) == rows[0].distributions[2].median
    assert "perimeter_um_p95" not in first
    assert records[4]["nucleus_area_px_mean"] == ""
    write_regions_csv(tmp_path / "none.csv", ())
    assert (tmp_path / "none.csv").read_text() == ""


def test_json_has_full_distributions(table: Path, tmp_path: Path) -> None:
    rows = region_table(table, REGIONS)
    results = RegionResults(
        info=read_table_info(table),
        source="tumour.geojson",
        rows=rows,
        hot_spots=(),
        hot_spot_settings=HotSpotSettings(),
        notes=("a note",),
    )
    write_regions_json(tmp_path / "regions.json", results)
    content = json.loads((tmp_path / "regions.json").read_text())
    assert [each["name"] for each in content["regions"]] == [region.name for region in REGIONS]
    assert content["outside"]["nuclei"] == rows[-1].nuclei
    assert content["regions"][0]["distributions"]["perimeter_um"]["p95"] == rows[0].distributions[2].p95
    assert (content["source"], content["notes"], content["mpp"]) == ("tumour.geojson", ["a note"], 0.25)
    write_regions_json(tmp_path / "regions.json", RegionResults(
        info=results.info, source="", rows=(), hot_spots=(), hot_spot_settings=HotSpotSettings()
    ))  # fmt: skip
    assert json.loads((tmp_path / "regions.json").read_text())["outside"] is None


def test_annotations_come_back_as_regions(tmp_path: Path) -> None:
    several = Region(name="two", geometry=dissolved([shapely.box(0, 0, 1, 1), shapely.box(5, 0.5, 6, 1)]))
    write_annotations(tmp_path / "a.geojson", [*REGIONS, several], slide="x.svs", colour_rgb=(1, 2, 3))
    found = read_regions(tmp_path / "a.geojson")
    assert [(each.name, each.classification) for each in found] == [
        (each.name, each.classification) for each in (*REGIONS, several)
    ]
    assert all(a.geometry.equals(b.geometry) for a, b in zip(found, (*REGIONS, several), strict=True))
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert len({each["id"] for each in features}) == 6
    assert features[0]["properties"]["classification"] == {"name": "Tumor", "color": [1, 2, 3]}
    assert features[0]["properties"]["objectType"] == "annotation"
