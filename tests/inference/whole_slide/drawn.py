"""Slides in memory, and runs of a fake model on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, ImageScale, NucleiColumns
from nucleate.errors import SlideRegionError
from nucleate.export import NucleiTableInfo, read_nuclei
from nucleate.inference import Segmenter, TilingSettings
from nucleate.inference.whole_slide import (
    AskedRegions,
    MemoryBound,
    SlideFolder,
    SlideOutcome,
    SlidePlan,
    SlideRun,
    WorkSettings,
    plan_slide,
    segment_slide,
)
from nucleate.measurement import StainSettings
from nucleate.slides import SlideInfo, SlideLevel, Window
from tests.inference.fake_segmenter import InkSegmenter

TILING = TilingSettings(tile_px=64, overlap_px=32)


class ArraySlide:
    """A slide that is an array; `broken` windows can't be decoded."""

    def __init__(self, image_rgb: NDArray[np.uint8], *, broken: Sequence[Window] = ()) -> None:
        self._image_rgb, self._broken = image_rgb, broken
        frame = Frame(height_px=image_rgb.shape[0], width_px=image_rgb.shape[1], mpp=0.25)
        self.info = SlideInfo(
            path=Path("drawn.svs"),
            vendor="drawn",
            levels=(SlideLevel(frame=frame, downsample=1.0),),
            mpp_x=0.25,
            mpp_y=0.25,
            mpp_known_by="file",
        )

    def read(
        self, window_xyxy: Window, *, mpp: float | None = None, downsample: float | None = None
    ) -> NDArray[np.uint8]:
        x1, y1, x2, y2 = window_xyxy
        for left, top, right, bottom in self._broken:
            if left < x2 and x1 < right and top < y2 and y1 < bottom:
                raise SlideRegionError("a bad tile", path=self.info.path, window_xyxy=window_xyxy)
        region = np.ascontiguousarray(self._image_rgb[y1:y2, x1:x2])
        factor = 1 / (downsample or 1.0)
        if factor == 1:
            return region
        size = (round((x2 - x1) * factor), round((y2 - y1) * factor))
        return np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)

    def thumbnail(self, most_side_px: int) -> NDArray[np.uint8]:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def everywhere(windows_xyxy: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.ones(len(windows_xyxy), np.bool_)


def plan_of(
    slide: ArraySlide,
    *,
    tiling: TilingSettings = TILING,
    magnification: float = 1.0,
    holds_tissue: Callable[[NDArray[np.int64]], NDArray[np.bool_]] = everywhere,
    block_tiles: int = 2,
) -> SlidePlan:
    return plan_slide(
        slide.info.frame,
        tiling,
        magnification=magnification,
        holds_tissue=holds_tissue,
        block_tiles=block_tiles,
    )


def run_of(
    plan: SlidePlan,
    *,
    tiling: TilingSettings = TILING,
    batch_tiles: int = 2,
    memory: MemoryBound | None = None,
    asked: AskedRegions | None = None,
) -> SlideRun:
    return SlideRun(
        plan=plan,
        scale=ImageScale(magnification=plan.magnification, known_by="magnification"),
        work=WorkSettings(
            score_threshold=0.0,
            stain=None,
            batch_tiles=batch_tiles,
            tiles_in_flight=2,
            stain_measurement=StainSettings(),
        ),
        tiling=tiling,
        memory=memory or MemoryBound(64.0),
        info=NucleiTableInfo(
            slide="drawn.svs",
            frame=plan.frame,
            mpp_known_by="file",
            class_names=("nucleus",),
            model="ink",
            measurement_names=(),
        ),
        asked=asked,
    )


def segment_drawn(
    slide: ArraySlide,
    folder: Path,
    *,
    segmenter: Segmenter | None = None,
    plan: SlidePlan | None = None,
    tiling: TilingSettings = TILING,
    fresh: bool = False,
) -> SlideOutcome:
    plan = plan or plan_of(slide, tiling=tiling)
    results = SlideFolder(folder, {"plan": str(plan.magnification)}, fresh=fresh)
    return segment_slide(segmenter or InkSegmenter(), slide, results, run_of(plan, tiling=tiling))


def nuclei_of(outcome: SlideOutcome) -> NucleiColumns:
    groups = list(read_nuclei(outcome.table))
    return NucleiColumns.concatenate(groups) if groups else NucleiColumns.empty()
