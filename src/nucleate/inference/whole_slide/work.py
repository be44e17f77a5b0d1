"""A slide's blocks on their way: reading, network and outlines side by side, in a fixed order, few tiles at a time."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Instances, Masks, NucleiColumns
from nucleate.core.stain import StainNormalisation
from nucleate.errors import SlideRegionError
from nucleate.inference.magnification import in_frame, magnified_frame
from nucleate.inference.segmenter import OutlineSegmenter, Segmenter
from nucleate.inference.whole_slide.folder import FinishedBlock, StageSeconds, UnreadableTile
from nucleate.inference.whole_slide.found import FoundNuclei, TileReport, packed_bits, report_tile
from nucleate.inference.whole_slide.memory import MemoryBound
from nucleate.inference.whole_slide.plan import Block, SlidePlan, SlideTile
from nucleate.measurement import NUCLEUS_COLUMNS, StainSettings, measure_nuclei, outlines_wkb
from nucleate.slides import SlideReader

Pixels = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSettings:
    """How blocks are segmented.

    Attributes:
        score_threshold: nuclei above it are kept.
        stain: normalisation of the model's training images, fitted to each tile; None where there was none.
        batch_tiles: most tiles a call of the network; batches never reach over a block, so that results don't depend
            on what was finished before.
        tiles_in_flight: tiles that are read ahead of the network, and again as many behind it.
        stain_measurement: rings and white.
    """

    score_threshold: float
    stain: StainNormalisation | None
    batch_tiles: int
    tiles_in_flight: int
    stain_measurement: StainSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _ReadTile:
    tile: SlideTile
    pixels_rgb: Pixels | None
    problem: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _ReportedTile:
    found: FoundNuclei
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pipeline:
    """What the blocks of a slide go through."""

    segmenter: Segmenter
    plan: SlidePlan
    settings: WorkSettings
    memory: MemoryBound
    outlining: ThreadPoolExecutor


def segment_blocks(
    segmenter: Segmenter,
    slide: SlideReader,
    plan: SlidePlan,
    blocks: Sequence[Block],
    settings: WorkSettings,
    *,
    memory: MemoryBound,
) -> Iterator[tuple[FinishedBlock, FoundNuclei]]:
    """Yield the blocks' nuclei in order, each as soon as its tiles are done.

    While the process holds more memory than it may, nothing is read ahead: one batch is under way, as it has to be.

    Args:
        segmenter: the model.
        slide: read by one thread.
        plan: of the slide.
        blocks: those that are still to do.
        settings: how.
        memory: that the process may hold.
    """
    tiles = (tile for block in blocks for tile in block.tiles)
    reads = (partial(_read, slide, tile, plan.magnification) for tile in tiles)
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as outlining:
        read = _ahead(reading, reads, settings.tiles_in_flight + settings.batch_tiles, memory)
        pipeline = _Pipeline(segmenter=segmenter, plan=plan, settings=settings, memory=memory, outlining=outlining)
        try:
            for block in blocks:
                yield _segment_block(pipeline, block, read)
        except BaseException:
            # What was read ahead is of no use any more; Ctrl-C should not wait for it.
            reading.shutdown(wait=False, cancel_futures=True)
            outlining.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTile:
    """What one tile took, all stages added up: seconds, and the nuclei found."""

    seconds: float
    nuclei: int


def time_tile(segmenter: Segmenter, slide: SlideReader, plan: SlidePlan, settings: WorkSettings) -> TimedTile:
    """Segment a tile from the middle of the plan and say what it took, once everything is warm.

    Raises:
        SlideRegionError: it can't be decoded.
    """
    tiles = [tile for block in plan.blocks for tile in block.tiles]
    tile = tiles[len(tiles) // 2]
    timed = TimedTile(seconds=0.0, nuclei=0)
    for _ in range(2):
        started = time.perf_counter()
        read = _read(slide, tile, plan.magnification)
        if read.pixels_rgb is None:
            raise SlideRegionError(read.problem, path=slide.info.path, window_xyxy=tile.window_xyxy)
        ((_, pixels_rgb, instances),) = _answers(segmenter, plan, [read], settings)
        reported = _report(plan, tile, pixels_rgb, instances, settings)
        timed = TimedTile(seconds=time.perf_counter() - started, nuclei=int(reported.found.owned.sum()))
    return timed


def _segment_block(pipeline: _Pipeline, block: Block, read: Iterator[_ReadTile]) -> tuple[FinishedBlock, FoundNuclei]:
    plan, settings = pipeline.plan, pipeline.settings
    unreadable: list[UnreadableTile] = []
    reported: list[Future[_ReportedTile]] = []
    seconds = StageSeconds()
    tiles = itertools.islice(read, len(block.tiles))
    while batch := list(itertools.islice(tiles, settings.batch_tiles)):
        seconds += StageSeconds(reading=sum(item.seconds for item in batch))
        unreadable += [
            UnreadableTile(window_xyxy=item.tile.window_xyxy, problem=item.problem)
            for item in batch
            if item.pixels_rgb is None
        ]
        started = time.perf_counter()
        answers = _answers(pipeline.segmenter, plan, batch, settings)
        seconds += StageSeconds(network=time.perf_counter() - started)
        for tile, pixels_rgb, instances in answers:
            reported.append(pipeline.outlining.submit(_report, plan, tile, pixels_rgb, instances, settings))
        # Waiting for the one that far back bounds how many tiles' pixels are held.
        behind = 0 if pipeline.memory.is_exceeded() else settings.tiles_in_flight
        if len(reported) > behind:
            reported[-1 - behind].result()
    parts = [future.result() for future in reported]
    found = FoundNuclei.concatenate(
        [FoundNuclei.empty([column.name for column in NUCLEUS_COLUMNS]), *(part.found for part in parts)]
    )
    finished = FinishedBlock(
        block=block.number,
        tiles=len(block.tiles),
        reports=len(found),
        owned=int(found.owned.sum()),
        seconds=seconds + StageSeconds(outlines=sum(part.seconds for part in parts)),
        unreadable=tuple(unreadable),
    )
    return finished, found


def _ahead(pool: ThreadPoolExecutor, calls: Iterable[Callable[[], T]], depth: int, memory: MemoryBound) -> Iterator[T]:
    """Yield the calls' results in order while at most `depth` later ones are made, none without memory for it."""
    waiting: deque[Future[T]] = deque()
    for call in calls:
        while waiting and memory.is_exceeded():
            yield waiting.popleft().result()
        waiting.append(pool.submit(call))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read(slide: SlideReader, tile: SlideTile, magnification: float) -> _ReadTile:
    started = time.perf_counter()
    pixels_rgb, problem = None, ""
    try:
        pixels_rgb = slide.read(tile.window_xyxy, downsample=max(1.0, 1 / magnification))
    except SlideRegionError as error:
        problem = error.message
    return _ReadTile(tile=tile, pixels_rgb=pixels_rgb, problem=problem, seconds=time.perf_counter() - started)


