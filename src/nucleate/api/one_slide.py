"""One slide from file to results: tissue, scale, plan, segmentation, tables and pictures."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucleate.api.loading import LoadedModel
from nucleate.api.scaling import ScaleRequest
from nucleate.api.slide_scale import SlideScale, slide_scale
from nucleate.core import describe_scales
from nucleate.errors import ConfigError, DataError
from nucleate.export import NucleiTableInfo, count_nuclei
from nucleate.files import folder_lock, write_bytes, write_json
from nucleate.inference import InferenceSettings
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
    WorkSettings,
    plan_slide,
    segment_slide,
)
from nucleate.measurement import StainSettings
from nucleate.slides import SlideReader, SlideSettings, Tissue, find_tissue, open_slide, tissue_picture

# Of a file of gigabytes its two ends and its size tell it from others.
_HASHED_BYTES = 2**20
# Process, network and a row of blocks; each tile under way holds its pixels and what becomes of them.
BASE_GIB = 1.0
TILE_GIB = 0.06
MOST_TILES_IN_FLIGHT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideRequest:
    """What a call wants of each of its slides.

    Attributes:
        scale: what was said of all of them.
        inference: threshold, stain, tiles, batches.
        memory_gib: bound of the process' memory.
        apply_colour_profile: bring the scanner's colours to sRGB.
        fresh: start anew.
    """

    scale: ScaleRequest
    inference: InferenceSettings
    memory_gib: float
    apply_colour_profile: bool
    fresh: bool

    @property
    def work(self) -> WorkSettings:
        """Return how blocks are segmented.

        Raises:
            ConfigError: the memory is too small.
        """
        return WorkSettings(
            score_threshold=self.inference.score_threshold,
            stain=self.inference.stain,
            batch_tiles=self.inference.batch_images,
            tiles_in_flight=self._tiles_in_flight(),
            stain_measurement=StainSettings(),
        )

    def _tiles_in_flight(self) -> int:
        tiles = math.floor((self.memory_gib - BASE_GIB) / (2 * TILE_GIB))
        if tiles < 1:
            raise ConfigError(f"--memory {self.memory_gib:g} GiB: at least {BASE_GIB + 2 * TILE_GIB:.1f} are needed")
        return min(tiles, MOST_TILES_IN_FLIGHT)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedSlide:
    """A slide that is open, with what has to be known before its first tile."""

    slide: SlideReader
    tissue: Tissue
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
        raise DataError("no tissue found: see `nucleate segment --dry-run` for its picture", path=slide.info.path)
    scale = slide_scale(model, slide, tissue, request.scale)
    plan = plan_slide(
        scale.of(slide.info.frame),
        request.inference.tiling,
        magnification=scale.scale.magnification,
        holds_tissue=lambda window: tissue.share_of(window) > 0,
    )
    return PreparedSlide(slide=slide, tissue=tissue, scale=scale, plan=plan)


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
    settings = SlideSettings(mpp=request.scale.mpp, apply_colour_profile=request.apply_colour_profile)
    with open_slide(path, settings=settings) as slide, folder_lock(folder):
        results = SlideFolder(folder, decisive_settings(model, path, request), fresh=request.fresh)
        if results.is_finished:
            return SlideResult(
                name=name,
                folder=folder,
                nuclei=count_nuclei(folder / TABLE_NAME),
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
        )
        outcome = segment_slide(model.segmenter, slide, results, run, progress=progress)
        result = SlideResult(
            name=name,
            folder=folder,
            nuclei=outcome.nuclei,
            tissue_mm2=prepared.tissue.area_mm2,
            state="done",
            seconds=time.perf_counter() - started,
            notes=(*describe_scales([prepared.scale.scale]), *_unreadable(outcome)),
        )
        write_json(folder / SUMMARY_NAME, {"nuclei": outcome.nuclei}, indent=1)
        results.finish()
    return result


def _unreadable(outcome: SlideOutcome) -> tuple[str, ...]:
    if not outcome.unreadable:
        return ()
    first = outcome.unreadable[0]
    x1, y1, x2, y2 = first.window_xyxy
    more = f" (and {len(outcome.unreadable) - 1} more: see {SUMMARY_NAME})" if len(outcome.unreadable) > 1 else ""
    return (f"unreadable, left out: x {x1} to {x2}, y {y1} to {y2}: {first.problem}{more}",)


def decisive_settings(model: LoadedModel, path: Path, request: SlideRequest) -> dict[str, Any]:
    """Return what decides a slide's results, as JSON values."""
    inference = request.inference
    return {
        "slide": path.name,
        "bytes": path.stat().st_size,
        "ends_sha256": _ends_sha256(path),
        "model": model.card.name,
        "fingerprint": model.segmenter.fingerprint,
        "class_names": list(model.card.class_names),
        "score": inference.score_threshold,
        "scale": request.scale.described(model.card),
        "tile_px": inference.tiling.tile_px,
        "overlap_px": inference.tiling.overlap_px,
        "stain": None if inference.stain is None else inference.stain.to_dict(),
        "colour_profile": request.apply_colour_profile,
    }


def _ends_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        digest.update(content.read(_HASHED_BYTES))
        with suppress(OSError):
            content.seek(-_HASHED_BYTES, 2)
        digest.update(content.read(_HASHED_BYTES))
    return digest.hexdigest()
