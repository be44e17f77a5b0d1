"""The nuclei as rows: nuclei.csv and nuclei.parquet hold the same values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nucleate.core import Instances
from nucleate.files import write_path

ROWS_A_GROUP = 65_536
SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("class", pa.string()),
        ("number", pa.int64()),
        ("score", pa.float64()),
        ("area_px", pa.int64()),
        ("centroid_x", pa.float64()),
        ("centroid_y", pa.float64()),
        ("x1", pa.float64()),
        ("y1", pa.float64()),
        ("x2", pa.float64()),
        ("y2", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NucleusRow:
    """One nucleus of the table.

    Attributes:
        file: the image.
        class_name: column `class`.
        number: from 1 in the image; its value in the instance map and in GeoJSON.
        score: 0 to 1, six decimals.
        area_px: pixels of the mask, those included that the instance map gives to a better nucleus.
        centroid_x: mean of the mask's pixel centres, pixels from the left edge, three decimals.
        centroid_y: the same from the upper edge.
        x1: left side of the model's box, pixels; then top, right and bottom.
        y1: see x1.
        x2: see x1.
        y2: see x1.
    """

    file: str
    class_name: str
    number: int
    score: float
    area_px: int
    centroid_x: float
    centroid_y: float
    x1: float
    y1: float
    x2: float
    y2: float


def nucleus_rows(file: str, instances: Instances, class_names: Sequence[str]) -> list[NucleusRow]:
    """Return one row a nucleus, in order; a nucleus without pixels has its box's centre as centroid."""
    areas_px = instances.masks.areas_px().tolist()
    rows = []
    for index, box in enumerate(instances.boxes_xyxy.astype(np.float64).round(3).tolist()):
        ys, xs = np.nonzero(instances.masks.bitmap(index))
        left, top = instances.masks.windows_xyxy[index, :2].tolist()
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        centroid_xy = (left + xs.mean() + 0.5, top + ys.mean() + 0.5) if len(xs) else centre
        rows.append(
            NucleusRow(
                file=file,
                class_name=class_names[int(instances.class_indices[index])],
                number=index + 1,
                score=round(float(instances.scores[index]), 6),
                area_px=areas_px[index],
                centroid_x=round(float(centroid_xy[0]), 3),
                centroid_y=round(float(centroid_xy[1]), 3),
                x1=box[0],
                y1=box[1],
                x2=box[2],
                y2=box[3],
            )
        )
    return rows


def write_tables(folder: Path, rows: Iterable[NucleusRow]) -> tuple[Path, Path]:
    """Write `nuclei.csv` and `nuclei.parquet`, each whole or not at all; rows may be a stream.

    Returns:
        The two files.
    """
    csv_path, parquet_path = folder / "nuclei.csv", folder / "nuclei.parquet"
    with (
        write_path(csv_path) as csv_part,
        write_path(parquet_path) as parquet_part,
        csv_part.open("w", encoding="utf-8", newline="") as text,
        pq.ParquetWriter(parquet_part, SCHEMA) as parquet,
    ):
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(SCHEMA.names)
        group: list[NucleusRow] = []
        for row in rows:
            lines.writerow(_values(row))
            group.append(row)
            if len(group) == ROWS_A_GROUP:
                parquet.write_table(rows_table(group))
                group = []
        if group:
            parquet.write_table(rows_table(group))
    return csv_path, parquet_path


def rows_table(rows: Sequence[NucleusRow]) -> pa.Table:
    """Return rows as a table of `SCHEMA`; no row gives its columns."""
    values = [_values(row) for row in rows]
    columns = [pa.array([row[index] for row in values], kind) for index, kind in enumerate(SCHEMA.types)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _values(row: NucleusRow) -> list[str | int | float]:
    return [getattr(row, field.name) for field in fields(row)]
