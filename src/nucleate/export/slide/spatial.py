"""A slide's nuclei as SpatialData: outlines as shapes, measurements as a table that annotates them.

SpatialData keeps its elements in memory, so this format alone is not streamed.
"""

from __future__ import annotations

import shutil
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from nucleate.core import NucleiColumns
from nucleate.errors import DataError, MissingExtraError, ResultsError
from nucleate.export.slide.reading import centroids_xy, wkb
from nucleate.export.slide.slide_table import ExportedNuclei, SlideTable

if TYPE_CHECKING:
    import spatialdata

EXTRA = "spatial"
NUCLEI, CELLS, TABLE = "nuclei", "cells", "measurements"
# SpatialData's own name for the image's pixels, and micrometres where they are known.
PIXELS, MICROMETRES = "global", "um"


def write_slide_spatialdata(path: Path, table: SlideTable) -> None:
    """Write a Zarr store with shapes `nuclei` (and `cells`), indexed by number, and the table `measurements`.

    Raises:
        MissingExtraError: spatialdata is not installed.
        ResultsError: something stands there already, or it can't be written.
    """
    data = slide_spatialdata(table)
    if path.exists():
        raise ResultsError("holds something already: choose a new folder", path=path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.part.zarr")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data.write(temporary)
        temporary.rename(path)
    except OSError as error:
        raise ResultsError(f"can't be written: {error.strerror or error}", path=path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def slide_spatialdata(table: SlideTable) -> spatialdata.SpatialData:
    """Return the table as SpatialData in memory; coordinate systems `global` (level-0 pixels) and `um`.

    Raises:
        MissingExtraError: spatialdata is not installed.
    """
    _need()
    import geopandas
    import pandas as pd
    from anndata import AnnData
    from spatialdata import SpatialData
    from spatialdata.models import ShapesModel, TableModel
    from spatialdata.transformations import Identity, Scale

    info = table.info
    groups = list(table.groups())
    nuclei = NucleiColumns.concatenate([NucleiColumns.empty(info.measurement_names), *(each.nuclei for each in groups)])
    transformations: dict[str, Any] = {PIXELS: Identity()}
    if info.frame.mpp is not None:
        transformations[MICROMETRES] = Scale([info.frame.mpp] * 2, axes=("x", "y"))

    def shapes(columns: NucleiColumns) -> Any:
        frame = geopandas.GeoDataFrame(geometry=list(columns.outlines()), index=pd.Index(columns.numbers, name=None))
        return ShapesModel.parse(frame, transformations=dict(transformations))

    elements = {NUCLEI: shapes(nuclei)} if len(nuclei) else {}
    if groups and groups[0].cells is not None:
        elements[CELLS] = shapes(NucleiColumns.concatenate([each.cells for each in groups if each.cells is not None]))
    rows = pd.DataFrame(
        {
            "number": nuclei.numbers,
            "class": pd.Categorical(
                np.array(info.class_names, np.object_)[nuclei.class_indices], list(info.class_names)
            ),
            "score": nuclei.scores,
            "area_px": nuclei.areas_px,
            "region": pd.Categorical([NUCLEI] * len(nuclei)),
        },
        index=nuclei.numbers.astype(str),
    )
    measured = AnnData(
        X=nuclei.measurements.astype(np.float32),
        obs=rows,
        var=pd.DataFrame(index=list(info.measurement_names)),
        obsm={"spatial": nuclei.centroids_xy},
        uns={"nucleate": {"slide": info.slide, "model": info.model, "class_names": list(info.class_names)}},
    )
    if not len(nuclei):
        return SpatialData(tables={TABLE: TableModel.parse(measured)})
    parsed = TableModel.parse(measured, region=NUCLEI, region_key="region", instance_key="number")
    return SpatialData(shapes=elements, tables={TABLE: parsed})


def read_slide_spatialdata(path: Path) -> ExportedNuclei:
    """Return the nuclei of a store that `write_slide_spatialdata` wrote.

    Raises:
        DataError: no such folder, or none of that kind.
        MissingExtraError: spatialdata is not installed.
    """
    _need()
    from spatialdata import read_zarr

    if not path.is_dir():
        raise DataError("no such folder", path=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = read_zarr(path)
        measured = data.tables[TABLE]
        rows, class_names = measured.obs, tuple(measured.uns["nucleate"]["class_names"])
        numbers = rows["number"].to_numpy(np.int64)
        outlines = _outlines(data, NUCLEI, numbers)
        cells = wkb(_outlines(data, CELLS, numbers)) if CELLS in data.shapes else None
        nuclei = NucleiColumns(
            numbers=numbers,
            outlines_wkb=wkb(outlines),
            boxes_xyxy=shapely.bounds(outlines).reshape(-1, 4),
            centroids_xy=centroids_xy(outlines),
            areas_px=rows["area_px"].to_numpy(np.int64),
            class_indices=rows["class"].cat.codes.to_numpy(np.int64),
            scores=rows["score"].to_numpy(np.float32),
            measurement_names=tuple(measured.var_names),
            measurements=np.asarray(measured.X, np.float64).reshape(len(rows), measured.n_vars),
        )
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"no SpatialData of `nucleate export`: {error}", path=path) from error
    return ExportedNuclei(nuclei=nuclei, class_names=class_names, cells_wkb=cells)


def _outlines(data: Any, element: str, numbers: Any) -> Any:
    if not len(numbers):
        return np.zeros(0, np.object_)
    return np.asarray(data.shapes[element].loc[numbers].geometry, np.object_)


def _need() -> None:
    try:
        import spatialdata  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("SpatialData", EXTRA) from error
