"""A slide's nuclei against a slide's nuclei, GeoParquet on both sides, in memory that does not grow with the slide.

Both sides are cut into bands on the disk. A band becomes label maps tile by tile, by pixel centres, and of each tile
only the areas and overlaps are kept: about 100 bytes a nucleus. The numbers are those of label maps of the whole slide.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleate.core import polygon_runs
from nucleate.errors import ConfigError
from nucleate.evaluation.average_precision import AveragePrecision, Kind, PrecisionTable, SizeCounts
from nucleate.evaluation.fates import AnnotatedNuclei, touching_ids
from nucleate.evaluation.image_scores import Scores, image_scores, mean_detection, mean_scores
from nucleate.evaluation.matching import Overlaps, label_map_overlaps
from nucleate.evaluation.panoptic import matched_pairs
from nucleate.evaluation.results import (
    INTERVAL_SCORES,
    CountErrors,
    Evaluation,
    EvaluationSettings,
    GroupResult,
    ImageResult,
    ScoreInterval,
)
from nucleate.evaluation.tally import Tally, tally_overlaps
from nucleate.readers import BandedPolygons, GeoParquetFile

TILE_PX = 1024
NAN = float("nan")
NO_PRECISION = "AP: not made of files that are scored in bands, since it needs every pair at every rank"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlideOverlaps:
    """What two files share.

    Attributes:
        overlaps: of nuclei with pixels of their own, in file order.
        touching: (M,) annotated nuclei with a pixel beside one of another.
        hidden: annotated nuclei without a pixel of their own.
        predicted_hidden: predicted ones.
    """

    overlaps: Overlaps
    touching: NDArray[np.bool_]
    hidden: int
    predicted_hidden: int


def evaluate_slide(
    annotated: GeoParquetFile, predicted: GeoParquetFile, settings: EvaluationSettings, *, data_fingerprint: str = ""
) -> Evaluation:
    """Score one file against another as one image, by the protocol `standard`; there is no AP, classes don't count.

    Args:
        annotated: the later row owns shared pixels.
        predicted: the higher score does, at equal scores the earlier row.
        settings: threshold and rules.
        data_fingerprint: of the annotated file.

    Raises:
        ConfigError: another protocol.
        DataError: a row is unsound.
    """
    if settings.protocol.name != "standard":
        raise ConfigError(f"files as large as a slide are scored by the protocol standard, not by {settings.protocol}")
    shared = slide_overlaps(annotated, predicted, above=settings.score_threshold)
    overlaps = shared.overlaps
    tally = tally_overlaps(overlaps)
    found = np.zeros(overlaps.annotated_count, np.bool_)
    found[overlaps.annotated_indices[matched_pairs(overlaps)]] = True
    notes = [
        f"{count} {side} nuclei hold no pixel centre of their own and were left out"
        for count, side in ((shared.hidden, "annotated"), (shared.predicted_hidden, "predicted"))
        if count
    ]
    scores = image_scores(tally, settings.empty_image)
    return Evaluation(
        settings=settings,
        data=str(annotated.path),
        data_fingerprint=data_fingerprint,
        overall=_group(tally, scores, settings, overlaps),
        organs=(),
        images=(
            ImageResult(image_id=1, file_name=annotated.path.name, organ=None, source="", tally=tally, scores=scores),
        ),
        intervals=tuple(ScoreInterval(score=name, low=NAN, high=NAN) for name in INTERVAL_SCORES),
        nuclei=AnnotatedNuclei(areas_px=overlaps.annotated_areas_px, found=found, touching=shared.touching),
        notes=tuple(notes),
    )


def slide_overlaps(
    annotated: GeoParquetFile, predicted: GeoParquetFile, *, above: float = -1.0, tile_px: int = TILE_PX
) -> SlideOverlaps:
    """Return the overlaps of two files' polygons, as pixels by their centres.

    Args:
        annotated: one file.
        predicted: the other.
        above: predicted polygons with a greater score are taken.
        tile_px: side of the label maps that are made; the result does not depend on it.

    Raises:
        DataError: a row is unsound.
    """
    with tempfile.TemporaryDirectory(prefix="nucleate-") as name:
        folders = Path(name, "annotated"), Path(name, "predicted")
        for folder in folders:
            folder.mkdir()
        ours = BandedPolygons(annotated, folders[0], band_px=tile_px)
        theirs = BandedPolygons(predicted, folders[1], band_px=tile_px, above=above)
        sums = _Sums(annotated=ours.count, predicted=theirs.count)
        for band in sorted(ours.bands | theirs.bands):
            for one, other in _tile_pairs(_painted(ours, band, later_owns=True), _painted(theirs, band), band, tile_px):
                sums.add(one, other)
            sums.merge_pairs()
    return sums.result()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Painted:
    """The runs of a band's polygons in the order in which they are painted; `owners` are places in the file."""

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tile:
    """A label map with one row and column of the next tiles; `owners[id - 1]` is the place in the file."""

    label_map: NDArray[np.int32]
    owners: NDArray[np.int64]


def _painted(side: BandedPolygons, band: int, *, later_owns: bool = False) -> _Painted:
    content = side.read(band)
    order = np.arange(len(content.indices))
    if not later_owns:
        order = np.lexsort((-content.indices, content.scores))
    runs = polygon_runs(content.polygons[order])
    return _Painted(owners=content.indices[order][runs.owners], rows=runs.rows, starts=runs.starts, stops=runs.stops)


def _tile_pairs(one: _Painted, other: _Painted, band: int, tile_px: int) -> Iterator[tuple[_Tile, _Tile]]:
    sides = [_by_tile(side, band, tile_px) for side in (one, other)]
    for column in sorted(sides[0].keys() | sides[1].keys()):
        first, second = (_paint(side.get(column), column * tile_px, band * tile_px, tile_px) for side in sides)
        yield first, second