def _answers(
    segmenter: Segmenter, plan: SlidePlan, batch: Sequence[_ReadTile], settings: WorkSettings
) -> list[tuple[SlideTile, Pixels, Instances]]:
    """Return the tiles that could be read, their pixels in their own frame, and their nuclei in it."""
    readable = [(item.tile, item.pixels_rgb) for item in batch if item.pixels_rgb is not None]
    images = [_for_network(pixels_rgb, tile, plan.magnification, settings) for tile, pixels_rgb in readable]
    frames = [tile.frame for tile, _ in readable]
    answers: list[Instances] = []
    # Tiles at the slide's far sides are smaller; images of one size go together, so that nothing is padded.
    for _, places in itertools.groupby(range(len(images)), key=lambda place: images[place].shape):
        chosen = list(places)
        same_size = [images[place] for place in chosen]
        if isinstance(segmenter, OutlineSegmenter):
            answers += segmenter.segment_into(same_size, [frames[place] for place in chosen])
        else:
            answers += segmenter.segment(same_size)
    return [
        (tile, pixels_rgb, in_frame(instances.above(settings.score_threshold), tile.frame))
        for (tile, pixels_rgb), instances in zip(readable, answers, strict=True)
    ]


def _for_network(pixels_rgb: Pixels, tile: SlideTile, magnification: float, settings: WorkSettings) -> Pixels:
    normalised = pixels_rgb if settings.stain is None else settings.stain.apply(pixels_rgb)
    frame = magnified_frame(tile.frame, magnification)
    if normalised.shape[:2] == frame.shape:
        return normalised
    # Finer than the slide, or a pixel off where the reader rounded the other way.
    method = cv2.INTER_CUBIC if magnification > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(normalised, (frame.width_px, frame.height_px), interpolation=method), np.uint8)


