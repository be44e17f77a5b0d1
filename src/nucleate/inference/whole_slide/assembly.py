"""From finished blocks to a slide's nuclei, row of blocks by row: seams settled, neighbours measured, numbered.

What a block found never depends on its neighbours, and what is decided here never on the order in which blocks were
finished: so a run that was killed ends in the same table. A few rows of blocks are held at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, NucleiColumns
from nucleate.inference.seams import find_overlaps, settle
from nucleate.inference.whole_slide.found import FoundNuclei
from nucleate.inference.whole_slide.plan import Block, SlidePlan
from nucleate.measurement import NEIGHBOURHOOD_COLUMNS, measure_neighbourhood


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourSettings:
    """How far neighbours are looked for.

    Attributes:
        radius_um: of the circle in which they are counted.
        most_distance_um: to the nearest; a nucleus without one so near is alone (NaN).
    """

    radius_um: float = 50.0
    most_distance_um: float = 500.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SettledRow:
    """A row of blocks whose seams are settled.

    Attributes:
        nuclei: each once.
        complete_to_px: every nucleus that begins above this level-0 y is in this row or an earlier one.
    """

    nuclei: NucleiColumns
    complete_to_px: float


def settled_rows(
    plan: SlidePlan, read: Callable[[Block], FoundNuclei], same_nucleus_iou: float
) -> Iterator[SettledRow]:
    """Yield the nuclei of each row of blocks, each nucleus once.

    Reports that the next row may have an opinion on wait for it, with all that they overlap.

    Args:
        plan: of the slide.
        read: gives a finished block's nuclei.
        same_nucleus_iou: see `settle`.
    """
    waiting: FoundNuclei | None = None
    rows = plan.rows()
    for index, blocks in enumerate(rows):
        found = FoundNuclei.concatenate([*([] if waiting is None else [waiting]), *(read(block) for block in blocks)])
        is_next = index + 1 < len(rows) and rows[index + 1][0].row == blocks[0].row + 1
        open_from_px = plan.seen_below_px(blocks[0].row) if is_next else np.inf
        kept, waits = _settle_row(found, plan.frame, same_nucleus_iou, open_from_px)
        waiting = found.select(waits)
        complete_to_px = min(open_from_px, float(waiting.nuclei.boxes_xyxy[:, 1].min(initial=np.inf)))
        settled = SettledRow(nuclei=_in_order(found.select(kept)).nuclei, complete_to_px=complete_to_px)
        # A row of a wide slide is large: none is held on while the next one is made.
        del found
        yield settled
        del settled


def _settle_row(
    found: FoundNuclei, frame: Frame, same_nucleus_iou: float, open_from_px: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which nuclei stay and which wait for the next row."""
    shared = np.flatnonzero(found.is_shared)
    kept, waits = found.owned.copy(), np.zeros(len(found), np.bool_)
    contested = found.select(shared)
    reports = contested.reports(frame)
    overlaps = find_overlaps(reports)
    kept[shared] = settle(reports, overlaps, same_nucleus_iou)
    groups = overlaps.groups(len(shared))
    is_open = contested.nuclei.boxes_xyxy[:, 3] > open_from_px
    waits[shared] = np.isin(groups, groups[is_open])
    return kept & ~waits, waits


def _in_order(found: FoundNuclei) -> FoundNuclei:
    boxes = found.nuclei.boxes_xyxy
    return found.select(np.lexsort((boxes[:, 0], boxes[:, 1], found.tile_of)))


def with_neighbours(
    rows: Iterable[SettledRow], mpp: float | None, settings: NeighbourSettings
) -> Iterator[NucleiColumns]:
    """Yield the rows with the measurements of `NEIGHBOURHOOD_COLUMNS`, NaN where the scale is unknown.

    Args:
        rows: of blocks, from the top.
        mpp: um a level-0 pixel.
        settings: how far neighbours are looked for.
    """
    reach_px = 0.0 if mpp is None else max(settings.radius_um, settings.most_distance_um) / mpp
    above: NDArray[np.float64] = np.zeros((0, 2))
    held: deque[NucleiColumns] = deque()
    for row in rows:
        held.append(row.nuclei)
        while held and _lowest(held[0]) + reach_px <= row.complete_to_px:
            nuclei = held.popleft()
            below = [other.centroids_xy for other in held]
            yield _with_neighbours(nuclei, np.concatenate([above, *below]), mpp, settings)
            above = np.concatenate([above, nuclei.centroids_xy])
            next_px = min([row.complete_to_px, *(other.centroids_xy[:, 1].min(initial=np.inf) for other in held)])
            above = above[above[:, 1] >= next_px - reach_px]
            del nuclei
        del row


def _lowest(nuclei: NucleiColumns) -> float:
    return float(nuclei.centroids_xy[:, 1].max(initial=-np.inf))


def _with_neighbours(
    nuclei: NucleiColumns, others_xy: NDArray[np.float64], mpp: float | None, settings: NeighbourSettings
) -> NucleiColumns:
    columns = np.full((len(nuclei), len(NEIGHBOURHOOD_COLUMNS)), np.nan)
    if mpp is not None and len(nuclei):
        all_um = np.concatenate([nuclei.centroids_xy, others_xy]) * mpp
        measured = measure_neighbourhood(all_um, np.arange(len(nuclei)), radius_um=settings.radius_um)
        columns = np.stack([values for _, values in measured.columns()], axis=1)
        distances = columns[:, [column.name for column in NEIGHBOURHOOD_COLUMNS].index("neighbour_distance_um")]
        distances[distances > settings.most_distance_um] = np.nan
    return replace(
        nuclei,
        measurement_names=(*nuclei.measurement_names, *(column.name for column in NEIGHBOURHOOD_COLUMNS)),
        measurements=np.concatenate([nuclei.measurements, columns], axis=1),
    )


def numbered(rows: Iterable[NucleiColumns]) -> Iterator[NucleiColumns]:
    """Yield the rows with their nuclei numbered from 1."""
    first = 1
    for row in rows:
        numbers = np.arange(first, first + len(row), dtype=np.int64)
        first += len(row)
        yield replace(row, numbers=numbers)
        del row