def _by_tile(side: _Painted, band: int, tile_px: int) -> dict[int, _Painted]:
    """Return the runs by column of tiles; those that end in the first column of a tile belong to the one before too."""
    kept = (side.rows >= band * tile_px) & (side.rows <= (band + 1) * tile_px)
    owners, rows, starts, stops = (values[kept] for values in (side.owners, side.rows, side.starts, side.stops))
    first, last = (starts - 1) // tile_px, (stops - 1) // tile_px
    counts = last - first + 1
    runs = np.repeat(np.arange(len(owners)), counts)
    columns = np.arange(len(runs)) - np.repeat(np.cumsum(counts) - counts, counts) + first[runs]
    order = np.argsort(columns, kind="stable")
    columns, runs = columns[order], runs[order]
    borders = np.flatnonzero(np.diff(columns)) + 1
    tiles = {}
    for chosen, of_runs in zip(np.split(runs, borders), np.split(columns, borders), strict=True):
        if not len(chosen):
            continue
        column = int(of_runs[0])
        tiles[column] = _Painted(
            owners=owners[chosen],
            rows=rows[chosen],
            starts=np.maximum(starts[chosen], column * tile_px),
            stops=np.minimum(stops[chosen], (column + 1) * tile_px + 1),
        )
    return tiles


def _paint(runs: _Painted | None, left: int, top: int, tile_px: int) -> _Tile:
    label_map = np.zeros((tile_px + 1, tile_px + 1), np.int32)
    if runs is None:
        return _Tile(label_map=label_map, owners=np.zeros(0, np.int64))
    owners, ids = np.unique(runs.owners, return_inverse=True)
    lengths = runs.stops - runs.starts
    heads = (runs.rows - top) * (tile_px + 1) + runs.starts - left
    places = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths - heads, lengths)
    # Of repeated places the last value stays.
    label_map.reshape(-1)[places] = np.repeat(ids.astype(np.int32) + 1, lengths)
    return _Tile(label_map=label_map, owners=owners)


class _Sums:
    """Areas and overlaps of all tiles so far."""

    def __init__(self, *, annotated: int, predicted: int) -> None:
        self._areas = np.zeros(annotated, np.int64), np.zeros(predicted, np.int64)
        self._touching = np.zeros(annotated, np.bool_)
        self._new_keys: list[NDArray[np.int64]] = []
        self._new_counts: list[NDArray[np.int64]] = []
        self._done: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def add(self, one: _Tile, other: _Tile) -> None:
        overlaps = label_map_overlaps(one.label_map[:-1, :-1], other.label_map[:-1, :-1])
        ours, theirs = one.owners[overlaps.annotated_ids - 1], other.owners[overlaps.predicted_ids - 1]
        self._areas[0][ours] += overlaps.annotated_areas_px
        self._areas[1][theirs] += overlaps.predicted_areas_px
        self._touching[one.owners[touching_ids(one.label_map) - 1]] = True
        width = max(len(self._areas[1]), 1)
        self._new_keys.append(ours[overlaps.annotated_indices] * width + theirs[overlaps.predicted_indices])
        self._new_counts.append(overlaps.intersections_px)

    def merge_pairs(self) -> None:
        """Add up the pairs of a band's tiles; those across bands are added up at the end."""
        if self._new_keys:
            self._done.append(_added_up(self._new_keys, self._new_counts))
            self._new_keys, self._new_counts = [], []

    def result(self) -> SlideOverlaps:
        keys, counts = _added_up([pair[0] for pair in self._done], [pair[1] for pair in self._done])
        rows, columns = np.divmod(keys, max(len(self._areas[1]), 1))
        ours, theirs = (np.flatnonzero(areas) for areas in self._areas)
        return SlideOverlaps(
            overlaps=Overlaps(
                annotated_ids=ours + 1,
                predicted_ids=theirs + 1,
                annotated_areas_px=self._areas[0][ours],
                predicted_areas_px=self._areas[1][theirs],
                annotated_indices=np.searchsorted(ours, rows),
                predicted_indices=np.searchsorted(theirs, columns),
                intersections_px=counts,
            ),
            touching=self._touching[ours],
            hidden=len(self._areas[0]) - len(ours),
            predicted_hidden=len(self._areas[1]) - len(theirs),
        )


def _added_up(
    keys: list[NDArray[np.int64]], counts: list[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct keys, ascending, and the sum of the counts of each."""
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    distinct, places = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, places, np.concatenate(counts))
    return distinct, sums


def _group(tally: Tally, scores: Scores | None, settings: EvaluationSettings, overlaps: Overlaps) -> GroupResult:
    def undefined(kind: Kind) -> AveragePrecision:
        return AveragePrecision(
            kind=kind,
            max_detections=0,
            ap=NAN,
            ap50=NAN,
            ap75=NAN,
            ap_small=NAN,
            ap_medium=NAN,
            ap_large=NAN,
            undefined=(NO_PRECISION,),
        )

    bbox, segm = undefined("bbox"), undefined("segm")
    return GroupResult(
        name="all",
        images=1,
        sizes=SizeCounts.of(overlaps.annotated_areas_px.astype(np.float64)),
        scores=mean_scores([scores]),
        pooled=Scores.of(tally),
        detection=mean_detection([tally], settings.empty_image),
        count_errors=CountErrors(mean=float(tally.count_error), mean_absolute=float(abs(tally.count_error))),
        tally=tally,
        precision=PrecisionTable(bbox=bbox, segm=segm, bbox_uncapped=bbox, segm_uncapped=segm),
    )
