"""Which tiles of a slide are segmented, and in which blocks: what is read, kept and lost together."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.errors import ConfigError
from nucleate.inference.tiling import WHOLE_UP_TO, Span, TilingSettings
from nucleate.models.run_card import CARD_NAME

Window = tuple[int, int, int, int]
Region = tuple[float, float, float, float]

# 16 tiles are some seconds of work: what a kill costs.
BLOCK_TILES = 4
# Strides of the networks divide it: tiles that begin at its multiples see a nucleus in the same phase. Shifted by less,
# the network in the package answers differently enough that one small nucleus in twelve loses its match.
CELL_PX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideTile:
    """One tile.

    Attributes:
        number: counted row by row over the whole slide, tiles without tissue included.
        window_xyxy: what the network sees, level-0 pixels, inside the slide.
        owned_xyxy: nuclei with their centre in it are this tile's; the owned parts cover the plane once.
        private_xyxy: no other tile sees this part.
    """

    number: int
    window_xyxy: Window
    owned_xyxy: Region
    private_xyxy: Region

    @property
    def frame(self) -> Frame:
        """Return the tile's pixels."""
        x1, y1, x2, y2 = self.window_xyxy
        return Frame(height_px=y2 - y1, width_px=x2 - x1)

    @property
    def owned_px(self) -> float:
        """Return the area of the owned part, level-0 pixels; of all tiles together the slide's."""
        x1, y1, x2, y2 = self.window_xyxy
        left, top, right, bottom = self.owned_xyxy
        return (min(x2, right) - max(x1, left)) * (min(y2, bottom) - max(y1, top))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Neighbouring tiles whose nuclei are kept together.

    Attributes:
        number: counted row by row over the whole slide.
        row: of blocks, from the top.
        tiles: those with tissue, at least one, row by row.
    """

    number: int
    row: int
    tiles: tuple[SlideTile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidePlan:
    """What is to be done for a slide, a function of slide, scale and regions alone.

    Attributes:
        frame: level 0.
        magnification: what level-0 pixels are magnified by for the network.
        blocks: row by row, those with tissue.
        row_starts_px: where each row of blocks begins to be seen, level-0 y; one a row, tissue or not.
    """

    frame: Frame
    magnification: float
    blocks: tuple[Block, ...]
    row_starts_px: tuple[int, ...]

    @property
    def tiles(self) -> int:
        """Return the number of tiles with tissue."""
        return sum(len(block.tiles) for block in self.blocks)

    @property
    def tile_numbers(self) -> NDArray[np.int64]:
        """Return the numbers of the tiles with tissue, ascending."""
        return np.sort(np.array([tile.number for block in self.blocks for tile in block.tiles], np.int64))

    @property
    def digest(self) -> str:
        """Return 16 hexadecimal digits that differ where blocks or what their tiles see do."""
        seen = [(block.number, [(tile.number, tile.window_xyxy) for tile in block.tiles]) for block in self.blocks]
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    def rows(self) -> list[tuple[Block, ...]]:
        """Return the blocks by row, rows without tissue left out."""
        return [tuple(group) for _, group in itertools.groupby(self.blocks, key=lambda block: block.row)]

    def seen_below_px(self, row: int) -> float:
        """Return the level-0 y from which on the next row of blocks sees what this one sees."""
        return float(self.row_starts_px[row + 1]) if row + 1 < len(self.row_starts_px) else math.inf


def plan_slide(
    frame: Frame,
    tiling: TilingSettings,
    *,
    magnification: float,
    holds_tissue: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
    block_tiles: int = BLOCK_TILES,
) -> SlidePlan:
    """Return the blocks of a slide.

    Args:
        frame: level 0.
        tiling: in magnified pixels; needs a tile size.
        magnification: what level-0 pixels are magnified by; from `slide_magnification`.
        holds_tissue: asked once for what all tiles see, (N, 4) level-0 pixels by number; answers (N,).
        block_tiles: tiles a side of a block.

    Raises:
        ConfigError: the model takes images whole only.
    """
    if tiling.tile_px is None:
        raise ConfigError(
            f"the model says no tile size, so it can't take a slide: write {CARD_NAME} beside its weights, "
            "with the lines `name: NAME`, `class_names: [nucleus]`, `tile_px: 512`"
        )
    rows = _spans(frame.height_px, tiling, magnification)
    columns = _spans(frame.width_px, tiling, magnification)
    every = _tiles(rows, columns)
    chosen = holds_tissue(np.array([tile.window_xyxy for tile in every], np.int64))
    blocks_across = math.ceil(len(columns) / block_tiles)
    blocks = []
    for top, left in itertools.product(range(0, len(rows), block_tiles), range(0, len(columns), block_tiles)):
        places = itertools.product(
            range(top, min(top + block_tiles, len(rows))), range(left, min(left + block_tiles, len(columns)))
        )
        numbers = (row * len(columns) + column for row, column in places)
        tiles = tuple(every[number] for number in numbers if chosen[number])
        if tiles:
            row = top // block_tiles
            blocks.append(Block(number=row * blocks_across + left // block_tiles, row=row, tiles=tiles))
    return SlidePlan(
        frame=frame,
        magnification=magnification,
        blocks=tuple(blocks),
        row_starts_px=tuple(rows[top].start for top in range(0, len(rows), block_tiles)),
    )


def slide_magnification(wanted: float) -> float:
    """Return the factor next to `wanted` at which `CELL_PX` pixels of the network are whole level-0 pixels.

    It differs by 1.6 % at most where slides are taken as they are, by 3 % at twice their size: less than nuclei do.
    """
    return CELL_PX / max(1, round(CELL_PX / wanted))


def _spans(length_px: int, tiling: TilingSettings, magnification: float) -> list[Span]:
    """Return the tiles along a side; all begin at multiples of a cell, the last ends with the slide."""
    assert tiling.tile_px is not None
    if length_px * magnification <= WHOLE_UP_TO * tiling.tile_px:
        return [Span(start=0, stop=length_px, owned_from=-math.inf, owned_to=math.inf)]
    cell_px = max(1, round(CELL_PX / magnification))
    cells = max(2, tiling.tile_px // CELL_PX)
    overlap = min(math.ceil(tiling.overlap_px / CELL_PX), cells // 2)
    tile_px, step_px = cells * cell_px, (cells - overlap) * cell_px
    last = math.ceil((length_px - tile_px) / cell_px) * cell_px
    starts = [*range(0, last, step_px), last]
    stops = [min(start + tile_px, length_px) for start in starts]
    # Half of the shared strip each, so the owned parts never overlap.
    seams = [(stop + start) / 2 for stop, start in zip(stops[:-1], starts[1:], strict=True)]
    edges = [-math.inf, *seams, math.inf]
    return [
        Span(start=start, stop=stop, owned_from=edges[index], owned_to=edges[index + 1])
        for index, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]


def _tiles(rows: Sequence[Span], columns: Sequence[Span]) -> list[SlideTile]:
    """Return all tiles of a slide, row by row."""
    alone_down = [_private(rows, row) for row in range(len(rows))]
    alone_across = [_private(columns, column) for column in range(len(columns))]
    return [
        SlideTile(
            number=row * len(columns) + column,
            window_xyxy=(across.start, down.start, across.stop, down.stop),
            owned_xyxy=(across.owned_from, down.owned_from, across.owned_to, down.owned_to),
            private_xyxy=(alone_across[column][0], alone_down[row][0], alone_across[column][1], alone_down[row][1]),
        )
        for row, down in enumerate(rows)
        for column, across in enumerate(columns)
    ]


def _private(spans: Sequence[Span], index: int) -> tuple[float, float]:
    before = max((span.stop for span in spans[:index]), default=-math.inf)
    after = min((span.start for span in spans[index + 1 :]), default=math.inf)
    return before, after
