"""Files by shapely's own GeoJSON geometries in QuPath's layout, and by `nucleate.export`, which QuPath opens."""

from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from numpy.typing import NDArray

from nucleate.core import Frame, Instances
from nucleate.data.sources import json_features, open_source
from nucleate.errors import DataError
from nucleate.export import write_geojson
from nucleate.files import json_stream
from tests.core.strategies import masks_of, stacks
from tests.data.sources import FRAME, box_mask, mended, read_nuclei, read_only_image, reasons, same, write_picture

BOX = shapely.box(5, 5, 15, 15)


def feature(geometry: shapely.Geometry | None, **properties: Any) -> dict[str, Any]:
    shape = None if geometry is None else json.loads(shapely.to_geojson(geometry))
    return {"type": "Feature", "id": "x", "geometry": shape, "properties": properties}


def write_features(folder: Path, content: Any, name: str = "a.geojson") -> Path:
    write_picture(folder / "a.png")
    path = folder / name
    text = json.dumps(content)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "bbox": [0, 1, -2.5, 1e3], "features": list(features), "name": "x"}


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz", "a.json", "a.json.gz"])
def test_overlaps_holes_and_parts_are_kept(tmp_path: Path, name: str) -> None:
    hole = BOX.difference(shapely.box(8, 8, 12, 12))
    parts = shapely.union(shapely.box(1, 1, 3, 3), shapely.box(20, 1, 23, 3))
    write_features(tmp_path, collection(feature(hole), feature(parts), feature(shapely.box(10, 5, 20, 15))), name)
    source = open_source(tmp_path)
    assert source.format == "geojson"
    expected = [
        box_mask(5, 5, 15, 15) & ~box_mask(8, 8, 12, 12),
        box_mask(1, 1, 3, 3) | box_mask(20, 1, 23, 3),
        box_mask(10, 5, 20, 15),
    ]
    assert same(read_only_image(source).masks, np.stack(expected))


@pytest.mark.parametrize("content", [[feature(BOX)], feature(BOX), {"features": [], **feature(BOX)}])
def test_lists_and_single_features_are_taken(tmp_path: Path, content: Any) -> None:
    write_features(tmp_path, content)
    assert len(read_nuclei(tmp_path).masks) == 1


def test_classifications_are_classes(tmp_path: Path) -> None:
    classifications: list[Any] = [{"name": "Tumor"}, {"names": ["Tumor", "Positive"]}, "Stroma", None, {}]
    write_features(tmp_path, collection(*(feature(BOX, classification=each) for each in classifications)))
    nuclei = read_nuclei(tmp_path)
    assert [nuclei.class_names[index] for index in nuclei.class_indices] == [
        "Tumor",
        "Tumor: Positive",
        "Stroma",
        "nucleus",
        "nucleus",
    ]


def test_of_cells_the_nucleus_counts(tmp_path: Path) -> None:
    inner = json.loads(shapely.to_geojson(shapely.box(8, 8, 12, 12)))
    cell = {**feature(BOX, objectType="cell"), "nucleusGeometry": inner}
    write_features(tmp_path, collection(feature(shapely.box(0, 0, 50, 40), objectType="annotation"), cell))
    nuclei = read_nuclei(tmp_path)
    assert same(nuclei.masks, box_mask(8, 8, 12, 12)[None])
    assert reasons(nuclei) == ["annotation beside detections, taken for a region"]


def test_annotations_alone_are_nuclei(tmp_path: Path) -> None:
    write_features(tmp_path, collection(feature(BOX, objectType="annotation")))
    assert len(read_nuclei(tmp_path).masks) == 1


def test_what_is_no_nucleus_is_named(tmp_path: Path) -> None:
    broken = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[1, "x"], [2, 2], [3, 1]]]}}
    flat = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[1, 2, 3]]}, "properties": None}
    empty = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[]]}}
    nested = {"type": "GeometryCollection", "geometries": []}
    several = shapely.GeometryCollection([BOX, shapely.Point(1, 1)])
    write_features(
        tmp_path,
        collection(
            feature(BOX, objectType="tile"),
            feature(None),
            feature(shapely.Point(3, 3)),
            broken,
            flat,
            empty,
            {"geometry": {"type": "GeometryCollection", "geometries": [nested]}},
            feature(several),
            feature(shapely.box(70, 5, 80, 15)),
        ),
    )
    nuclei = read_nuclei(tmp_path)
    assert nuclei.label_ids.tolist() == [8]
    assert reasons(nuclei) == [
        "tile, TMA core or root of QuPath",
        "feature without a geometry",
        "geometry without an area (points or lines)",
        "outline with a corner that is no number",
        "outline with a corner that is no number",
        "outline of fewer than 3 corners",
        "geometry without an area (points or lines)",
        "nucleus outside of the image",
    ]


