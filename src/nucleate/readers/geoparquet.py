"""GeoParquet of polygons in image pixels: a `geometry` column of WKB, optional `score` and `class`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from nucleate.errors import DataError
from nucleate.readers.side import ONE_CLASS, Side, SideImage

SUFFIX = ".parquet"
SUFFIXES = frozenset({SUFFIX, ".geoparquet"})
POLYGON_TYPES = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolygonBatch:
    """Consecutive rows of a file.

    Attributes:
        polygons: (N,) shapely geometries.
        class_names: one a row.
        scores: (N,) in [0, 1].
    """

    polygons: NDArray[np.object_]
    class_names: tuple[str, ...]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoParquetFile:
    """One file, read a batch of rows at a time.

    Attributes:
        path: of it.
        geometry: its column of polygons.
        score: its column of scores, None where there is none.
        class_name: its column of classes, None where there is none.
        rows: how many.
    """

    path: Path
    geometry: str
    score: str | None
    class_name: str | None
    rows: int

    @classmethod
    def open(cls, path: Path) -> GeoParquetFile:
        """Return the file's columns.

        Raises:
            DataError: no Parquet file, or no column of geometries.
        """
        try:
            with pq.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"no Parquet file: {error}", path=path) from error
        geometry = _geometry_column(schema)
        if geometry is None:
            raise DataError(f"no column of geometries (WKB) among {', '.join(schema.names)}", path=path)
        return cls(
            path=path,
            geometry=geometry,
            score="score" if "score" in schema.names else None,
            class_name="class" if "class" in schema.names else None,
            rows=rows,
        )

    def batches(self) -> Iterator[PolygonBatch]:
        """Yield the rows in file order.

        Raises:
            DataError: a geometry is no polygon or has no finite corners, or a score lies outside 0 to 1.
        """
        columns = [name for name in (self.geometry, self.score, self.class_name) if name is not None]
        first = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
                    yield self._batch(batch, first)
                    first += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"damaged Parquet file: {error}", path=self.path) from error

    def bounds_xyxy(self) -> NDArray[np.float64]:
        """Return the bounds of all polygons; infinite, the wrong way round, for none.

        Raises:
            DataError: a row is unsound.
        """
        bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        for batch in self.batches():
            found = shapely.total_bounds(batch.polygons) if len(batch.polygons) else bounds
            bounds = np.concatenate([np.minimum(bounds[:2], found[:2]), np.maximum(bounds[2:], found[2:])])
        return bounds

    def _batch(self, batch: Any, first: int) -> PolygonBatch:
        try:
            polygons = shapely.from_wkb(batch.column(self.geometry).to_numpy(zero_copy_only=False))
        except (TypeError, shapely.errors.ShapelyError) as error:
            raise DataError(f"a geometry is no WKB: {error}", path=self.path, item=f"rows from {first}") from error
        bounds = shapely.bounds(polygons)
        sound = np.isin(shapely.get_type_id(polygons), POLYGON_TYPES) & np.isfinite(bounds).all(axis=1)
        self._check(sound, "no polygon with finite corners", first)
        scores = np.ones(len(polygons), np.float32)
        if self.score is not None:
            scores = batch.column(self.score).to_numpy(zero_copy_only=False).astype(np.float32)
            self._check((scores >= 0) & (scores <= 1), "a score outside 0 to 1, or none", first)
        names = [ONE_CLASS] * len(polygons)
        if self.class_name is not None:
            names = [str(name or ONE_CLASS) for name in batch.column(self.class_name).to_pylist()]
        return PolygonBatch(polygons=polygons, class_names=tuple(names), scores=scores)

    def _check(self, sound: NDArray[np.bool_], problem: str, first: int) -> None:
        if not sound.all():
            raise DataError(problem, path=self.path, item=f"row {first + int(np.argmin(sound))}")


def parquet_files(path: Path) -> list[Path]:
    """Return the Parquet files of a file or folder, sorted."""
    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def read_geoparquet_side(path: Path) -> Side:
    """Read one file, or every NAME.parquet of a folder, whole.

    Raises:
        DataError: a file is no Parquet, or a row is unsound.
    """
    images = []
    for file in parquet_files(path):
        batches = list(GeoParquetFile.open(file).batches())
        images.append(
            SideImage(
                name=file.stem,
                frame=None,
                masks=None,
                polygons=np.concatenate([np.zeros(0, np.object_), *(batch.polygons for batch in batches)]),
                class_names=tuple(name for batch in batches for name in batch.class_names),
                scores=np.concatenate([np.zeros(0, np.float32), *(batch.scores for batch in batches)]),
            )
        )
    return Side(path=path, format="geoparquet", images=tuple(images), names_images=path.is_dir())


def _geometry_column(schema: Any) -> str | None:
    named = "geometry"
    with suppress(KeyError, ValueError, TypeError):
        named = json.loads((schema.metadata or {})[b"geo"])["primary_column"]
    if named not in schema.names:
        return None
    kind = schema.field(named).type
    return named if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None
