"""Slides before and between calls: what a slide would take, and which are finished."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from nucleate.api.loading import LoadedModel
from nucleate.api.one_slide import PreparedSlide, prepare_slide, result_folder
from nucleate.api.slide_request import SlideRequest
from nucleate.api.slides import SlidesOutcome
from nucleate.core import describe_scales
from nucleate.errors import FolderInUseError, NucleateError
from nucleate.export import count_nuclei
from nucleate.export.summary import area_in_mm2, tissue_looked_at
from nucleate.files import folder_lock, write_bytes
from nucleate.inference import ImageInput, InputFailure
from nucleate.inference.whole_slide import TABLE_NAME, SlideResult, finished_blocks, is_finished, time_tile
from nucleate.slides import open_slide, tissue_picture

# Outline, measurements and box of a nucleus in the table and, before, in its block.
_BYTES_A_NUCLEUS = 1_500


def plan_slides(
    model: LoadedModel, slides: Sequence[ImageInput], output: Path | None, request: SlideRequest
) -> SlidesOutcome:
    """Return what each slide would take: one tile of each is segmented for it, nothing is kept but the picture.

    Args:
        model: segments.
        slides: whose plans are wanted.
        output: `tissue.png` of each slide is written there; None writes nothing.
        request: as for `segment_slides`.
    """
    results: list[SlideResult] = []
    failures: list[InputFailure] = []
    for item in slides:
        assert item.path is not None
        folder = result_folder(output or Path(), item.name)
        try:
            with open_slide(item.path, settings=request.opening) as slide:
                prepared = prepare_slide(model, slide, request)
                if output is not None:
                    write_bytes(folder / "tissue.png", tissue_picture(prepared.tissue))
                notes = _notes(model, prepared, request)
                tissue = tissue_looked_at(prepared.tissue, request.roi)
        except NucleateError as error:
            failures.append(InputFailure(file=item.file, message=str(error)))
            results.append(SlideResult(name=item.name, folder=folder, state="failed"))
            continue
        results.append(
            SlideResult(
                name=item.name,
                folder=folder,
                state="planned",
                tissue_mm2=area_in_mm2(0.0 if tissue is None else tissue.area_px, prepared.plan.frame),
                notes=notes,
            )
        )
    return SlidesOutcome(results=tuple(results), failures=tuple(failures))


def _notes(model: LoadedModel, prepared: PreparedSlide, request: SlideRequest) -> tuple[str, ...]:
    plan, scale = prepared.plan, prepared.scale
    known = "unknown" if scale.mpp is None else f"{scale.mpp:.4g} um/px (by {scale.mpp_known_by})"
    tile = time_tile(model.segmenter, prepared.slide, plan, request.work)
    minutes = tile.seconds * plan.tiles / 60
    megabytes = tile.nuclei * plan.tiles * _BYTES_A_NUCLEUS / 1e6
    return (
        f"scale: level 0 at {known}",
        *describe_scales([scale.scale]),
        f"{plan.tiles:,} tiles in {len(plan.blocks):,} blocks",
        (
            f"expected from one tile: {minutes:,.1f} minutes, {megabytes:,.0f} MB of disk, "
            f"at most {request.memory_gib:g} GiB of memory"
        ),
    )


def slides_status(slides: Sequence[ImageInput], output: Path) -> SlidesOutcome:
    """Return which slides are finished, begun, in work or not begun, without a look at the slides themselves."""
    return SlidesOutcome(results=tuple(_status(item.name, result_folder(output, item.name)) for item in slides))


def _status(name: str, folder: Path) -> SlideResult:
    if not folder.is_dir():
        return SlideResult(name=name, folder=folder, state="not begun")
    if is_finished(folder):
        return SlideResult(name=name, folder=folder, state="finished", nuclei=count_nuclei(folder / TABLE_NAME))
    blocks = finished_blocks(folder)
    notes = (f"{blocks.finished:,} of {blocks.in_all:,} blocks",) if blocks is not None else ()
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(folder))
        except FolderInUseError:
            return SlideResult(name=name, folder=folder, state="in work", notes=notes)
    return SlideResult(name=name, folder=folder, state="begun", notes=notes)