def test_crossing_and_cut_polygons_are_counted(tmp_path: Path) -> None:
    bow = shapely.Polygon([(2, 2), (12, 12), (12, 2), (2, 12)])
    write_features(tmp_path, collection(feature(bow), feature(shapely.box(-4, 5, 3, 9))))
    assert mended(read_nuclei(tmp_path)) == ["self-crossing outline repaired", "nucleus cut at the image's border"]


@given(stack=stacks())
def test_what_nucleate_writes_comes_back(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack[stack.any(axis=(1, 2))])
    instances = Instances(
        frame=masks.frame,
        boxes_xyxy=masks.windows_xyxy.astype(np.float32),
        masks=masks,
        class_indices=np.zeros(len(masks), np.int64),
        scores=np.ones(len(masks), np.float32),
    )
    with tempfile.TemporaryDirectory() as folder:
        write_picture(Path(folder) / "a.png")
        write_geojson(Path(folder) / "a.geojson", "a.png", instances, ("nucleus",))
        nuclei = read_nuclei(Path(folder), masks.frame)
    assert same(nuclei.masks, stack[stack.any(axis=(1, 2))])
    assert not nuclei.mended


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "FeatureCollection", "features": [',
        '{"type": "FeatureCollection", "features": [{"type": "Feature"}',
        '{"type": "FeatureCollection", "features": [{}]} x',
        '{"type": "FeatureCollection", "features": [{} {}]}',
        '{"type": "FeatureCollection", "features": [3]}',
        '{"type": "FeatureCollection", "features": {}}',
        '{"type" "FeatureCollection"}',
        '{"a": ' + "[" * 100_000,
        "[" * 100_000,
        "3",
        "",
        "\xff",
    ],
)
def test_broken_geojson_is_one_line(tmp_path: Path, text: str) -> None:
    write_features(tmp_path, {}).write_bytes(text.encode("latin1"))
    with pytest.raises(DataError) as caught:
        read_nuclei(tmp_path)
    assert "\n" not in str(caught.value)
    assert "a.geojson" in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "no gzip"])
def test_broken_gzip_is_one_line(tmp_path: Path, damage: str) -> None:
    path = write_features(tmp_path, collection(*[feature(BOX)] * 50), "a.geojson.gz")
    path.write_bytes(path.read_bytes()[:-20] if damage == "cut" else b"{}")
    with pytest.raises(DataError, match="damaged GeoJSON"):
        read_nuclei(tmp_path)
    path.rename(tmp_path / "a.json.gz")
    if damage == "no gzip":
        with pytest.raises(DataError, match="no annotated images"):
            open_source(tmp_path)


def test_values_cut_by_the_end_of_what_was_read_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = collection(feature(BOX), feature(shapely.box(20, 5, 30, 15)))
    write_features(tmp_path, content)
    for characters in range(1, 40):
        monkeypatch.setattr(json_stream, "CHUNK_CHARS", characters)
        assert list(json_features.read_features(tmp_path / "a.geojson")) == content["features"]


def test_long_features_and_files_stop_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_features(tmp_path, collection(*[feature(BOX)] * 9))
    monkeypatch.setattr(json_stream, "CHUNK_CHARS", 16)
    limits = (
        (json_stream, "MOST_VALUE_CHARS", "a value of more than"),
        (json_features, "MOST_CHARS", "unpacks to more"),
    )
    for module, name, words in limits:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 100)
            with pytest.raises(DataError, match=words):
                list(json_features.read_features(path))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    one = json.dumps(feature(BOX, measurements={f"m{index}": index / 7 for index in range(40)}))
    path = tmp_path / "a.geojson"
    with path.open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        file.write(",".join([one] * 10_000))
        file.write("]}")
    tracemalloc.start()
    count = sum(1 for _ in json_features.read_features(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 10_000
    assert path.stat().st_size > 8_000_000
    assert peak < 3_000_000


def test_qupaths_files_are_not_taken_for_coco(tmp_path: Path) -> None:
    write_features(tmp_path, collection(feature(BOX)), "a.json")
    assert open_source(tmp_path / "a.json").format == "geojson"
    nuclei = read_only_image(open_source(tmp_path), Frame(height_px=FRAME.height_px, width_px=FRAME.width_px))
    assert len(nuclei.masks) == 1
