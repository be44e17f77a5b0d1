"""A slide's table comes back as it was written, opens in other readers, and is read by place."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from nucleate.core import NucleiColumns
from nucleate.errors import DataError
from nucleate.export import NucleiTableWriter, count_nuclei, read_nuclei, read_table_info
from tests.tables import drawn_nuclei, table_info, write_table


def assert_same(first: NucleiColumns, second: NucleiColumns) -> None:
    assert first.measurement_names == second.measurement_names
    for name in ("numbers", "outlines_wkb", "boxes_xyxy", "centroids_xy", "areas_px", "class_indices", "scores"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    np.testing.assert_allclose(first.measurements, second.measurements, rtol=1e-6)


@pytest.mark.parametrize("parts", [(0,), (1,), (700, 0, 16_000, 3_000, 20_000)])
def test_table_comes_back_as_written(tmp_path: Path, parts: tuple[int, ...]) -> None:
    written, first = [], 1
    for seed, count in enumerate(parts):
        written.append(drawn_nuclei(count, seed=seed, first_number=first))
        first += count
    path = tmp_path / "nuclei.parquet"
    with NucleiTableWriter(path, table_info()) as table:
        for part in written:
            table.write(part)
    groups = list(read_nuclei(path))
    assert max((len(group) for group in groups), default=0) <= 16_384
    assert_same(
        NucleiColumns.concatenate([NucleiColumns.empty(written[0].measurement_names), *groups]),
        NucleiColumns.concatenate(written),
    )
    assert count_nuclei(path) == sum(parts)
    assert read_table_info(path) == table_info()


def test_table_opens_in_geopandas(tmp_path: Path) -> None:
    nuclei = drawn_nuclei(50)
    frame = geopandas.read_parquet(write_table(tmp_path / "nuclei.parquet", nuclei))
    assert len(frame) == 50
    assert frame.crs is None
    assert shapely.equals(frame.geometry.to_numpy(), nuclei.outlines()).all()
    assert frame["class"].tolist()[:2] == ["lymphocyte", "nucleus"]


def test_only_row_groups_at_the_place_are_read(tmp_path: Path) -> None:
    left, right = drawn_nuclei(16_384, seed=1, side_px=1000), drawn_nuclei(16_384, seed=2, side_px=1000)
    right = NucleiColumns.concatenate([right])
    moved = NucleiColumns(
        numbers=right.numbers + 16_384,
        outlines_wkb=np.asarray(shapely.to_wkb(shapely.transform(right.outlines(), lambda xy: xy + (3000, 0))), object),
        boxes_xyxy=right.boxes_xyxy + (3000, 0, 3000, 0),
        centroids_xy=right.centroids_xy + (3000, 0),
        areas_px=right.areas_px,
        class_indices=right.class_indices,
        scores=right.scores,
        measurement_names=right.measurement_names,
        measurements=right.measurements,
    )
    path = tmp_path / "nuclei.parquet"
    with NucleiTableWriter(path, table_info()) as table:
        table.write(left)
        table.write(moved)
    found = list(read_nuclei(path, window_xyxy=(3000, 0, 3500, 400)))
    assert len(found) == 1
    boxes = moved.boxes_xyxy
    expected = (boxes[:, 0] < 3500) & (boxes[:, 1] < 400) & (boxes[:, 2] > 3000) & (boxes[:, 3] > 0)
    np.testing.assert_array_equal(found[0].numbers, moved.numbers[expected])


def test_table_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "nuclei.parquet"
    with pytest.raises(RuntimeError), NucleiTableWriter(path, table_info()) as table:  # noqa: PT012
        table.write(drawn_nuclei(3))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    text, other = tmp_path / "text.parquet", tmp_path / "other.parquet"
    text.write_text("no table")
    pq.write_table(
        pq.read_table(write_table(tmp_path / "ours.parquet", drawn_nuclei(1))).replace_schema_metadata({}), other
    )
    for path, problem in (
        (text, "not a Parquet file"),
        (other, "no table of nuclei"),
        (tmp_path / "x", "no such file"),
    ):
        with pytest.raises(DataError, match=problem):
            list(read_nuclei(path))


def test_metadata_follow_geoparquet(tmp_path: Path) -> None:
    metadata = pq.read_schema(write_table(tmp_path / "nuclei.parquet", drawn_nuclei(1))).metadata
    geo = json.loads(metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]


def test_columns_say_what_is_wrong() -> None:
    nuclei = drawn_nuclei(2)
    with pytest.raises(DataError, match="no measurement 'volume'"):
        nuclei.measurement("volume")
    np.testing.assert_array_equal(nuclei.measurement("area_um2"), nuclei.measurements[:, 0])
    with pytest.raises(DataError, match="different measurements"):
        NucleiColumns.concatenate([nuclei, NucleiColumns.empty()])
    with pytest.raises(DataError, match="scores has the shape"):
        NucleiColumns(**{**{name: getattr(nuclei, name) for name in NucleiColumns.__slots__}, "scores": np.zeros(3)})
