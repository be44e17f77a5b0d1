"""Large images as overlapping tiles, and the tiles' nuclei as one image's again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks
from nucleate.errors import ConfigError
from nucleate.inference.seams import Reports, find_overlaps, settle

# Sides up to a quarter above the tile stay whole: a second, mostly shared tile would double the time.
WHOLE_UP_TO = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class TilingSettings:
    """How images are cut, in pixels of the magnified image: the network's.

    Attributes:
        tile_px: side of a tile; None takes every image whole.
        overlap_px: least shared strip of neighbouring tiles; larger than a nucleus, so that each is whole somewhere. At
            most half a tile is used.
        same_nucleus_iou: two tiles' nuclei at a seam that overlap by this IoU or more are one.
    """

    tile_px: int | None = None
    overlap_px: int = 128
    same_nucleus_iou: float = 0.5

    def __post_init__(self) -> None:
        if self.tile_px is not None and self.tile_px < 32:
            raise ConfigError(f"tiles of {self.tile_px} px: at least 32")
        if self.overlap_px < 0:
            raise ConfigError(f"an overlap of {self.overlap_px} px: 0 or more")
        if not 0 < self.same_nucleus_iou <= 1:
            raise ConfigError(f"same_nucleus_iou {self.same_nucleus_iou}: above 0, at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A window of an image, and the part of it whose nuclei are this tile's to report.

    Attributes:
        window_xyxy: half-open, image pixels.
        owned_xyxy: inside the window; the owned parts of all tiles cover the image once.
    """

    window_xyxy: tuple[int, int, int, int]
    owned_xyxy: tuple[float, float, float, float]

    def crop(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the tile's pixels, contiguous."""
        x1, y1, x2, y2 = self.window_xyxy
        return np.ascontiguousarray(image_rgb[y1:y2, x1:x2])


def plan_tiles(frame: Frame, settings: TilingSettings, *, magnification: float = 1.0) -> list[Tile]:
    """Return the tiles of an image in its own pixels, row by row; one that covers it where neither side needs cutting.

    Each side is cut by itself: an image of 31 x 2000 pixels gives tiles of 31 x `tile_px`.

    Args:
        frame: the image, before it is magnified.
        settings: in magnified pixels.
        magnification: what each tile is magnified by before the network.
    """
    rows = plan_spans(frame.height_px, settings, magnification)
    columns = plan_spans(frame.width_px, settings, magnification)
    return [
        Tile(
            window_xyxy=(column.start, row.start, column.stop, row.stop),
            owned_xyxy=(column.owned_from, row.owned_from, column.owned_to, row.owned_to),
        )
        for row in rows
        for column in columns
    ]


def merge_tiles(
    frame: Frame,
    tiles: Sequence[Tile],
    found: Sequence[Instances],
    settings: TilingSettings,
    *,
    magnification: float = 1.0,
) -> Instances:
    """Return the nuclei of all tiles in the image's frame, each once, by falling score.

    A tile reports the nuclei whose box centre it owns. Two tiles see a nucleus at a seam a little differently: where
    both or neither report it, the masks decide (see `TilingSettings.same_nucleus_iou`).

    Args:
        frame: the image.
        tiles: from `plan_tiles`.
        found: the nuclei of each tile in the tile's frame.
        settings: as for `plan_tiles`.
        magnification: as for `plan_tiles`.
    """
    if len(tiles) == 1:
        return found[0]
    seen = _in_image(frame, tiles, found)
    tile_of = np.repeat(np.arange(len(tiles)), [len(instances) for instances in found])
    owned_xyxy = np.array([tile.owned_xyxy for tile in tiles])[tile_of]
    boxes = seen.boxes_xyxy.astype(np.float64)
    # A nucleus that its tile doesn't own and that no seam goes through is the neighbour's without doubt.
    candidates = np.flatnonzero(holds_centre(boxes, owned_xyxy) | enters(boxes, owned_xyxy))
    # Within a pixel of the network: it pastes masks at fractions of a pixel and stops just short of the side.
    cut = _cut_by_tile(seen, tiles, tile_of, within_px=max(1.0, 1 / magnification))
    reports = Reports(
        masks=seen.masks.select(candidates),
        scores=seen.scores[candidates],
        tile_of=tile_of[candidates],
        owned=holds_centre(boxes, owned_xyxy)[candidates],
        cut=cut[candidates],
    )
    kept = settle(reports, find_overlaps(reports), settings.same_nucleus_iou)
    merged = seen.select(candidates[kept])
    return merged.select(np.lexsort((merged.boxes_xyxy[:, 0], merged.boxes_xyxy[:, 1], -merged.scores)))


def holds_centre(boxes_xyxy: NDArray[np.float64], owned_xyxy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (N,): the centre of each box lies in the region beside it."""
    centres_xy = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    return np.asarray(np.all((owned_xyxy[:, :2] <= centres_xy) & (centres_xy < owned_xyxy[:, 2:]), axis=1))


def enters(boxes_xyxy: NDArray[np.float64], owned_xyxy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (N,): each box meets the region beside it."""
    return np.asarray(np.all((boxes_xyxy[:, :2] < owned_xyxy[:, 2:]) & (boxes_xyxy[:, 2:] > owned_xyxy[:, :2]), axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One tile along one side: from and to in pixels, and the part that is its own."""

    start: int
    stop: int
    owned_from: float
    owned_to: float


def plan_spans(length_px: int, settings: TilingSettings, magnification: float) -> list[Span]:
    """Return the tiles along a side of an image, evenly spread, each of `tile_px` magnified pixels."""
    if settings.tile_px is None or length_px * magnification <= WHOLE_UP_TO * settings.tile_px:
        return [Span(start=0, stop=length_px, owned_from=-math.inf, owned_to=math.inf)]
    tile_px = max(1, round(settings.tile_px / magnification))
    overlap_px = min(math.ceil(settings.overlap_px / magnification), tile_px // 2)
    count = math.ceil((length_px - overlap_px) / (tile_px - overlap_px))
    starts = [round(index * (length_px - tile_px) / (count - 1)) for index in range(count)]
    # Half of the shared strip each, so the owned parts never overlap.
    seams = [(left + tile_px + right) / 2 for left, right in itertools.pairwise(starts)]
    edges = [-math.inf, *seams, math.inf]
    return [
        Span(start=start, stop=start + tile_px, owned_from=edges[index], owned_to=edges[index + 1])
        for index, start in enumerate(starts)
    ]


def _in_image(frame: Frame, tiles: Sequence[Tile], found: Sequence[Instances]) -> Instances:
    shifts = [np.array(tile.window_xyxy[:2] * 2, np.float32) for tile in tiles]
    masks = [
        instances.masks.moved(tile.window_xyxy[0], tile.window_xyxy[1], frame)
        for tile, instances in zip(tiles, found, strict=True)
    ]
    return Instances(
        frame=frame,
        boxes_xyxy=np.concatenate([item.boxes_xyxy + shift for item, shift in zip(found, shifts, strict=True)]),
        masks=Masks.concatenate(frame, masks),
        class_indices=np.concatenate([item.class_indices for item in found]),
        scores=np.concatenate([item.scores for item in found]),
    )


def _cut_by_tile(
    seen: Instances, tiles: Sequence[Tile], tile_of: NDArray[np.int64], *, within_px: float
) -> NDArray[np.bool_]:
    """Return for each nucleus whether its mask comes near a side of its tile that lies inside the image."""
    windows = np.array([tile.window_xyxy for tile in tiles], np.int64)
    image = np.array([0, 0, seen.frame.width_px, seen.frame.height_px])
    inner = windows != image
    extents = seen.masks.cropped().windows_xyxy.astype(np.int64)
    near = np.abs(extents - windows[tile_of]) <= within_px
    return np.asarray((near & inner[tile_of]).any(axis=1) & (seen.masks.areas_px() > 0))
