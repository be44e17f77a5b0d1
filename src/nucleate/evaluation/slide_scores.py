"""A slide's nuclei against a slide's nuclei, GeoParquet on both sides, in memory that does not grow with the slide.

Both sides are cut into bands on the disk. A band becomes label maps tile by tile, by pixel centres, and of each tile
only areas, overlaps and sums of coordinates are kept; of whole masks, areas, boxes and common pixels: a few hundred
bytes a nucleus. The numbers are those of label maps and masks of the whole slide.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleate.errors import ConfigError
from nucleate.evaluation.average_precision import PrecisionTable, SizeCounts
from nucleate.evaluation.centroids import Centroids, coordinate_sums
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
from nucleate.evaluation.slide_masks import MaskSums, added_up
from nucleate.evaluation.slide_tiles import Tile, TilePair, band_runs, tile_pairs
from nucleate.evaluation.sparse_precision import ScoredPairs, sparse_average_precision
from nucleate.evaluation.tally import Tally, tally_overlaps
from nucleate.readers import BandedPolygons, GeoParquetFile

TILE_PX = 1024
NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlideOverlaps:
    """What two files share.

    Attributes:
        overlaps: of nuclei with pixels of their own, in file order.
        centroids: of the same nuclei.
        touching: (M,) annotated nuclei with a pixel beside one of another.
        hidden: annotated nuclei without a pixel of their own.
        predicted_hidden: predicted ones.
        mask_pairs: of all nuclei with their whole masks, whatever the score.
        box_pairs: of their boxes.
    """

    overlaps: Overlaps
    centroids: Centroids
    touching: NDArray[np.bool_]
    hidden: int
    predicted_hidden: int
    mask_pairs: ScoredPairs
    box_pairs: ScoredPairs


def evaluate_slide(
    annotated: GeoParquetFile, predicted: GeoParquetFile, settings: EvaluationSettings, *, data_fingerprint: str = ""
) -> Evaluation:
    """Score one file against another as one image, by the protocol `standard`; classes don't count.

    Args:
        annotated: the later row owns shared pixels.
        predicted: the higher score does, at equal scores the earlier row.
        settings: threshold and rules; AP takes every nucleus.
        data_fingerprint: of the annotated file.

    Raises:
        ConfigError: another protocol.
        DataError: a row is unsound, or centroids are limited in um.
    """
    if settings.protocol.name != "standard":
        raise ConfigError(f"files as large as a slide are scored by the protocol standard, not by {settings.protocol}")
    shared = slide_overlaps(annotated, predicted, above=settings.score_threshold)
    overlaps = shared.overlaps
    tally = tally_overlaps(overlaps, centroids=shared.centroids, limit=settings.centroid_limit)
    found = np.zeros(overlaps.annotated_count, np.bool_)
    found[overlaps.annotated_indices[matched_pairs(overlaps)]] = True
    notes = [
        f"{count} {side} nuclei hold no pixel centre of their own and were left out (of AP only those without any)"
        for count, side in ((shared.hidden, "annotated"), (shared.predicted_hidden, "predicted"))
        if count
    ]
    scores = image_scores(tally, settings.empty_image)
    return Evaluation(
        settings=settings,
        data=str(annotated.path),
        data_fingerprint=data_fingerprint,
        overall=_group(tally, scores, settings, shared),
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
    """Return what two files' polygons share, as pixels by their centres.

    Args:
        annotated: one file.
        predicted: the other.
        above: predicted polygons with a greater score are painted; `mask_pairs` and `box_pairs` are of all.
        tile_px: side of the label maps that are made; the result does not depend on it.

    Raises:
        DataError: a row is unsound.
    """
    with tempfile.TemporaryDirectory(prefix="nucleate-") as name:
        folders = Path(name, "annotated"), Path(name, "predicted")
        for folder in folders:
            folder.mkdir()
        ours = BandedPolygons(annotated, folders[0], band_px=tile_px)
        theirs = BandedPolygons(predicted, folders[1], band_px=tile_px)
        sums = _Sums(annotated=ours.count, predicted=theirs.count)
        masks = MaskSums(annotated=ours.count, predicted=theirs.count)
        for band in sorted(ours.bands | theirs.bands):
            one, _ = band_runs(ours, band, later_owns=True)
            other, scores = band_runs(theirs, band, later_owns=False)
            masks.add(one, other, top=band * tile_px, bottom=(band + 1) * tile_px)
            for pair in tile_pairs(one, other.where(scores > above), band, tile_px):
                sums.add(pair)
            sums.merge_pairs()
    return sums.result(masks, theirs.scores(), above)


class _Side:
    """Areas of one side's nuclei in the label maps, and the sums of their pixels' coordinates."""

    def __init__(self, count: int) -> None:
        self.areas_px = np.zeros(count, np.int64)
        self.sums_xy = np.zeros((count, 2))

    def add(self, tile: Tile, ids: NDArray[np.int64], areas_px: NDArray[np.int64], corner_xy: tuple[int, int]) -> None:
        """Add a tile's own pixels."""
        owners = tile.owners[ids - 1]
        self.areas_px[owners] += areas_px
        own = coordinate_sums(tile.label_map[:-1, :-1], ids)
        self.sums_xy[owners] += own + np.multiply.outer(areas_px, np.array(corner_xy, np.float64))


