"""One slide from file to results: tissue, scale, plan, segmentation, tables and pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    SlideFolder,
    SlideOutcome,
    SlidePlan,
    SlideProgress,
    SlideResult,
    SlideRun,
    plan_slide,
    segment_slide,
    slide_magnification,
)
from nucleate.slides import (
    RegionIndex,
    SlideReader,
    Tissue,
    find_tissue,
    open_slide,
    tissue_picture,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedSlide:
    """A slide that is open, with what has to be known before its first tile."""

    slide: SlideReader
    tissue: Tissue
    roi: RegionIndex | None
    scale: SlideScale
    plan: SlidePlan


def result_folder(output: Path, name: str) -> Path:
    """Return where a slide's results are."""
    return output / f"{name}{SUFFIX}"


def prepare_slide(model: LoadedModel, slide: SlideReader, request: SlideRequest) -> PreparedSlide:
    """Find a slide's tissue and scale, and plan its tiles.

    Raises:
        DataError: no tissue, or it can't be decoded.
        ConfigError: an impossible setting.
    """
    tissue = find_tissue(slide)
    if not tissue.mask.any():
        raise DataError("no tissue found on the slide", path=slide.info.path)
    scale = slide_scale(model, slide, tissue, request.scale)
    roi = RegionIndex(request.roi) if request.roi else None

    def holds_tissue(window: tuple[int, int, int, int]) -> bool:
        return tissue.share_of(window) > 0 and (roi is None or bool(roi.meets([window])[0]))

    plan = plan_slide(
        scale.of(slide.info.frame),
        request.inference.tiling,
        magnification=slide_magnification(scale.scale.magnification),
        holds_tissue=holds_tissue,
    )
    if not plan.blocks:
        raise DataError("no tissue in the regions of --roi", path=slide.info.path)
    return PreparedSlide(slide=slide, tissue=tissue, roi=roi, scale=scale, plan=plan)


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
    work = request.work
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
        prepared = prepare_slide(model, slide, request)
        write_bytes(folder / "tissue.png", tissue_picture(prepared.tissue))
        run = SlideRun(
            plan=prepared.plan,
            work=work,
            tiling=request.inference.tiling,
            info=NucleiTableInfo(
                slide=path.name,
                frame=prepared.plan.frame,
                mpp_known_by=prepared.scale.mpp_known_by,
                class_names=model.card.class_names,
                model=model.card.name,
                measurement_names=(),
            ),
            inside=None if prepared.roi is None else prepared.roi.contains,
        )
        outcome = segment_slide(model.segmenter, slide, results, run, progress=progress)
        notes = (*describe_scales([prepared.scale.scale]), *_unreadable(outcome))
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
