"""One slide from its file to its folder of results; the same call goes on where an earlier one was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nucleate.core import ImageScale
from nucleate.errors import DataError
from nucleate.export.nuclei_table import NucleiTableInfo, NucleiTableWriter
from nucleate.inference.segmenter import Segmenter
from nucleate.inference.tiling import TilingSettings
from nucleate.inference.whole_slide.asked import AskedRegions
from nucleate.inference.whole_slide.assembly import NeighbourSettings, numbered, settled_rows, with_neighbours
from nucleate.inference.whole_slide.folder import (
    TABLE_NAME,
    FinishedBlock,
    SlideFolder,
    StageSeconds,
    UnreadableTile,
)
from nucleate.inference.whole_slide.memory import MemoryBound
from nucleate.inference.whole_slide.plan import SlidePlan
from nucleate.inference.whole_slide.stored_plan import StoredPlan
from nucleate.inference.whole_slide.work import WorkSettings, segment_blocks
from nucleate.measurement import NEIGHBOURHOOD_COLUMNS, NUCLEUS_COLUMNS
from nucleate.slides import SlideReader


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideProgress:
    """How far a slide is.

    Attributes:
        tiles: finished, those of earlier calls included.
        tiles_in_all: to do.
        nuclei: found so far, about: nuclei at seams are counted when all is there.
        mm2: area of the finished tiles; None where the scale is unknown.
        seconds: of each stage in this call.
    """

    tiles: int
    tiles_in_all: int
    nuclei: int
    mm2: float | None
    seconds: StageSeconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideOutcome:
    """What a slide's segmentation gave.

    Attributes:
        table: the file.
        nuclei: rows of it.
        tiles: segmented, those of earlier calls included.
        kept_blocks: that earlier calls had finished.
        unreadable: tiles that could not be decoded.
        seconds: of each stage, those of earlier calls included but for their writing.
    """

    table: Path
    nuclei: int
    tiles: int
    kept_blocks: int
    unreadable: tuple[UnreadableTile, ...]
    seconds: StageSeconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideRun:
    """How one slide is segmented.

    Attributes:
        plan: tiles and blocks.
        scale: that the plan was made with, and how it is known.
        work: score, stain, batches.
        tiling: what the plan was made with.
        memory: that the process may hold.
        info: what the table is about; its measurement names are set here.
        neighbours: how far they are looked for.
        asked: the regions that nuclei are wanted of; None takes the whole slide.
    """

    plan: SlidePlan
    scale: ImageScale
    work: WorkSettings
    tiling: TilingSettings
    memory: MemoryBound
    info: NucleiTableInfo
    neighbours: NeighbourSettings = field(default_factory=NeighbourSettings)
    asked: AskedRegions | None = None


def segment_slide(
    segmenter: Segmenter,
    slide: SlideReader,
    folder: SlideFolder,
    run: SlideRun,
    *,
    progress: Callable[[SlideProgress], None] = lambda _: None,
) -> SlideOutcome:
    """Segment what is missing of a slide and write its table.

    Raises:
        ResultsError: the disk is full or not writable; finished blocks are kept.
        DataError: no tile of the slide can be read.
    """
    block_info = replace(run.info, measurement_names=tuple(column.name for column in NUCLEUS_COLUMNS))
    kept = dict(folder.finished_blocks)
    missing = [block for block in run.plan.blocks if block.number not in kept]
    folder.begin(StoredPlan.of(run.plan, run.scale, run.info.mpp_known_by))
    report = _Reporter(run.plan, kept, progress)
    writing_seconds = StageSeconds()
    for finished, found in segment_blocks(segmenter, slide, run.plan, missing, run.work, memory=run.memory):
        writing = time.perf_counter()
        folder.save(finished, found, block_info)
        written = StageSeconds(writing=time.perf_counter() - writing)
        writing_seconds += written
        report(finished, written)
    finished_blocks = tuple(folder.finished_blocks[block.number] for block in run.plan.blocks)
    unreadable = tuple(tile for block in finished_blocks for tile in block.unreadable)
    if run.plan.tiles and len(unreadable) == run.plan.tiles:
        raise DataError(f"no tile can be read: {unreadable[0].problem}", path=slide.info.path)
    table = folder.folder / TABLE_NAME
    nuclei = _assemble(table, folder, run, block_info)
    return SlideOutcome(
        table=table,
        nuclei=nuclei,
        tiles=run.plan.tiles,
        kept_blocks=len(kept),
        unreadable=unreadable,
        seconds=sum((block.seconds for block in finished_blocks), writing_seconds),
    )


def _assemble(table: Path, folder: SlideFolder, run: SlideRun, block_info: NucleiTableInfo) -> int:
    rows = settled_rows(run.plan, lambda block: folder.read(block, block_info), run.tiling.same_nucleus_iou)
    measured = with_neighbours(rows, run.plan.frame.mpp, run.neighbours)
    if run.asked is not None:
        measured = run.asked.only(measured, run.plan.frame.mpp)
    names = (*block_info.measurement_names, *(column.name for column in NEIGHBOURHOOD_COLUMNS))
    nuclei = 0
    with NucleiTableWriter(table, replace(run.info, measurement_names=names)) as writer:
        for row in numbered(measured):
            writer.write(row)
            run.memory.watch()
            nuclei += len(row)
            del row
    return nuclei


class _Reporter:
    """Adds up what blocks tell and passes it on."""

    def __init__(
        self, plan: SlidePlan, kept: Mapping[int, FinishedBlock], progress: Callable[[SlideProgress], None]
    ) -> None:
        self._progress = progress
        mm2_a_px = None if plan.frame.mpp is None else plan.frame.mpp**2 / 1e6
        self._mm2 = {
            block.number: None if mm2_a_px is None else mm2_a_px * sum(tile.owned_px for tile in block.tiles)
            for block in plan.blocks
        }
        self._now = SlideProgress(
            tiles=sum(block.tiles for block in kept.values()),
            tiles_in_all=plan.tiles,
            nuclei=sum(block.owned for block in kept.values()),
            mm2=None if mm2_a_px is None else sum(self._mm2.get(number) or 0.0 for number in kept),
            seconds=StageSeconds(),
        )
        progress(self._now)

    def __call__(self, block: FinishedBlock, written: StageSeconds) -> None:
        self._now = replace(
            self._now,
            tiles=self._now.tiles + block.tiles,
            nuclei=self._now.nuclei + block.owned,
            mm2=None if self._now.mm2 is None else self._now.mm2 + (self._mm2[block.block] or 0.0),
            seconds=self._now.seconds + block.seconds + written,
        )
        self._progress(self._now)
