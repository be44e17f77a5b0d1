"""Regions come out of GeoJSON as QuPath writes it; whatever else is in a file is said."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from nucleate.errors import DataError
from nucleate.slides import RegionLimits, read_region_file, read_regions

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[2, 2], [2, 4], [4, 4], [4, 2], [2, 2]]
BOW_TIE = [[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def saved(folder: Path, content: Any) -> Path:
    path = folder / "regions.geojson"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "areas"),
    [
        (polygon(SQUARE), [100]),
        (polygon(SQUARE, HOLE), [96]),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [[[20, 0], [30, 0], [30, 10], [20, 0]]]]}, [150]),
        (feature(polygon(SQUARE)), [100]),
        (collection(feature(polygon(SQUARE)), feature(polygon(SQUARE, HOLE))), [100, 96]),
        ([feature(polygon(SQUARE))], [100]),
        ({"type": "GeometryCollection", "geometries": [polygon(SQUARE), polygon(SQUARE, HOLE)]}, [100, 96]),
        (feature({"type": "GeometryCollection", "geometries": [polygon(SQUARE, HOLE), polygon(HOLE)]}), [100]),
        (polygon([[*corner, 0.5] for corner in SQUARE]), [100]),
    ],
)
def test_every_form_of_geojson_is_read(tmp_path: Path, content: Any, areas: list[float]) -> None:
    read = read_region_file(saved(tmp_path, content))
    assert [region.area_px for region in read.regions] == areas
    assert read.notes == ()


@pytest.mark.parametrize(
    ("properties", "name", "classification"),
    [
        ({"objectType": "annotation", "name": " front "}, "front", None),
        ({"name": None, "classification": {"name": "Tumor", "color": [200, 0, 0]}}, "Tumor", "Tumor"),
        ({"classification": {"names": ["Tumor", "Positive"]}}, "Tumor: Positive", "Tumor: Positive"),
        ({"name": "a", "classification": "Stroma"}, "a", "Stroma"),
        ({"name": 7, "classification": {"names": [], "name": "b"}}, "7", "b"),
        ({"name": "", "classification": {}}, "region 1", None),
        ({"name": True}, "region 1", None),
    ],
)
def test_regions_are_called_by_name_then_class_then_place(
    tmp_path: Path, properties: dict[str, Any], name: str, classification: str | None
) -> None:
    (found,) = read_regions(saved(tmp_path, feature(polygon(SQUARE), **properties)))
    assert (found.name, found.classification) == (name, classification)


def test_properties_may_be_missing(tmp_path: Path) -> None:
    (found,) = read_regions(saved(tmp_path, {"type": "Feature", "geometry": polygon(SQUARE), "properties": None}))
    assert found.name == "region 1"


def test_what_is_no_region_is_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = collection(
        feature(polygon(SQUARE)),
        feature({"type": "Point", "coordinates": [1, 1]}),
        feature({"type": "Point", "coordinates": [2, 1]}),
        feature({"type": "LineString", "coordinates": [[1, 1], [2, 2]]}),
        feature(polygon(HOLE), objectType="detection"),
        feature(polygon(HOLE), object_type="cell"),
        feature(None),
        feature({"type": "MultiPolygon", "coordinates": []}),
    )
    path = saved(tmp_path, content)
    with caplog.at_level(logging.WARNING):
        assert len(read_regions(path)) == 1
    expected = (
        "left out, no regions: 1 x LineString, 2 x Point, 1 x QuPath cell, 1 x QuPath detection, "
        "1 x empty geometry, 1 x feature without geometry"
    )
    assert caplog.messages == [f"{path}: {expected}"]


@pytest.mark.parametrize(
    ("geometry", "area", "note"),
    [
        (polygon(BOW_TIE), 50, "not valid (self-intersection), mended"),
        (polygon(SQUARE[:-1]), 100, "a ring was open, closed"),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [HOLE]]}, 100, "its parts overlap, taken once"),
    ],
)
def test_what_is_mended_is_said(tmp_path: Path, geometry: dict[str, Any], area: float, note: str) -> None:
    read = read_region_file(saved(tmp_path, feature(geometry, name="a")))
    (found,) = read.regions
    assert found.area_px == area
    assert found.geometry.is_valid
    assert found.note == note
    assert read.notes == (f"region 'a': {note}",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "the file is empty"),
        ("{", "no GeoJSON: "),
        ("7", "a geometry of type None"),
        ("[" * 200_000, "nested too deeply"),
        ("[" * 30 + "]" * 30, "nested more than 16 deep"),
        ('{"type": "Polygon", "coordinates": ' + "[" * 900 + "]" * 900 + "}", "two numbers are needed"),
        (collection(), "no region in it: a polygon is needed, and there is nothing"),
        (collection(feature({"type": "Point", "coordinates": [1, 1]})), "and there is 1 x Point"),
        ({"type": "FeatureCollection"}, "a FeatureCollection without a list of features"),
        ({"type": "Topology"}, "a geometry of type 'Topology'"),
        (feature({"type": "x" * 99}), "a geometry of type 'xxx"),
        (polygon(), "a polygon without a ring"),
        (polygon(7), "7 where a ring"),
        (polygon([]), "fewer than three corners"),
        (polygon([[0, 0], [1, 1]]), "fewer than three corners"),
        (polygon([[0, 0], [1, 1], [2, 2]]), "no area"),
        (polygon([[0, 0], [1, "a"], [2, 2]]), r"corner 2 is \[1, 'a'\]: two numbers"),
        (polygon([[0, 0], [1, True], [2, 2]]), "corner 2 is"),
        (polygon([[0, 0], [1], [2, 2]]), "corner 2 is"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 1], [2, 2]]]}', "corner 2 is"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1e999, 1], [2, 2]]]}', "corner 2 is"),
        (polygon([[0, 0], [10**30, 0], [2, 2]]), "corner 2 is"),
        ({"type": "MultiPolygon", "coordinates": [3]}, "lists of rings"),
        (collection(feature(polygon()), feature(polygon(7))), r"without a ring \(and 1 more\)"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_path(tmp_path: Path, content: Any, problem: str) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(DataError, match=problem) as caught:
        read_region_file(path)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_deep_collection_in_a_feature_is_refused(tmp_path: Path) -> None:
    geometry: dict[str, Any] = polygon(SQUARE)
    for _ in range(20):
        geometry = {"type": "GeometryCollection", "geometries": [geometry]}
    with pytest.raises(DataError, match="nested more than 16 deep"):
        read_region_file(saved(tmp_path, feature(geometry)))


def test_files_that_cant_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_region_file(tmp_path / "none.geojson")
    path = tmp_path / "latin.geojson"
    path.write_bytes(b'{"type": "\xe9"}')
    with pytest.raises(DataError, match="not UTF-8"):
        read_region_file(path)


def test_packed_files_are_read_whatever_they_are_called(tmp_path: Path) -> None:
    text = json.dumps(collection(feature(polygon(SQUARE))))
    path = tmp_path / "regions.geojson"
    # Two members, as `cat` and pigz leave them, and a byte-order mark.
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text[:20].encode()) + gzip.compress(text[20:].encode()))
    assert len(read_regions(path)) == 1


def test_damaged_packed_files_are_refused(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(polygon(SQUARE)).encode())
    path = tmp_path / "regions.geojson.gz"
    for content, problem in ((packed[:-12], "cut off"), (packed[:4] + b"\xff" * 40, "can't be read")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=problem):
            read_region_file(path)


def test_limits_are_kept(tmp_path: Path) -> None:
    path = saved(tmp_path, collection(*[feature(polygon(SQUARE))] * 3))
    assert len(read_region_file(path, limits=RegionLimits(max_regions=3)).regions) == 3
    with pytest.raises(DataError, match="more than 2 polygons"):
        read_region_file(path, limits=RegionLimits(max_regions=2))
    with pytest.raises(DataError, match="above the limit of 100"):
        read_region_file(path, limits=RegionLimits(max_bytes=100))
    bomb = tmp_path / "bomb.geojson.gz"
    bomb.write_bytes(gzip.compress(b" " * 100_000))
    with pytest.raises(DataError, match="more than 1,000 bytes unpacked"):
        read_region_file(bomb, limits=RegionLimits(max_bytes=1000))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["Polygon", "Feature", "MultiPolygon"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "features", "geometry", "geometries", "coordinates", "properties"]), inner
        )
    ),
    max_leaves=12,
)


@given(value=json_values)
def test_any_json_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = saved(tmp_path_factory.mktemp("json"), json.dumps(value))
    try:
        read = read_region_file(path)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert all(shapely.is_valid(region.geometry) for region in read.regions)
