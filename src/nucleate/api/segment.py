"""`nucleate segment`: images in; instance maps, overlays, tables, GeoJSON and COCO results out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nucleate.api.image_results import segment_in_memory, segment_into
from nucleate.api.intake import Intake
from nucleate.api.loading import DEFAULT_MODEL, LoadedModel, load_model
from nucleate.api.scaling import ScaleRequest, known_scale
from nucleate.api.slide_plans import plan_slides, slides_status
from nucleate.api.slide_request import SlideRequest
from nucleate.api.slides import DEFAULT_SLIDES, SlidesOutcome, WholeSlideSettings, divide_inputs, segment_slides
from nucleate.errors import ConfigError, ResultsError
from nucleate.export import ResultsFolder
from nucleate.files import folder_lock
from nucleate.inference import (
    ImageInput,
    InferenceSettings,
    Segmentation,
    Source,
    TilingSettings,
    collect_inputs,
)
from nucleate.models.star_convex.onnx_engine import EngineSettings, Precision
from nucleate.slides import read_regions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSettings:
    """How images are segmented.

    Attributes:
        score: nuclei above this score are kept, 0 to 1; unset takes the threshold stored with the model.
        diameter: median nuclear diameter of the images in pixels; brings them to the size that the model learned. One
            of diameter, mpp and magnification may be given; unset, a model with a working scale takes the um/px that
            an image's file states, else estimates the diameter image by image.
        mpp: um a pixel of the images, for a model that says at how many it works.
        magnification: resample images by this factor first, so that their nuclei have the size that the model
            learned; results stay in the images' own pixels.
        accurate: average a star-convex network over flips and turns of each image; eight times slower.
        precision: of a network that runs without torch: auto takes bf16 where the processor has units for it.
        threads: of such a network; 0 takes all cores.
        streams: of such a network, computed side by side; 1 is fastest where images come one at a time.
        overlap_px: shared strip of the tiles that large images are cut into, in magnified pixels; unset takes 128 for
            images, 256 for slides.
        batch_images: images or tiles of one size that go through the network together.
        fresh: start anew in an output folder that holds results.
    """

    score: float | None = None
    diameter: float | None = None
    mpp: float | None = None
    magnification: float | None = None
    accurate: bool = False
    precision: Precision = "auto"
    threads: int = 0
    streams: int = 1
    overlap_px: int | None = None
    batch_images: int = 4
    fresh: bool = False


DEFAULT_SETTINGS = SegmentSettings()
_IMAGE_OVERLAP_PX = 128
# The network sees beyond a nucleus: nearer to a tile's side it answers as nowhere else, and a slide has many sides.
_SLIDE_OVERLAP_PX = 256


def segment(
    inputs: Sequence[Source] | Source,
    *,
    output: Path | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    settings: SegmentSettings = DEFAULT_SETTINGS,
    slides: WholeSlideSettings = DEFAULT_SLIDES,
) -> Segmentation:
    """Find the nuclei of images and whole slides.

    A slide's results are a folder of their own in the output, SLIDE.nucleate. Killed, it goes on with the same
    command.

    Args:
        inputs: files, folders (searched recursively), patterns, and from Python arrays of numpy, zarr or dask, Pillow
            images, or `nucleate.ImageArray`, which holds an image's mpp and name.
        output: folder for the results; a second call with the same settings does what is missing.
        model: a model's name or a run folder.
        device: cpu, cuda or mps; unset takes the best there is.
        settings: score threshold, magnification, tiles.
        slides: what is a slide, dry run, shards, memory.

    Returns:
        The images with their nuclei, `result[0]` or `result["name"]`, what became of the slides, and the inputs that
        could not be read.

    Raises:
        DataError: an input matches nothing, or an array is no image.
        ConfigError: an impossible setting, or no such model.
        ResultsError: the output holds results of other settings, or another process writes there.
    """
    # Before the model, which takes seconds to load.
    images, on_slides = divide_inputs(collect_inputs(inputs, leave_out=output), slides)
    if output is None and (slides.status or (on_slides and not slides.dry_run)):
        raise ConfigError("slides need an output folder: give --output")
    if slides.status and output is not None:
        return Segmentation(stored=(), slides=slides_status(on_slides, output).results, output=output)
    engine = EngineSettings(precision=settings.precision, threads=settings.threads, streams=settings.streams)
    loaded = load_model(model, device, engine=engine, accurate=settings.accurate)
    outcome = SlidesOutcome()
    if on_slides:
        request = slide_request(loaded, settings, slides)
        if slides.dry_run:
            outcome = plan_slides(loaded, on_slides, output, request)
        elif output is not None:
            outcome = segment_slides(loaded, on_slides, output, request)
    segmented = Segmentation(stored=())
    if images and not slides.dry_run:
        segmented = segment_with(loaded, images, output=output, settings=settings)
    return replace(
        segmented,
        slides=outcome.results,
        failures=(*segmented.failures, *outcome.failures),
        output=output,
    )


def segment_with(
    model: LoadedModel,
    images: Sequence[ImageInput],
    *,
    output: Path | None = None,
    settings: SegmentSettings = DEFAULT_SETTINGS,
) -> Segmentation:
    """Find the nuclei of collected images with a loaded model (see `segment`)."""
    request, inference = _scale_request(settings), _inference(model, settings, _IMAGE_OVERLAP_PX)
    intake = Intake(model=model, images=images, request=request)
    if output is None:
        return segment_in_memory(intake, inference)
    if output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output is a folder", path=output)
    with folder_lock(output):
        decisive = _decisive_settings(model, request, inference)
        folder = ResultsFolder(output, decisive, class_names=model.card.class_names, fresh=settings.fresh)
        return segment_into(folder, intake, inference)


def slide_request(model: LoadedModel, settings: SegmentSettings, slides: WholeSlideSettings) -> SlideRequest:
    """Return what a call wants of each of its slides."""
    return SlideRequest(
        scale=_scale_request(settings),
        inference=_inference(model, settings, _SLIDE_OVERLAP_PX),
        memory_gib=slides.memory,
        apply_colour_profile=slides.colour_profile,
        fresh=settings.fresh,
        roi=() if slides.roi is None else read_regions(slides.roi),
        regions=slides.regions,
    )


def _scale_request(settings: SegmentSettings) -> ScaleRequest:
    return ScaleRequest(diameter_px=settings.diameter, mpp=settings.mpp, magnification=settings.magnification)


def _inference(model: LoadedModel, settings: SegmentSettings, overlap_px: int) -> InferenceSettings:
    known = known_scale(model.card, _scale_request(settings))
    if settings.overlap_px is not None:
        overlap_px = settings.overlap_px
    return InferenceSettings(
        score_threshold=model.card.score_threshold if settings.score is None else settings.score,
        magnification=1.0 if known is None else known.magnification,
        stain=model.card.stain,
        tiling=TilingSettings(tile_px=model.card.tile_px, overlap_px=overlap_px),
        batch_images=settings.batch_images,
    )


def _decisive_settings(model: LoadedModel, request: ScaleRequest, inference: InferenceSettings) -> dict[str, Any]:
    """Return what decides the results: of the scale what was asked for; the size of batches does not."""
    return {
        "model": model.card.name,
        "fingerprint": model.segmenter.fingerprint,
        "class_names": list(model.card.class_names),
        "score": inference.score_threshold,
        "scale": request.described(model.card),
        "magnification": inference.magnification,
        "tile_px": inference.tiling.tile_px,
        "overlap_px": inference.tiling.overlap_px,
        "stain": None if inference.stain is None else inference.stain.to_dict(),
    }
