"""One slide from file to results: tissue, scale, plan, segmentation, tables and pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleate.api.loading import LoadedModel
from nucleate.api.regions import write_regions
from nucleate.api.slide_facts import decisive_settings, run_facts
from nucleate.api.slide_request import SlideRequest
from nucleate.api.slide_scale import SlideScale, slide_scale
from nucleate.core import describe_scales
from nucleate.errors import DataError
from nucleate.export import NucleiTableInfo
from nucleate.export.summary import read_summary, write_overview
from nucleate.files import folder_lock, write_bytes
from nucleate.inference.whole_slide import (
    SUFFIX,
    SUMMARY_NAME,
    TABLE_NAME,
    AskedRegions,
    MemoryBound,
    NeighbourSettings,
    SlideFolder,
    SlideOutcome,
    SlidePlan,
    SlideProgress,
    SlideResult,
    SlideRun,
    StoredPlan,
    plan_slide,
    segment_slide,
    slide_magnification,
)
from nucleate.slides import SlideReader, Tissue, find_tissue, open_slide, tissue_picture

NEIGHBOURS = NeighbourSettings()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedSlide:
    """A slide that is open, with what has to be known before its first tile."""

    slide: SlideReader
    tissue: Tissue
    asked: AskedRegions | None
    scale: SlideScale
    plan: SlidePlan


def result_folder(output: Path, name: str) -> Path:
    """Return where a slide's results are."""
    return output / f"{name}{SUFFIX}"


def prepare_slide(
    model: LoadedModel, slide: SlideReader, request: SlideRequest, *, stored: StoredPlan | None = None
) -> PreparedSlide:
    """Find a slide's tissue and scale, and plan its tiles.

    Args:
        model: segments.
        slide: open.
        request: of the call.
        stored: what an earlier call chose, which its finished blocks need.

    Raises:
        DataError: no tissue, or it can't be decoded.
        ConfigError: an impossible setting.
    """
    tissue = find_tissue(slide)
    if not tissue.mask.any():
        raise DataError("no tissue found on the slide", path=slide.info.path)
    if stored is None:
        scale = slide_scale(model, slide, tissue, request.scale)
    else:
        scale = SlideScale(scale=stored.scale, mpp=stored.mpp, mpp_known_by=stored.mpp_known_by)
    asked = None
    if request.roi:
        margin_px = 0.0 if scale.mpp is None else NEIGHBOURS.radius_um / scale.mpp
        asked = AskedRegions(request.roi, slide.info.frame, margin_px=margin_px)

    def holds_tissue(windows_xyxy: NDArray[np.int64]) -> NDArray[np.bool_]:
        chosen = tissue.meets(windows_xyxy)
        if asked is not None:
            chosen[chosen] = asked.meets(windows_xyxy[chosen])
        return chosen

    plan = plan_slide(
        scale.of(slide.info.frame),
        request.inference.tiling,
        magnification=slide_magnification(scale.scale.magnification),
        holds_tissue=holds_tissue if stored is None else stored.holds_tissue,
    )
    if not plan.blocks:
        raise DataError("no tissue in the regions of --roi", path=slide.info.path)
    return PreparedSlide(slide=slide, tissue=tissue, asked=asked, scale=scale, plan=plan)


def run_slide(
    model: LoadedModel,
    path: Path,
    name: str,
    folder: Path,
    request: SlideRequest,
    *,
    progress: Callable[[SlideProgress], None] = lambda _: None,
) -> SlideResult:
    """Segment a slide into its folder, or what is missing of it.

    Raises:
        DataError: the slide is unreadable or without tissue.
        ResultsError: the folder holds other results, is in use, or can't be written.
    """
    started = time.perf_counter()
    work, memory = request.work, MemoryBound(request.memory_gib)
    settings = decisive_settings(model, path, request)
    with open_slide(path, settings=request.opening) as slide, folder_lock(folder):
        results = SlideFolder(folder, settings, fresh=request.fresh)
        if results.is_finished:
            if request.regions is not None:
                write_regions(folder / TABLE_NAME, request.regions, output=folder)
            summary = read_summary(folder / SUMMARY_NAME)
            return SlideResult(
                name=name,
                folder=folder,
                nuclei=summary.nuclei,
                tissue_mm2=summary.tissue_mm2,
                state="kept",
                seconds=time.perf_counter() - started,
            )
        stored = results.stored_plan()
        prepared = prepare_slide(model, slide, request, stored=stored)
        if stored is not None:
            stored.check(prepared.plan, folder)
        write_bytes(folder / "tissue.png", tissue_picture(prepared.tissue))
        run = SlideRun(
            plan=prepared.plan,
            scale=prepared.scale.scale,
            work=work,
            tiling=request.inference.tiling,
            memory=memory,
            info=NucleiTableInfo(
                slide=path.name,
                frame=prepared.plan.frame,
                mpp_known_by=prepared.scale.mpp_known_by,
                class_names=model.card.class_names,
                model=model.card.name,
                measurement_names=(),
            ),
            neighbours=NEIGHBOURS,
            asked=prepared.asked,
        )
        outcome = segment_slide(model.segmenter, slide, results, run, progress=progress)
        notes = (*describe_scales([prepared.scale.scale]), *_unreadable(outcome), *_memory(memory))
        seconds = time.perf_counter() - started
        facts = run_facts(model, settings, outcome, seconds=seconds, notes=notes)
        # The summary at its end says that the slide is finished.
        summary = write_overview(folder, prepared.tissue, roi=request.roi, run=facts)
        results.finish()
        if request.regions is not None:
            write_regions(folder / TABLE_NAME, request.regions, output=folder)
    return SlideResult(
        name=name,
        folder=folder,
        nuclei=outcome.nuclei,
        tissue_mm2=summary.tissue_mm2,
        state="done",
        seconds=seconds,
        notes=notes,
    )


def _unreadable(outcome: SlideOutcome) -> tuple[str, ...]:
    if not outcome.unreadable:
        return ()
    first = outcome.unreadable[0]
    x1, y1, x2, y2 = first.window_xyxy
    more = f" (and {len(outcome.unreadable) - 1} more: see {SUMMARY_NAME})" if len(outcome.unreadable) > 1 else ""
    return (f"unreadable, left out: x {x1} to {x2}, y {y1} to {y2}: {first.problem}{more}",)


def _memory(memory: MemoryBound) -> tuple[str, ...]:
    if memory.peak_gib <= memory.most_gib:
        return ()
    enough = math.ceil(10 * memory.peak_gib + 1) / 10
    reached = f"memory reached {memory.peak_gib:.2f} GiB, above --memory {memory.most_gib:g}"
    return (f"{reached}: give --memory {enough:g}, or a smaller --batch-images",)
