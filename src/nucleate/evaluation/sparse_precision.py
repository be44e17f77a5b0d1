"""COCO's average precision of one image from sparse pairs, where a full matrix of IoU would not fit into memory.

The greedy matching of pycocotools' `COCOeval` (by falling score, each detection takes the free annotated nucleus of the
highest IoU, one whose size counts before others), done for all detections at once: where a detection and an annotated
nucleus have no other partner at IoU 0.5, they are a pair at every threshold that they reach; the rest is settled in
rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.evaluation.average_precision import (
    DETECTRON2_MAX_DETECTIONS,
    MEDIUM_BELOW_PX,
    SMALL_BELOW_PX,
    AveragePrecision,
    Kind,
    read_precision,
)

LEAST_IOU = 0.5
# COCO's own floats: 0.6 is its 0.6, not 12/20.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
LARGEST_AREA_PX = 1e5**2
AREA_RANGES_PX = (
    (0.0, LARGEST_AREA_PX),
    (0.0, float(SMALL_BELOW_PX)),
    (float(SMALL_BELOW_PX), float(MEDIUM_BELOW_PX)),
    (float(MEDIUM_BELOW_PX), LARGEST_AREA_PX),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredPairs:
    """M annotated nuclei, N detections and their K pairs.

    Attributes:
        annotated_areas_px: (M,) of the masks, also where boxes are paired, as in COCO.
        predicted_areas_px: (N,) of masks or boxes.
        scores: (N,) of the detections, in file order: at equal scores the earlier comes first.
        rows: (K,) annotated indices.
        columns: (K,) predicted indices.
        ious: (K,) at least 0.5; no pair twice.
    """

    annotated_areas_px: NDArray[np.int64]
    predicted_areas_px: NDArray[np.int64]
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    ious: NDArray[np.float64]


def sparse_average_precision(kind: Kind, pairs: ScoredPairs) -> tuple[AveragePrecision, AveragePrecision]:
    """Return the AP at Detectron2's 100 detections and at all of them, of one class."""
    most = max(len(pairs.scores), 1)
    limits = (DETECTRON2_MAX_DETECTIONS, most)
    tables = _precision(pairs, limits)
    first, second = (
        read_precision(kind, table[:, :, None, :], limit, ("nucleus",))
        for table, limit in zip(tables, limits, strict=True)
    )
    return first, second


def _precision(pairs: ScoredPairs, limits: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """Return precision by (IoU, recall, size range) for each limit; -1 where there is nothing to find."""
    by_rank = np.argsort(-pairs.scores, kind="stable")
    ranks = np.empty(len(by_rank), np.int64)
    ranks[by_rank] = np.arange(len(by_rank))
    rows, columns, ious = pairs.rows, ranks[pairs.columns], pairs.ious
    predicted_areas = pairs.predicted_areas_px[by_rank]
    lone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1) if len(rows) else np.zeros(0, np.bool_)
    tables = tuple(np.full((len(IOU_THRESHOLDS), len(RECALLS), len(AREA_RANGES_PX)), -1.0) for _ in limits)
    for size, (least, most) in enumerate(AREA_RANGES_PX):
        ignored = (pairs.annotated_areas_px < least) | (pairs.annotated_areas_px > most)
        wanted = int(np.count_nonzero(~ignored))
        if not wanted:
            continue
        outside = (predicted_areas < least) | (predicted_areas > most)
        for place, threshold in enumerate(IOU_THRESHOLDS.tolist()):
            close = ious >= threshold
            taken, rest = close & lone, close & ~lone
            matched = np.concatenate([np.flatnonzero(taken), _greedy(rows, columns, ious, ignored, rest)])
            partner_ignored = ignored[rows[matched]]
            found, silent = np.zeros(len(by_rank), np.bool_), outside.copy()
            found[columns[matched]] = ~partner_ignored
            silent[columns[matched]] = partner_ignored
            for table, limit in zip(tables, limits, strict=True):
                table[place, :, size] = _interpolated(found[:limit], silent[:limit], wanted)
    return tables


def _greedy(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    ious: NDArray[np.float64],
    ignored: NDArray[np.bool_],
    candidates: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return which of the candidate pairs COCO's greedy matching takes; a smaller column is a higher score.

    In each round every detection whose best free nucleus no earlier detection can still claim takes it: these are the
    choices that going through the detections one by one would have made.
    """
    left = np.flatnonzero(candidates)
    # Best last: counted before ignored, then IoU, then the later nucleus, as in COCO's loop.
    left = left[np.lexsort((rows[left], ious[left], ~ignored[rows[left]], columns[left]))]
    earliest = np.full(len(ignored), np.iinfo(np.int64).max)
    taken = [np.zeros(0, np.int64)]
    done_rows = np.zeros(len(ignored), np.bool_)
    while len(left):
        earliest[rows[left]] = np.iinfo(np.int64).max
        np.minimum.at(earliest, rows[left], columns[left])
        best = left[np.flatnonzero(np.diff(columns[left], append=-1))]
        settled = best[earliest[rows[best]] == columns[best]]
        taken.append(settled)
        done_rows[rows[settled]] = True
        left = left[~done_rows[rows[left]] & ~np.isin(columns[left], columns[settled])]
    return np.concatenate(taken)


def _interpolated(found: NDArray[np.bool_], silent: NDArray[np.bool_], wanted: int) -> NDArray[np.float64]:
    """Return the highest precision at each recall or a greater one; 0 where it is not reached."""
    hits = np.cumsum(found)
    precision = hits / (hits + np.cumsum(~found & ~silent) + np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / wanted, RECALLS, side="left")
    reached = places < len(envelope)
    result = np.zeros(len(RECALLS))
    result[reached] = envelope[places[reached]]
    return result
