"""Label maps of a slide's nuclei, tile by tile, painted from the runs of a band's polygons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core import polygon_runs
from nucleate.readers import BandedPolygons


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BandRuns:
    """The runs of a band's polygons in the order in which they are painted.

    Attributes:
        owners: (K,) places of the polygons in the file.
        rows: (K,) of the slide.
        starts: (K,) first column.
        stops: (K,) column after the last.
    """

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    def where(self, kept: NDArray[np.bool_]) -> BandRuns:
        """Return the runs where (K,) `kept` is true."""
        return BandRuns(
            owners=self.owners[kept], rows=self.rows[kept], starts=self.starts[kept], stops=self.stops[kept]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """A label map with one row and column of the next tiles; `owners[id - 1]` is the place in the file.

    Attributes:
        label_map: (side + 1, side + 1).
        owners: (N,) ascending.
    """

    label_map: NDArray[np.int32]
    owners: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TilePair:
    """The tiles of both sides at a place of the slide.

    Attributes:
        annotated: one side.
        predicted: the other.
        left: first column, in the slide.
        top: first row.
    """

    annotated: Tile
    predicted: Tile
    left: int
    top: int


def band_runs(side: BandedPolygons, band: int, *, later_owns: bool) -> tuple[BandRuns, NDArray[np.float32]]:
    """Return the runs of the polygons that reach into a band, and the (K,) scores of the runs.

    Args:
        side: one file.
        band: which.
        later_owns: paint in file order; else the highest score last, and of equal scores the earliest row.
    """
    content = side.read(band)
    order = np.arange(len(content.indices))
    if not later_owns:
        order = np.lexsort((-content.indices, content.scores))
    runs = polygon_runs(content.polygons[order])
    found = BandRuns(owners=content.indices[order][runs.owners], rows=runs.rows, starts=runs.starts, stops=runs.stops)
    return found, content.scores[order][runs.owners]


def tile_pairs(annotated: BandRuns, predicted: BandRuns, band: int, tile_px: int) -> Iterator[TilePair]:
    """Yield the tiles of a band in which either side has a nucleus, from left to right."""
    sides = [_by_tile(side, band, tile_px) for side in (annotated, predicted)]
    top = band * tile_px
    for column in sorted(sides[0].keys() | sides[1].keys()):
        left = column * tile_px
        one, other = (_paint(side.get(column), left, top, tile_px) for side in sides)
        yield TilePair(annotated=one, predicted=other, left=left, top=top)


def _by_tile(side: BandRuns, band: int, tile_px: int) -> dict[int, BandRuns]:
    """Return the runs by column of tiles; those that end in the first column of a tile belong to the one before too."""
    kept = side.where((side.rows >= band * tile_px) & (side.rows <= (band + 1) * tile_px))
    first, last = (kept.starts - 1) // tile_px, (kept.stops - 1) // tile_px
    counts = last - first + 1
    runs = np.repeat(np.arange(len(kept.owners)), counts)
    columns = np.arange(len(runs)) - np.repeat(np.cumsum(counts) - counts, counts) + first[runs]
    order = np.argsort(columns, kind="stable")
    columns, runs = columns[order], runs[order]
    borders = np.flatnonzero(np.diff(columns)) + 1
    tiles = {}
    for chosen, of_runs in zip(np.split(runs, borders), np.split(columns, borders), strict=True):
        if not len(chosen):
            continue
        column = int(of_runs[0])
        tiles[column] = BandRuns(
            owners=kept.owners[chosen],
            rows=kept.rows[chosen],
            starts=np.maximum(kept.starts[chosen], column * tile_px),
            stops=np.minimum(kept.stops[chosen], (column + 1) * tile_px + 1),
        )
    return tiles


def _paint(runs: BandRuns | None, left: int, top: int, tile_px: int) -> Tile:
    label_map = np.zeros((tile_px + 1, tile_px + 1), np.int32)
    if runs is None:
        return Tile(label_map=label_map, owners=np.zeros(0, np.int64))
    owners, ids = np.unique(runs.owners, return_inverse=True)
    lengths = runs.stops - runs.starts
    heads = (runs.rows - top) * (tile_px + 1) + runs.starts - left
    places = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths - heads, lengths)
    # Of repeated places the last value stays.
    label_map.reshape(-1)[places] = np.repeat(ids.astype(np.int32) + 1, lengths)
    return Tile(label_map=label_map, owners=owners)
