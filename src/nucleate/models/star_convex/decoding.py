"""From the network's maps to nuclei: candidates, suppression of those that overlap, the vote on each outline."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances
from nucleate.errors import ConfigError
from nucleate.models.star_convex.filling import FillingSettings, fill
from nucleate.models.star_convex.polygons import StarPolygons, shared_pixels
from nucleate.models.star_convex.rays import GRID_PX, LOG_DISTANCE_BOUNDS, cell_centres_xy


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingSettings:
    """How maps become nuclei.

    Attributes:
        least_depth: cells of a smaller relative depth are no candidates.
        most_overlap: a candidate that shares more of the smaller one's pixels with a better one is suppressed.
        voters: most cells of a nucleus that vote on its outline; 1 takes the best cell's alone.
        quality_weight: exponent of the predicted quality in the score, 1 - it that of the depth.
        filling: how outlines become pixels; None draws the outlines as they are.
    """

    least_depth: float = 0.3
    most_overlap: float = 0.25
    voters: int = 1
    quality_weight: float = 0.5
    filling: FillingSettings | None = field(default_factory=FillingSettings)

    def __post_init__(self) -> None:
        for name in ("least_depth", "most_overlap", "quality_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} {getattr(self, name)}: 0 to 1")
        if self.voters < 1:
            raise ConfigError(f"{self.voters} voters: at least 1")


DEFAULT_DECODING = DecodingSettings()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseMaps:
    """The network's answer for one image; a cell covers 2 x 2 pixels.

    Attributes:
        depth: (h, w) float32 in [0, 1], distance to the outline relative to the nucleus' deepest point.
        inside: (h, w) float32 in [0, 1], probability of lying in a nucleus.
        quality: (h, w) float32 in [0, 1], expected IoU of the cell's outline.
        log_distances: (R, h, w) float32, natural logarithms of the distances to the outline along the rays, in pixels
            of the network's input; a logarithm, since nuclei are few and the exponentials of all cells take long.
    """

    depth: NDArray[np.float32]
    inside: NDArray[np.float32]
    quality: NDArray[np.float32]
    log_distances: NDArray[np.float32]

    def distances_px(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (n, R) distances of n cells to their outlines, in pixels of the network's input."""
        return np.exp(np.clip(self.log_distances[:, rows, columns].T, *LOG_DISTANCE_BOUNDS), dtype=np.float32)


def decode(
    maps: DenseMaps, frame: Frame, settings: DecodingSettings = DEFAULT_DECODING, *, drawn_in: Frame | None = None
) -> Instances:
    """Return the nuclei of one image, best score first.

    Args:
        maps: of the image, padded at its right and lower side to the network's multiple.
        frame: the image's, as the network saw it.
        settings: thresholds.
        drawn_in: the frame of the answer where the network saw the image resampled: polygons lose nothing by being
            drawn in the image's own pixels, bitmaps do. None draws in `frame`.
    """
    rank = maps.depth ** (1 - settings.quality_weight) * maps.quality**settings.quality_weight
    rows, columns = _peaks(rank, maps.depth, settings.least_depth)
    scores = rank[rows, columns]
    order = np.argsort(-scores, kind="stable")
    rows, columns, scores = rows[order], columns[order], scores[order]
    candidates = _polygons_at(maps, rows, columns)
    kept = _best_of_overlapping(candidates, frame, settings.most_overlap)
    winners, scores = candidates.select(kept), scores[kept]
    if settings.voters > 1:
        winners = _voted(winners, maps, rank, settings)
    drawn_in = drawn_in or frame
    outlines = winners.between(frame, drawn_in)
    if settings.filling is None:
        masks = outlines.draw(drawn_in)
    else:
        masks = fill(outlines, maps.inside, frame, drawn_in, settings.filling)
    drawn = masks.areas_px() > 0
    return Instances.from_masks(masks.select(drawn), scores=np.clip(scores[drawn], 0, 1).astype(np.float32))


def _peaks(
    rank: NDArray[np.float32], depth: NDArray[np.float32], least_depth: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    highest_near = cv2.dilate(rank, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((rank >= highest_near) & (depth > least_depth))
    return rows.astype(np.int64), columns.astype(np.int64)


def _polygons_at(maps: DenseMaps, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> StarPolygons:
    centres = cell_centres_xy(*maps.depth.shape)[rows, columns]
    return StarPolygons(
        centres_xy=centres.astype(np.float32),
        distances_px=np.ascontiguousarray(maps.distances_px(rows, columns)),
    )


def _best_of_overlapping(candidates: StarPolygons, frame: Frame, most_overlap: float) -> NDArray[np.int64]:
    """Return the indices of the candidates, best first, that no better one overlaps by too much."""
    # Cells are fine enough to tell how much two nuclei share, and a quarter as many as pixels.
    cells = Frame(height_px=-(-frame.height_px // GRID_PX), width_px=-(-frame.width_px // GRID_PX))
    shared = shared_pixels(candidates.scaled(1 / GRID_PX).draw(cells))
    areas = shared.diagonal()
    first, second = np.repeat(np.arange(len(candidates)), np.diff(shared.indptr)), shared.indices
    too_much = (shared.data > most_overlap * np.minimum(areas[first], areas[second])) & (second > first)
    rivals_from = np.searchsorted(first[too_much], np.arange(len(candidates) + 1))
    rivals = second[too_much]
    alive = areas > 0
    for index in range(len(candidates)):
        if alive[index]:
            alive[rivals[rivals_from[index] : rivals_from[index + 1]]] = False
    return np.flatnonzero(alive)


def _voted(
    winners: StarPolygons, maps: DenseMaps, rank: NDArray[np.float32], settings: DecodingSettings
) -> StarPolygons:
    """Return the winners with outlines that the best cells inside of each agree on (CoNIC 2022's winner votes so)."""
    voter_rows, voter_columns, owner = _voters(winners, maps, rank, settings)
    if not len(owner):
        return winners
    voters = _polygons_at(maps, voter_rows, voter_columns)
    seen = voters.seen_from(winners.centres_xy[owner])
    weight = np.where(np.isfinite(seen), rank[voter_rows, voter_columns][:, None] ** 2, 0)
    total = np.zeros(winners.distances_px.shape, np.float32)
    weights = np.zeros(winners.distances_px.shape, np.float32)
    np.add.at(total, owner, np.nan_to_num(seen) * weight)
    np.add.at(weights, owner, weight)
    agreed = np.where(weights > 0, total / np.maximum(weights, 1e-12), winners.distances_px)
    return StarPolygons(centres_xy=winners.centres_xy, distances_px=agreed.astype(np.float32))


def _voters(
    winners: StarPolygons, maps: DenseMaps, rank: NDArray[np.float32], settings: DecodingSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return row, column and winner of the best cells inside of each winner's outline."""
    cells = Frame(height_px=maps.depth.shape[0], width_px=maps.depth.shape[1])
    near = winners.scaled(1 / GRID_PX).pixels_near(cells)
    votes = (near.radii <= 1) & (maps.depth[near.rows, near.columns] > settings.least_depth)
    owner, rows, columns = near.owners[votes], near.rows[votes], near.columns[votes]
    order = np.lexsort((-rank[rows, columns], owner))
    owner, rows, columns = owner[order], rows[order], columns[order]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    chosen = place < settings.voters
    return rows[chosen], columns[chosen], owner[chosen]
