"""A slide's nuclei as GeoParquet 1.1: written row group by row group, read the same way, so that memory is bounded.

`geometry` is WKB in level-0 pixels (`crs: null`), `bbox` its covering, so that readers skip row groups by place.
What the table is about stands under the key `nucleate` of the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nucleate.core import Frame, NucleiColumns
from nucleate.errors import DataError
from nucleate.files import write_path

ROWS_A_GROUP = 16_384
_BOX_NAMES = ("xmin", "ymin", "xmax", "ymax")

Window = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class NucleiTableInfo:
    """What a table is about.

    Attributes:
        slide: file name of the slide.
        frame: level 0 of it; mpp None when nobody knows it.
        mpp_known_by: `given`, `file`, `magnification` or `estimate`; None when unknown.
        class_names: what column `class` holds.
        model: name of the model.
        measurement_names: the columns of measurements, in order.
    """

    slide: str
    frame: Frame
    mpp_known_by: str | None
    class_names: tuple[str, ...]
    model: str
    measurement_names: tuple[str, ...]


class NucleiTableWriter(AbstractContextManager["NucleiTableWriter"]):
    """Writes a table, whole or not at all.

    Args:
        path: the file.
        info: what it is about.

    Raises:
        ResultsError: the file can't be written.
    """

    def __init__(self, path: Path, info: NucleiTableInfo) -> None:
        self._path, self._info = path, info
        self._waiting: list[NucleiColumns] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        part = self._stack.enter_context(write_path(self._path))
        try:
            self._parquet = self._stack.enter_context(pq.ParquetWriter(part, _schema(self._info), compression="zstd"))
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is None:
            try:
                self._flush(least=1)
            except BaseException as late:
                self._stack.__exit__(type(late), late, late.__traceback__)
                raise
        return self._stack.__exit__(kind, error, trace)

    def write(self, nuclei: NucleiColumns) -> None:
        """Append nuclei as they are numbered."""
        self._waiting.append(nuclei)
        self._flush(least=ROWS_A_GROUP)

    def _flush(self, least: int) -> None:
        if sum(map(len, self._waiting)) < least:
            return
        waiting = NucleiColumns.concatenate(self._waiting)
        whole = len(waiting) if least == 1 else len(waiting) // least * least
        for start in range(0, whole, ROWS_A_GROUP):
            rows = np.arange(start, min(start + ROWS_A_GROUP, whole))
            self._parquet.write_table(nuclei_to_arrow(waiting.select(rows), self._info))
        self._waiting = [waiting.select(np.arange(whole, len(waiting)))]


def read_table_info(path: Path) -> NucleiTableInfo:
    """Return what a table of ours is about.

    Raises:
        DataError: no such file, or no table that `segment` wrote.
    """
    metadata = _open(path).schema_arrow.metadata or {}
    return _info_of(path, metadata)


def count_nuclei(path: Path) -> int:
    """Return the number of rows without reading them."""
    return int(_open(path).metadata.num_rows)


def read_nuclei(path: Path, *, window_xyxy: Window | None = None) -> Iterator[NucleiColumns]:
    """Yield a table's nuclei a row group at a time, in order.

    Args:
        path: the table.
        window_xyxy: level-0 pixels; only nuclei whose box meets it, row groups elsewhere are not read.

    Raises:
        DataError: no such file, or no table that `segment` wrote.
    """
    file = _open(path)
    info = _info_of(path, file.schema_arrow.metadata or {})
    for index in range(file.num_row_groups):
        if window_xyxy is not None and not _may_meet(file.metadata.row_group(index), window_xyxy):
            continue
        nuclei = nuclei_from_arrow(file.read_row_group(index), info)
        if window_xyxy is not None:
            x1, y1, x2, y2 = window_xyxy
            boxes = nuclei.boxes_xyxy
            nuclei = nuclei.select((boxes[:, 0] < x2) & (boxes[:, 2] > x1) & (boxes[:, 1] < y2) & (boxes[:, 3] > y1))
        yield nuclei


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"not a Parquet file that can be read: {error}", path=path) from error


def _info_of(path: Path, metadata: Mapping[bytes, bytes]) -> NucleiTableInfo:
    try:
        said = json.loads(metadata[b"nucleate"])
        return NucleiTableInfo(
            slide=said["slide"],
            frame=Frame(width_px=said["width_px"], height_px=said["height_px"], mpp=said["mpp"]),
            mpp_known_by=said["mpp_known_by"],
            class_names=tuple(said["class_names"]),
            model=said["model"],
            measurement_names=tuple(said["measurements"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError("no table of nuclei: `nucleate segment SLIDE` writes nuclei.parquet", path=path) from error


def _schema(info: NucleiTableInfo) -> pa.Schema:
    fields: list[tuple[str, Any]] = [
        ("number", pa.int64()),
        ("class", pa.dictionary(pa.int32(), pa.string())),
        ("score", pa.float32()),
        ("area_px", pa.int64()),
        ("centroid_x", pa.float64()),
        ("centroid_y", pa.float64()),
        *((name, pa.float32()) for name in info.measurement_names),
        ("bbox", pa.struct([(name, pa.float64()) for name in _BOX_NAMES])),
        ("geometry", pa.binary()),
    ]
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": ["Polygon", "MultiPolygon"],
                "crs": None,
                "covering": {"bbox": {name: ["bbox", name] for name in _BOX_NAMES}},
            }
        },
    }
    about = {
        "slide": info.slide,
        "width_px": info.frame.width_px,
        "height_px": info.frame.height_px,
        "mpp": info.frame.mpp,
        "mpp_known_by": info.mpp_known_by,
        "class_names": list(info.class_names),
        "model": info.model,
        "measurements": list(info.measurement_names),
    }
    return pa.schema(fields, metadata={"geo": json.dumps(geo), "nucleate": json.dumps(about)})


def nuclei_to_arrow(nuclei: NucleiColumns, info: NucleiTableInfo) -> pa.Table:
    """Return nuclei as rows of the table."""
    boxes = [pa.array(side) for side in nuclei.boxes_xyxy.T]
    columns = [
        pa.array(nuclei.numbers),
        pa.DictionaryArray.from_arrays(
            pa.array(nuclei.class_indices.astype(np.int32)), pa.array(info.class_names, pa.string())
        ),
        pa.array(nuclei.scores),
        pa.array(nuclei.areas_px),
        pa.array(nuclei.centroids_xy[:, 0]),
        pa.array(nuclei.centroids_xy[:, 1]),
        *(pa.array(values.astype(np.float32)) for values in nuclei.measurements.T),
        pa.StructArray.from_arrays(boxes, names=list(_BOX_NAMES)),
        pa.array(nuclei.outlines_wkb, pa.binary()),
    ]
    return pa.Table.from_arrays(columns, schema=_schema(info))


def nuclei_from_arrow(table: pa.Table, info: NucleiTableInfo) -> NucleiColumns:
    """Return rows of the table as nuclei."""

    def values(name: str) -> NDArray[Any]:
        return np.asarray(table.column(name).combine_chunks().to_numpy(zero_copy_only=False))

    boxes = table.column("bbox").combine_chunks()
    classes = table.column("class").combine_chunks()
    names = {name: index for index, name in enumerate(info.class_names)}
    index_of = np.array([names[name] for name in classes.dictionary.to_pylist()] or [0], np.int64)
    measured = [values(name).astype(np.float64) for name in info.measurement_names]
    return NucleiColumns(
        numbers=values("number"),
        outlines_wkb=values("geometry").astype(np.object_),
        boxes_xyxy=np.stack([boxes.field(name).to_numpy(zero_copy_only=False) for name in _BOX_NAMES], axis=1),
        centroids_xy=np.stack([values("centroid_x"), values("centroid_y")], axis=1),
        areas_px=values("area_px"),
        class_indices=index_of[np.asarray(classes.indices)],
        scores=values("score"),
        measurement_names=info.measurement_names,
        measurements=np.stack(measured, axis=1) if measured else np.zeros((len(table), 0)),
    )


def _may_meet(group: Any, window_xyxy: Window) -> bool:
    """Return whether a row group's statistics leave room for a nucleus in the window."""
    bounds: dict[str, tuple[float, float]] = {}
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema.startswith("bbox.") and column.statistics is not None:
            bounds[column.path_in_schema[5:]] = (column.statistics.min, column.statistics.max)
    if len(bounds) < len(_BOX_NAMES):
        return True
    x1, y1, x2, y2 = window_xyxy
    return bool(bounds["xmin"][0] < x2 and bounds["xmax"][1] > x1 and bounds["ymin"][0] < y2 and bounds["ymax"][1] > y1)
