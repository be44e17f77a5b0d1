"""A GeoParquet file cut into horizontal bands on the disk, so that a slide's nuclei are never in memory together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.errors import DataError
from nucleate.readers.geoparquet import GeoParquetFile, PolygonBatch

# A nucleus has some hundred pixels a side at most; a region drawn around tissue would take all memory as pixels.
LARGEST_SIDE_PX = 8192


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """The polygons that reach into a band.

    Attributes:
        indices: (N,) int64 places in the file; ascending.
        scores: (N,) float32.
        polygons: (N,) shapely geometries.
    """

    indices: NDArray[np.int64]
    scores: NDArray[np.float32]
    polygons: NDArray[np.object_]


class BandedPolygons:
    """The polygons of a file by bands of `band_px` rows; one that reaches into several is in each.

    Band k holds what reaches into rows k x band_px to (k + 1) x band_px, the last one included, so that neighbours
    across its lower edge are seen.

    Args:
        file: read once, now.
        folder: for one temporary file a band; it must exist.
        band_px: height of a band.

    Raises:
        DataError: a row is unsound, or as large as a region of tissue.
    """

    def __init__(self, file: GeoParquetFile, folder: Path, *, band_px: int) -> None:
        self._folder, self._band_px, self._file = folder, band_px, file
        self.count = 0
        self.bands: set[int] = set()
        self._scores = [np.zeros(0, np.float32)]
        for batch in file.batches():
            self._add(batch)

    def read(self, band: int) -> Band:
        """Return a band; of one that nothing reaches into, no polygon."""
        indices, scores, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], []
        if band in self.bands:
            with self._path(band).open("rb") as content:
                while len(head := np.fromfile(content, np.int64, 1)):
                    count = int(head[0])
                    indices.append(np.fromfile(content, np.int64, count))
                    scores.append(np.fromfile(content, np.float32, count))
                    codes += [content.read(length) for length in np.fromfile(content, np.int64, count).tolist()]
        return Band(
            indices=np.concatenate(indices),
            scores=np.concatenate(scores),
            polygons=np.asarray(shapely.from_wkb(np.array([*codes, None], np.object_)[:-1]), np.object_),
        )

    def scores(self) -> NDArray[np.float32]:
        """Return the scores of all polygons, in file order."""
        return np.concatenate(self._scores)

    def _add(self, batch: PolygonBatch) -> None:
        polygons, scores = batch.polygons, batch.scores
        bounds = shapely.bounds(polygons).reshape(-1, 4)
        sides = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
        if sides.max(initial=0) > LARGEST_SIDE_PX:
            raise DataError(
                f"a polygon of {sides.max():.0f} px is no nucleus: coordinates are pixels, regions don't belong here",
                path=self._file.path,
                item=f"row {self.count + int(np.argmax(sides))}",
            )
        codes = np.asarray(shapely.to_wkb(polygons), np.object_)
        first = np.floor((bounds[:, 1] - 1) / self._band_px).astype(np.int64)
        last = np.floor(bounds[:, 3] / self._band_px).astype(np.int64)
        for band in range(int(first.min(initial=0)), int(last.max(initial=-1)) + 1):
            chosen = np.flatnonzero((first <= band) & (last >= band))
            if len(chosen):
                self._append(band, chosen + self.count, scores[chosen], codes[chosen])
        self._scores.append(scores)
        self.count += len(polygons)

    def _append(
        self, band: int, indices: NDArray[np.int64], scores: NDArray[np.float32], codes: NDArray[np.object_]
    ) -> None:
        lengths = np.array([len(code) for code in codes], np.int64)
        with self._path(band).open("ab") as content:
            for part in (np.array([len(indices)], np.int64), indices, scores.astype(np.float32), lengths):
                content.write(part.tobytes())
            content.write(b"".join(codes))
        self.bands.add(band)

    def _path(self, band: int) -> Path:
        return self._folder / f"{band}.band"
