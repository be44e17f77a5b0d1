from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nucleate.core import Frame, Instances, Masks, masks_from_label_map
from nucleate.export import nucleus_rows, tables, write_tables
from tests.synthetic import draw_he

COLUMNS = ["file", "class", "number", "score", "area_px", "centroid_x", "centroid_y", "x1", "y1", "x2", "y2"]


def square() -> Instances:
    frame = Frame(height_px=20, width_px=30)
    masks = Masks.from_bitmaps(frame, np.array([[2, 4, 6, 10]], np.int32), [np.ones((6, 4), np.bool_)])
    return Instances.from_masks(masks, scores=np.array([0.123456789], np.float32))


def test_row_of_a_rectangle_is_its_geometry() -> None:
    (row,) = nucleus_rows("a.png", square(), ["nucleus"])
    assert (row.file, row.class_name, row.number) == ("a.png", "nucleus", 1)
    assert (row.area_px, row.centroid_x, row.centroid_y) == (24, 4.0, 7.0)
    assert (row.x1, row.y1, row.x2, row.y2) == (2, 4, 6, 10)
    assert row.score == 0.123457


def test_nucleus_without_pixels_has_its_boxs_centre() -> None:
    frame = Frame(height_px=20, width_px=30)
    masks = Masks(frame=frame, windows_xyxy=np.zeros((1, 4), np.int32), bits=np.zeros(0, np.bool_))
    found = Instances(
        frame=frame,
        boxes_xyxy=np.array([[2, 2, 6, 8]], np.float32),
        masks=masks,
        class_indices=np.zeros(1, np.int64),
        scores=np.ones(1, np.float32),
    )
    (row,) = nucleus_rows("a.png", found, ["nucleus"])
    assert (row.area_px, row.centroid_x, row.centroid_y) == (0, 4.0, 5.0)


def test_csv_and_parquet_hold_the_same_values(tmp_path: Path) -> None:
    masks, _ = masks_from_label_map(draw_he().label_map)
    rows = nucleus_rows('a,"b".png', Instances.from_masks(masks), ["nucleus"])
    csv_path, parquet_path = write_tables(tmp_path, rows)
    with csv_path.open(newline="", encoding="utf-8") as text:
        read = list(csv.DictReader(text))
    table = pq.read_table(parquet_path)
    assert list(read[0]) == table.column_names == COLUMNS
    assert [{key: str(value) for key, value in row.items()} for row in table.to_pylist()] == read
    assert len(read) == len(rows)


def test_no_nucleus_is_a_table_with_columns_and_no_row(tmp_path: Path) -> None:
    csv_path, parquet_path = write_tables(tmp_path, [])
    assert csv_path.read_text() == ",".join(COLUMNS) + "\n"
    assert pq.read_table(parquet_path).num_rows == 0
    assert pq.read_table(parquet_path).column_names == COLUMNS


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    rows = nucleus_rows("a.png", square(), ["nucleus"])
    first = [path.read_bytes() for path in write_tables(tmp_path / "a", rows)]
    second = [path.read_bytes() for path in write_tables(tmp_path / "b", rows)]
    assert first == second


def test_rows_beyond_one_group_are_all_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_A_GROUP", 3)
    rows = nucleus_rows("a.png", square(), ["nucleus"]) * 8
    _, parquet_path = write_tables(tmp_path, iter(rows))
    assert pq.read_table(parquet_path).num_rows == 8
