from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from nucleate.errors import DataError
from nucleate.models.run_card import RunCard
from nucleate.readers import GeoParquetFile, detect_format, read_side
from tests.evaluation.drawings import draw
from tests.readers.nuclei_files import WRITERS, write_features, write_parquet, write_png

SQUARE = shapely.geometry.mapping(shapely.box(0, 0, 5, 5))


def _feature(**properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": SQUARE, "properties": properties}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("png", "label-images"),
        ("tiff", "label-images"),
        ("npy", "label-images"),
        ("geojson", "geojson"),
        ("parquet", "geoparquet"),
        ("coco", "coco"),
        ("results", "coco-results"),
        ("results folder", "results-folder"),
    ],
)
def test_formats_are_found(tmp_path: Path, name: str, found: str) -> None:
    path = WRITERS[name](tmp_path / "x", {"a": draw((0, 5, 0, 5))})
    assert detect_format(path) == found
    side = read_side(path)
    assert (side.format, [len(image) for image in side.images]) == (found, [1])


def test_a_run_a_name_and_an_empty_folder_are_no_files_of_nuclei(tmp_path: Path) -> None:
    RunCard(name="run").write(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "run", Path("nucleate-he"), tmp_path / "empty"):
        assert detect_format(path) is None
    with pytest.raises(DataError, match="no nuclei that can be read here"):
        read_side(tmp_path / "empty")
    with pytest.raises(DataError, match="no such file or folder"):
        read_side(tmp_path / "none")


def test_geojson_is_known_by_its_content_too(tmp_path: Path) -> None:
    assert detect_format(write_features(tmp_path / "x.json", [_feature()])) == "geojson"
    assert detect_format(write_features(tmp_path / "y.json", _feature())) == "geojson"
    (tmp_path / "z.json").write_text("{")
    assert detect_format(tmp_path / "z.json") == "coco"


def test_labels_of_a_data_folder_are_read(tmp_path: Path) -> None:
    write_png(tmp_path / "labels", {"a": draw((0, 5, 0, 5))})
    write_png(tmp_path / "images", {"a": draw()})
    assert [image.name for image in read_side(tmp_path).images] == ["a.png"]


def test_a_label_image_with_gaps_in_its_ids(tmp_path: Path) -> None:
    side = read_side(write_png(tmp_path / "x", {"a": draw((0, 5, 0, 5), (8, 9, 0, 3), ids=[7, 200])}))
    masks = side.images[0].masks
    assert masks is not None
    assert masks.areas_px().tolist() == [25, 3]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (np.zeros((4, 4)), "integers"),
        (np.zeros((4, 4, 3), np.uint8), "integers"),
        (np.full((4, 4), -1), "negative id -1"),
        (np.array(["a"]), "integers"),
    ],
)
def test_arrays_that_are_no_label_image(tmp_path: Path, labels: Any, problem: str) -> None:
    np.save(tmp_path / "a.npy", labels)
    with pytest.raises(DataError, match=problem):
        read_side(tmp_path)


def test_a_damaged_array_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no array of numbers"):
        read_side(tmp_path)


def test_names_and_scores_of_qupath_and_others(tmp_path: Path) -> None:
    features = [
        _feature(classification={"name": "tumour"}, measurements={"score": 0.25}),
        _feature(classification="stroma", measurements=[{"name": "probability", "value": 0.5}, "odd"]),
        {"type": "Feature", "geometry": SQUARE},
        _feature(score=0.75, measurements="odd"),
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}},
    ]
    side = read_side(write_features(tmp_path / "a.geojson", {"type": "FeatureCollection", "features": features}))
    (image,) = side.images
    assert image.class_names == ("tumour", "stroma", "nucleus", "nucleus")
    assert image.scores.tolist() == [0.25, 0.5, 1, 0.75]
    assert side.notes == ("1 GeoJSON features that are no polygons were left out",)
    assert (image.name, side.names_images) == ("a", False)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"type": "FeatureCollection"}, "no GeoJSON"),
        ([_feature(score=3)], "feature 0: score 3 lies outside 0 to 1"),
        ([{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [["x"]]}}], "unsound geometry"),
        ([{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}}], "without corners"),
    ],
)
def test_unsound_geojson_is_said(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_side(write_features(tmp_path / "a.geojson", content))


def test_geojson_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        read_side(tmp_path / "a.geojson")


def test_the_primary_column_of_geoparquet_is_read(tmp_path: Path) -> None:
    table = pa.table({"shape": [shapely.to_wkb(shapely.box(0, 0, 5, 5))], "class": [None]})
    geo = json.dumps({"primary_column": "shape"}).encode()
    pq.write_table(table.replace_schema_metadata({b"geo": geo}), tmp_path / "a.parquet")
    side = read_side(tmp_path / "a.parquet")
    assert side.images[0].class_names == ("nucleus",)
    assert GeoParquetFile.open(tmp_path / "a.parquet").geometry == "shape"


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"other": [1]}, "no column of geometries"),
        ({"geometry": [1]}, "no column of geometries"),
        ({"geometry": [b"nothing"]}, "no WKB"),
        ({"geometry": [shapely.to_wkb(shapely.Point(1, 2))]}, "row 0: no polygon"),
        ({"geometry": pa.array([None], pa.binary())}, "row 0: no polygon"),
        ({"geometry": [shapely.to_wkb(shapely.box(0, 0, 5, 5))], "score": [1.5]}, "row 0: a score outside"),
    ],
)
def test_unsound_geoparquet_is_said(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=problem):
        read_side(tmp_path / "a.parquet")


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("nothing")
    with pytest.raises(DataError, match="no Parquet file"):
        read_side(tmp_path / "a.parquet")


def test_rows_come_in_batches_in_file_order(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "a.parquet", [shapely.box(0, 0, 5, 5 + place) for place in range(7)], rows_a_group=3
    )
    batches = list(GeoParquetFile.open(path).batches())
    heights = np.concatenate([shapely.bounds(batch.polygons)[:, 3] for batch in batches])
    assert heights.tolist() == list(range(5, 12))


def test_records_that_are_no_detections(tmp_path: Path) -> None:
    path = write_features(tmp_path / "a.json", [{"image_id": 1}])
    with pytest.raises(DataError, match="record 0: no detection with image_id"):
        read_side(path)


def test_crowds_of_annotations_are_left_out(tmp_path: Path) -> None:
    path = WRITERS["coco"](tmp_path / "x", {"a": draw((0, 5, 0, 5), (8, 12, 0, 5))})
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    side = read_side(path)
    assert (len(side.images[0]), side.notes) == (1, ("1 crowd regions of coco.json were left out",))