class _Sums:
    """Areas and overlaps of all tiles so far."""

    def __init__(self, *, annotated: int, predicted: int) -> None:
        self._sides = _Side(annotated), _Side(predicted)
        self._touching = np.zeros(annotated, np.bool_)
        self._new: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._done: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._width = max(predicted, 1)

    def add(self, pair: TilePair) -> None:
        one, other, corner_xy = pair.annotated, pair.predicted, (pair.left, pair.top)
        overlaps = label_map_overlaps(one.label_map[:-1, :-1], other.label_map[:-1, :-1])
        self._sides[0].add(one, overlaps.annotated_ids, overlaps.annotated_areas_px, corner_xy)
        self._sides[1].add(other, overlaps.predicted_ids, overlaps.predicted_areas_px, corner_xy)
        self._touching[one.owners[touching_ids(one.label_map) - 1]] = True
        rows = one.owners[overlaps.annotated_ids - 1][overlaps.annotated_indices]
        columns = other.owners[overlaps.predicted_ids - 1][overlaps.predicted_indices]
        self._new.append((rows * self._width + columns, overlaps.intersections_px))

    def merge_pairs(self) -> None:
        """Add up the pairs of a band's tiles; those across bands are added up at the end."""
        if self._new:
            self._done.append(added_up([pair[0] for pair in self._new], [pair[1] for pair in self._new]))
            self._new = []

    def result(self, masks: MaskSums, scores: NDArray[np.float32], above: float) -> SlideOverlaps:
        keys, counts = added_up([pair[0] for pair in self._done], [pair[1] for pair in self._done])
        rows, columns = np.divmod(keys, self._width)
        ours, theirs = (np.flatnonzero(side.areas_px) for side in self._sides)
        areas, other_areas = self._sides[0].areas_px[ours], self._sides[1].areas_px[theirs]
        painted = scores > above
        return SlideOverlaps(
            overlaps=Overlaps(
                annotated_ids=ours + 1,
                # Numbers count what the score threshold leaves.
                predicted_ids=np.cumsum(painted, dtype=np.int64)[theirs],
                annotated_areas_px=areas,
                predicted_areas_px=other_areas,
                annotated_indices=np.searchsorted(ours, rows),
                predicted_indices=np.searchsorted(theirs, columns),
                intersections_px=counts,
            ),
            centroids=Centroids(
                annotated_xy=self._sides[0].sums_xy[ours] / areas[:, None],
                predicted_xy=self._sides[1].sums_xy[theirs] / other_areas[:, None],
            ),
            touching=self._touching[ours],
            hidden=len(self._touching) - len(ours),
            predicted_hidden=int(np.count_nonzero(painted)) - len(theirs),
            mask_pairs=masks.mask_pairs(scores),
            box_pairs=masks.box_pairs(scores),
        )


def _group(tally: Tally, scores: Scores | None, settings: EvaluationSettings, shared: SlideOverlaps) -> GroupResult:
    segm, segm_uncapped = sparse_average_precision("segm", shared.mask_pairs)
    bbox, bbox_uncapped = sparse_average_precision("bbox", shared.box_pairs)
    return GroupResult(
        name="all",
        images=1,
        sizes=SizeCounts.of(shared.mask_pairs.annotated_areas_px.astype(np.float64)),
        scores=mean_scores([scores]),
        pooled=Scores.of(tally),
        detection=mean_detection([tally], settings.empty_image),
        count_errors=CountErrors(mean=float(tally.count_error), mean_absolute=float(abs(tally.count_error))),
        tally=tally,
        precision=PrecisionTable(bbox=bbox, segm=segm, bbox_uncapped=bbox_uncapped, segm_uncapped=segm_uncapped),
    )
