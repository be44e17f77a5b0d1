"""GeoJSON of slides opens in geopandas, has QuPath's documented fields, and comes back."""

from __future__ import annotations

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from nucleate.errors import DataError
from nucleate.export.slide import SlideTable, read_slide_geojson, with_cells, write_slide_geojson
from tests.export.slide.drawn_table import blob_nuclei, blob_table
from tests.export.slide.sameness import assert_same_nuclei
from tests.tables import drawn_nuclei, table_info, write_table


def features(path: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    document = json.loads(text)
    assert document["type"] == "FeatureCollection"
    return list(document["features"])


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz"])
def test_nuclei_come_back(tmp_path: Path, name: str) -> None:
    write_slide_geojson(tmp_path / name, blob_table(tmp_path))
    assert_same_nuclei(read_slide_geojson(tmp_path / name), blob_nuclei())


def test_geopandas_opens_it(tmp_path: Path) -> None:
    nuclei = blob_nuclei()
    write_slide_geojson(tmp_path / "a.geojson", blob_table(tmp_path))
    frame = geopandas.read_file(tmp_path / "a.geojson")
    assert len(frame) == len(nuclei)
    assert shapely.equals(frame.geometry.to_numpy(), nuclei.outlines()).all()
    assert set(frame["objectType"]) == {"detection"}


def test_feature_has_qupaths_fields_and_names(tmp_path: Path) -> None:
    write_slide_geojson(tmp_path / "a.geojson", blob_table(tmp_path))
    first, second, *_ = features(tmp_path / "a.geojson")
    assert first["type"] == "Feature"
    assert uuid.UUID(first["id"]) != uuid.UUID(second["id"])
    properties = first["properties"]
    assert properties["objectType"] == "detection"
    assert properties["isLocked"] is False
    assert properties["classification"]["name"] == "lymphocyte"
    assert [type(value) for value in properties["classification"]["color"]] == [int] * 3
    assert list(properties["measurements"]) == [
        "number",
        "score",
        "area_px",
        "Nucleus: Area µm^2",
        "Nucleus: Max diameter µm",
        "Ring: Eosin OD std dev",
        "chromatin",
        "neighbour_distance_um",
    ]
    # JSON has no NaN: what is not defined is left out.
    assert "Ring: Eosin OD std dev" not in second["properties"]["measurements"]
    assert all(isinstance(value, int) for value in np.ravel(first["geometry"]["coordinates"][0]).tolist())


def test_cells_are_qupath_cells_around_their_nuclei(tmp_path: Path) -> None:
    with with_cells(blob_table(tmp_path), expand_um=1, beside=tmp_path) as table:
        write_slide_geojson(tmp_path / "a.geojson", table)
        cells = [cells.outlines() for group in table.groups() if (cells := group.cells) is not None]
    for feature, nucleus in zip(features(tmp_path / "a.geojson"), blob_nuclei().outlines(), strict=True):
        assert feature["properties"]["objectType"] == "cell"
        assert shape(feature["nucleusGeometry"]).equals(nucleus)
        cell = shape(feature["geometry"])
        assert cell.covers(nucleus)
        measured = feature["properties"]["measurements"]
        assert measured["cell_area_px"] == cell.area
        assert measured["Cell: Area µm^2"] == pytest.approx(cell.area / 16)
        assert measured["Nucleus/Cell area ratio"] == pytest.approx(nucleus.area / cell.area)
    read = read_slide_geojson(tmp_path / "a.geojson")
    assert_same_nuclei(read, blob_nuclei())
    assert read.cells_wkb is not None
    assert shapely.equals(shapely.from_wkb(read.cells_wkb), np.concatenate(cells)).all()


def test_equal_tables_give_equal_bytes_whatever_the_name(tmp_path: Path) -> None:
    table = blob_table(tmp_path)
    for name in ("a.geojson.gz", "b.geojson.gz"):
        write_slide_geojson(tmp_path / name, table)
    assert (tmp_path / "a.geojson.gz").read_bytes() == (tmp_path / "b.geojson.gz").read_bytes()


def test_several_row_groups_and_fractions_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.export.nuclei_table.ROWS_A_GROUP", 100)
    nuclei = drawn_nuclei(1000)
    write_slide_geojson(tmp_path / "a.geojson", SlideTable.open(write_table(tmp_path / "t.parquet", nuclei)))
    assert_same_nuclei(read_slide_geojson(tmp_path / "a.geojson"), nuclei)


def test_no_nucleus_is_an_empty_collection(tmp_path: Path) -> None:
    table = SlideTable.open(write_table(tmp_path / "t.parquet", drawn_nuclei(0), table_info(mpp=None)))
    write_slide_geojson(tmp_path / "a.geojson", table)
    assert features(tmp_path / "a.geojson") == []
    read = read_slide_geojson(tmp_path / "a.geojson")
    assert len(read.nuclei) == 0
    assert read.class_names == ("nucleus", "lymphocyte")


def test_file_that_qupath_wrote_without_our_lines_is_read(tmp_path: Path) -> None:
    write_slide_geojson(tmp_path / "a.geojson", blob_table(tmp_path))
    again = {"type": "FeatureCollection", "features": features(tmp_path / "a.geojson")}
    (tmp_path / "b.geojson").write_text(json.dumps(again, indent=1))
    read = read_slide_geojson(tmp_path / "b.geojson")
    assert read.class_names == ("lymphocyte", "nucleus")
    np.testing.assert_array_equal(read.nuclei.numbers, blob_nuclei().numbers)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "no JSON with a list of 'features'"),
        ('{"type":"FeatureCollection","features":[{"type":"Fea', "no JSON with a list of 'features'"),
        ('{"features":[{"geometry":null,"properties":{}}]}', "a feature without 'measurements'"),
        ('{"features":[{"geometry":null,"properties":{"measurements":{}}}]}', "a feature without 'number'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(DataError, match=problem):
        read_slide_geojson(tmp_path / "a.geojson")
    with pytest.raises(DataError, match="no such file"):
        read_slide_geojson(tmp_path / "b.geojson")
