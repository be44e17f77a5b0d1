"""A slide's nuclei as the GeoJSON that QuPath opens, one feature a line, plain or gzipped.

Memory is that of one group of nuclei, whatever the slide's size. `nucleate`, beside the features, says what the file is
about; other programs pass over it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from nucleate.core import NucleiColumns
from nucleate.errors import DataError
from nucleate.export.geojson import feature_id
from nucleate.export.nuclei_table import NucleiTableInfo
from nucleate.export.overlays import PALETTE_RGB
from nucleate.export.slide.measurement_names import CELL_AREA, NUCLEUS_SHARE, our_name, qupath_name
from nucleate.export.slide.reading import MeasuredRows, columns_of
from nucleate.export.slide.slide_table import ExportedNuclei, SlideGroup, SlideTable
from nucleate.files import write_path
from nucleate.files.json_stream import read_items

_NUMBER, _SCORE, _AREA, _CELL_AREA_PX = "number", "score", "area_px", "cell_area_px"
# Half the time of gzip's usual 6 for an eighth more bytes.
_LEVEL = 4


def write_slide_geojson(path: Path, table: SlideTable) -> None:
    """Write one QuPath detection a nucleus, or one cell with its nucleus where the table has cells.

    Args:
        path: ends in .gz for a gzipped file.
        table: the nuclei; equal tables give equal bytes.

    Raises:
        ResultsError: the file can't be written.
    """
    about = {
        "slide": table.info.slide,
        "mpp": table.info.frame.mpp,
        "model": table.info.model,
        "class_names": list(table.info.class_names),
        "measurements": list(table.info.measurement_names),
    }
    with write_path(path) as part, ExitStack() as stack:
        plain: IO[bytes] = stack.enter_context(part.open("wb"))
        # No name and no time in the gzip header: they would make equal files differ.
        out: Any = stack.enter_context(_zipped(plain)) if path.suffix == ".gz" else plain
        out.write(b'{"type":"FeatureCollection","nucleate":' + _json(about).encode() + b',"features":[')
        separator = b"\n"
        for group in table.groups():
            out.write(separator + ",\n".join(_features(group, table.info).to_pylist()).encode())
            separator = b",\n"
        out.write(b"\n]}\n")


def read_slide_geojson(path: Path) -> ExportedNuclei:
    """Return the nuclei of a file that `write_slide_geojson` wrote.

    Raises:
        DataError: no such file, or none of that kind.
    """
    features = read_items(path, "features")
    about = next(features).get("nucleate", {})
    rows, classes, nuclei, cells = MeasuredRows.named(about.get("measurements", ())), [], [], []
    for feature in features:
        try:
            properties = feature["properties"]
            measured = {our_name(name): value for name, value in properties["measurements"].items()}
            for name in (our_name(CELL_AREA), NUCLEUS_SHARE, _CELL_AREA_PX):
                measured.pop(name, None)
            rows.add(number=measured.pop(_NUMBER), score=measured.pop(_SCORE), area_px=measured.pop(_AREA), **measured)
            classes.append(properties["classification"]["name"])
            nuclei.append(json.dumps(feature.get("nucleusGeometry", feature["geometry"])))
            if "nucleusGeometry" in feature:
                cells.append(json.dumps(feature["geometry"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"a feature without {error}: not written by `nucleate export`", path=path) from error
    return columns_of(
        rows,
        classes=classes,
        class_names=about.get("class_names", ()),
        outlines=shapely.from_geojson(np.array(nuclei, np.object_)),
        cells=shapely.from_geojson(np.array(cells, np.object_)) if cells else None,
    )


def _zipped(plain: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=_LEVEL, mtime=0)


def _features(group: SlideGroup, info: NucleiTableInfo) -> pa.Array:
    """Return one JSON text a nucleus."""
    nuclei, cells = group.nuclei, group.cells
    ids = [feature_id(info.slide, number) for number in nuclei.numbers.tolist()]
    kind = "detection" if cells is None else "cell"
    classes = [
        f'"properties":{{"objectType":"{kind}","classification":'
        + _json({"name": name, "color": PALETTE_RGB[index % len(PALETTE_RGB)].tolist()})
        + ',"isLocked":false,"measurements":{'
        for index, name in enumerate(info.class_names)
    ]
    pieces: list[Any] = ['{"type":"Feature","id":"', pa.array(ids), '","geometry":', geometry_texts(group.shapes)]
    if cells is not None:
        pieces += [',"nucleusGeometry":', geometry_texts(nuclei)]
    chosen = pa.array(classes, pa.string()).take(pa.array(nuclei.class_indices))
    pieces += [",", chosen, _measurement_texts(group, info), "}}}"]
    return pc.binary_join_element_wise(*(_text(piece) for piece in pieces), "")


def geometry_texts(nuclei: NucleiColumns) -> pa.Array:
    """Return outlines as GeoJSON geometries; whole numbers without a point."""
    texts = pa.array(shapely.to_geojson(nuclei.outlines()).tolist(), pa.string())
    return pc.replace_substring_regex(texts, r"\.0([,\]])", r"\1")


def _measurement_texts(group: SlideGroup, info: NucleiTableInfo) -> pa.Array:
    """Return `"name":value` pairs, undefined values left out."""
    nuclei, cells, mpp = group.nuclei, group.cells, info.frame.mpp
    columns: list[tuple[str, NDArray[Any]]] = [
        (_NUMBER, nuclei.numbers),
        (_SCORE, nuclei.scores),
        (_AREA, nuclei.areas_px),
        # float32, as in the table: the shortest text that gives the same value back.
        *((qupath_name(name), values.astype(np.float32)) for name, values in _named(nuclei)),
    ]
    if cells is not None:
        columns.append((_CELL_AREA_PX, cells.areas_px))
        if mpp is not None:
            columns.append((CELL_AREA, (cells.areas_px * mpp**2).astype(np.float32)))
        columns.append((NUCLEUS_SHARE, (nuclei.areas_px / cells.areas_px).astype(np.float32)))
    pairs = [
        pc.binary_join_element_wise(
            _text(_json(name) + ":"), pc.cast(pa.array(values, mask=_undefined(values)), "string"), ""
        )
        for name, values in columns
    ]
    return pc.binary_join_element_wise(*pairs, ",", null_handling="skip")


def _named(nuclei: NucleiColumns) -> Iterator[tuple[str, NDArray[np.float64]]]:
    yield from zip(nuclei.measurement_names, nuclei.measurements.T, strict=True)


def _undefined(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(~np.isfinite(values), np.bool_)


def _text(piece: Any) -> Any:
    return pa.scalar(piece, pa.string()) if isinstance(piece, str) else piece


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
