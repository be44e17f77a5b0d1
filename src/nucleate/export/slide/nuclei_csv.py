"""A slide's nuclei as CSV: one row a nucleus, outlines as well-known text in the last columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import shapely
from numpy.typing import NDArray

from nucleate.core import NucleiColumns
from nucleate.errors import DataError
from nucleate.export.nuclei_table import NucleiTableInfo
from nucleate.export.slide.reading import wkb
from nucleate.export.slide.slide_table import ExportedNuclei, SlideGroup, SlideTable
from nucleate.files import write_path

_BOX = ("x1", "y1", "x2", "y2")
_FIRST = ("number", "class", "score", "area_px", "centroid_x", "centroid_y", *_BOX)
_CELL_COLUMNS = ("cell_area_px", "cell_area_um2", "cell_outline")
_OUTLINE = "outline"


def write_slide_csv(path: Path, table: SlideTable) -> None:
    """Write the table's columns, boxes and outlines in level-0 pixels; undefined values are empty.

    With cells there are `cell_area_px`, `cell_area_um2` (where um/px is known) and `cell_outline` too.

    Raises:
        ResultsError: the file can't be written.
    """
    schema = _rows(SlideGroup(nuclei=NucleiColumns.empty(table.info.measurement_names)), table.info).schema
    if table.cells_path is not None:
        nothing = NucleiColumns.empty(table.info.measurement_names)
        schema = _rows(SlideGroup(nuclei=nothing, cells=NucleiColumns.empty()), table.info).schema
    with write_path(path) as part, pa_csv.CSVWriter(part, schema) as out:
        for group in table.groups():
            out.write_table(_rows(group, table.info))


def read_slide_csv(path: Path) -> ExportedNuclei:
    """Return the nuclei of a file that `write_slide_csv` wrote.

    Raises:
        DataError: no such file, or none of that kind.
    """
    try:
        table = pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types={"class": pa.string()}))
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"not a CSV file that can be read: {error}", path=path) from error
    missing = [name for name in (*_FIRST, _OUTLINE) if name not in table.column_names]
    if missing:
        raise DataError(f"no column {missing[0]!r}: not written by `nucleate export`", path=path)

    def values(name: str, kind: type[np.generic] = np.float64) -> NDArray[Any]:
        return np.asarray(table.column(name).to_numpy(), kind)

    def outlines_wkb(name: str) -> NDArray[np.object_]:
        return wkb(np.asarray(shapely.from_wkt(table.column(name).to_numpy().astype(np.object_)), np.object_))

    classes = table.column("class").to_pylist()
    class_names = tuple(dict.fromkeys(classes))
    measured = [name for name in table.column_names if name not in {*_FIRST, *_CELL_COLUMNS, _OUTLINE}]
    nuclei = NucleiColumns(
        numbers=values("number", np.int64),
        outlines_wkb=outlines_wkb(_OUTLINE),
        boxes_xyxy=np.stack([values(name) for name in _BOX], axis=1),
        centroids_xy=np.stack([values("centroid_x"), values("centroid_y")], axis=1),
        areas_px=values("area_px", np.int64),
        class_indices=np.array([class_names.index(name) for name in classes], np.int64),
        scores=values("score", np.float32),
        measurement_names=tuple(measured),
        measurements=np.stack([np.zeros(len(table)), *map(values, measured)], axis=1)[:, 1:],
    )
    cells = outlines_wkb("cell_outline") if "cell_outline" in table.column_names else None
    return ExportedNuclei(nuclei=nuclei, class_names=class_names, cells_wkb=cells)


def _rows(group: SlideGroup, info: NucleiTableInfo) -> pa.Table:
    nuclei, cells = group.nuclei, group.cells
    columns: dict[str, pa.Array] = {
        "number": pa.array(nuclei.numbers),
        "class": pa.array(info.class_names, pa.string()).take(pa.array(nuclei.class_indices)),
        "score": pa.array(nuclei.scores),
        "area_px": pa.array(nuclei.areas_px),
        "centroid_x": pa.array(nuclei.centroids_xy[:, 0]),
        "centroid_y": pa.array(nuclei.centroids_xy[:, 1]),
    }
    columns |= {name: pa.array(side) for name, side in zip(_BOX, nuclei.boxes_xyxy.T, strict=True)}
    for name, values in zip(nuclei.measurement_names, nuclei.measurements.T, strict=True):
        # float32, as in the table: the shortest text that gives the same value back.
        columns[name] = pa.array(values.astype(np.float32), mask=np.isnan(values))
    if cells is not None:
        columns["cell_area_px"] = pa.array(cells.areas_px)
        if info.frame.mpp is not None:
            columns["cell_area_um2"] = pa.array((cells.areas_px * info.frame.mpp**2).astype(np.float32))
    columns[_OUTLINE] = _wkt(nuclei)
    if cells is not None:
        columns["cell_outline"] = _wkt(cells)
    return pa.table(columns)


def _wkt(nuclei: NucleiColumns) -> pa.Array:
    return pa.array(shapely.to_wkt(nuclei.outlines(), rounding_precision=-1).tolist(), pa.string())