def _report(
    plan: SlidePlan, tile: SlideTile, pixels_rgb: Pixels, found: Instances, settings: WorkSettings
) -> _ReportedTile:
    started = time.perf_counter()
    if pixels_rgb.shape[:2] != tile.frame.shape:
        size_wh = tile.frame.width_px, tile.frame.height_px
        pixels_rgb = np.asarray(cv2.resize(pixels_rgb, size_wh), np.uint8)
    # Of all that was found: rings leave the neighbours' nuclei out too.
    measured = _measured(pixels_rgb, found.masks, plan.frame.mpp, settings)
    # Within a pixel of the network: it pastes masks at fractions of a pixel and stops just short of the side.
    reported = report_tile(tile, found, plan.frame, within_px=max(1.0, 1 / plan.magnification))
    columns = reported_columns(tile, found, reported, measured)
    return _ReportedTile(found=columns, seconds=time.perf_counter() - started)


def reported_columns(
    tile: SlideTile, found: Instances, reported: TileReport, measured: NDArray[np.float64]
) -> FoundNuclei:
    """Return what a tile reports of its nuclei, in pixels of level 0.

    Args:
        tile: where.
        found: all N nuclei of the tile.
        reported: which of them it reports.
        measured: (N, M) in the order of `NUCLEUS_COLUMNS`.
    """
    masks = found.masks.select(reported.indices).cropped()
    x, y = tile.window_xyxy[:2]
    count = len(masks)
    nuclei = NucleiColumns(
        numbers=np.zeros(count, np.int64),
        outlines_wkb=outlines_wkb(masks, (x, y)),
        boxes_xyxy=masks.windows_xyxy.astype(np.float64) + (x, y, x, y),
        centroids_xy=masks.centroids_xy() + (x, y),
        areas_px=masks.areas_px(),
        class_indices=found.class_indices[reported.indices],
        scores=found.scores[reported.indices],
        measurement_names=tuple(column.name for column in NUCLEUS_COLUMNS),
        measurements=measured[reported.indices],
    )
    return FoundNuclei(
        nuclei=nuclei,
        tile_of=np.full(count, tile.number, np.int64),
        owned=reported.owned,
        cut=reported.cut,
        bits=packed_bits(tile, masks),
    )


def _measured(pixels_rgb: Pixels, masks: Masks, mpp: float | None, settings: WorkSettings) -> NDArray[np.float64]:
    """Return (N, M) measurements in the order of `NUCLEUS_COLUMNS`; NaN for lengths where the scale is unknown."""
    known = mpp is not None
    measured = measure_nuclei(pixels_rgb, masks, mpp=mpp or 1.0, settings=settings.stain_measurement)
    columns = dict(measured.columns())
    return np.stack(
        [
            columns[column.name] if known or not column.unit.startswith("um") else np.full(len(masks), np.nan)
            for column in NUCLEUS_COLUMNS
        ],
        axis=1,
    )
