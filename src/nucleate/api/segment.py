"""`nucleate segment`: images in; instance maps, overlays, tables, GeoJSON and COCO results out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nucleate.api.intake import Intake
from nucleate.api.loading import DEFAULT_MODEL, LoadedModel, load_model
from nucleate.api.scaling import ScaleRequest, known_scale
from nucleate.core import ImageScale
from nucleate.errors import DataError, ResultsError
from nucleate.export import FinishedImage, ResultsFolder
from nucleate.files import folder_lock
from nucleate.inference import (
    ImageInput,
    InferenceSettings,
    InputFailure,
    Segmentation,
    SegmentedImage,
    Source,
    StoredResult,
    TilingSettings,
    collect_inputs,
    segment_images,
)
from nucleate.models.star_convex.onnx_engine import EngineSettings, Precision

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
        overlap_px: shared strip of the tiles that large images are cut into, in magnified pixels.
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
    overlap_px: int = 128
    batch_images: int = 4
    fresh: bool = False


DEFAULT_SETTINGS = SegmentSettings()


def segment(
    inputs: Sequence[Source] | Source,
    *,
    output: Path | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    settings: SegmentSettings = DEFAULT_SETTINGS,
) -> Segmentation:
    """Find the nuclei of images.

    Args:
        inputs: files, folders (searched recursively), patterns, and from Python arrays of numpy, zarr or dask, Pillow
            images, or `nucleate.ImageArray`, which holds an image's mpp and name.
        output: folder for the results; a second call with the same settings does what is missing.
        model: a model's name or a run folder.
        device: cpu, cuda or mps; unset takes the best there is.
        settings: score threshold, magnification, tiles.

    Returns:
        The images with their nuclei, `result[0]` or `result["name"]`, and the inputs that could not be read.

    Raises:
        DataError: an input matches nothing, or an array is no image.
        ConfigError: an impossible setting, or no such model.
        ResultsError: the output holds results of other settings, or another process writes there.
    """
    # Before the model, which takes seconds to load.
    images = collect_inputs(inputs, leave_out=output)
    engine = EngineSettings(precision=settings.precision, threads=settings.threads)
    loaded = load_model(model, device, engine=engine, accurate=settings.accurate)
    return segment_with(loaded, images, output=output, settings=settings)


def segment_with(
    model: LoadedModel,
    images: Sequence[ImageInput],
    *,
    output: Path | None = None,
    settings: SegmentSettings = DEFAULT_SETTINGS,
) -> Segmentation:
    """Find the nuclei of collected images with a loaded model (see `segment`)."""
    request = ScaleRequest(diameter_px=settings.diameter, mpp=settings.mpp, magnification=settings.magnification)
    known = known_scale(model.card, request)
    inference = InferenceSettings(
        score_threshold=model.card.score_threshold if settings.score is None else settings.score,
        magnification=1.0 if known is None else known.magnification,
        stain=model.card.stain,
        tiling=TilingSettings(tile_px=model.card.tile_px, overlap_px=settings.overlap_px),
        batch_images=settings.batch_images,
    )
    intake = Intake(model=model, images=images, request=request)
    if output is None:
        return _segment_in_memory(intake, inference)
    if output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output is a folder", path=output)
    with folder_lock(output):
        decisive = _decisive_settings(model, request, inference)
        folder = ResultsFolder(output, decisive, class_names=model.card.class_names, fresh=settings.fresh)
        return _segment_into(folder, intake, inference)


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


def _segment_in_memory(intake: Intake, inference: InferenceSettings) -> Segmentation:
    stored = []
    everything = range(len(intake.images))
    with _progress(len(intake.images)) as advance:
        for done in segment_images(intake.model.segmenter, intake.read(everything, checksums=False), inference):
            segmented = SegmentedImage(
                source=intake.images[done.image.index],
                instances=done.instances,
                class_names=intake.model.card.class_names,
                scale=intake.scales[done.image.index],
            )
            stored.append(
                StoredResult(source=segmented.source, nuclei=len(segmented), load=partial(_itself, segmented))
            )
            advance(1)
    scales = tuple(intake.scales[index] for index in sorted(intake.scales))
    return Segmentation(stored=tuple(stored), scales=scales, failures=_in_order(intake.failures))


def _segment_into(folder: ResultsFolder, intake: Intake, inference: InferenceSettings) -> Segmentation:
    images, failures = intake.images, intake.failures
    kept = _keep_finished(folder, images, failures)
    missing = [index for index in range(len(images)) if index not in kept and index not in failures]
    try:
        with _progress(len(images)) as advance:
            advance(len(images) - len(missing))
            for done in segment_images(intake.model.segmenter, intake.read(missing, checksums=True), inference):
                image = images[done.image.index]
                finished = FinishedImage(
                    name=image.name,
                    file=image.file,
                    source=image.source,
                    sha256=intake.checksums.pop(done.image.index),
                    height_px=done.instances.frame.height_px,
                    width_px=done.instances.frame.width_px,
                    nuclei=len(done.instances),
                    scale=intake.scales[done.image.index],
                )
                folder.save(finished, done.image.image_rgb, done.instances)
                logger.info("%s: %d nuclei", image.file, len(done.instances))
                advance(1)
    finally:
        # After Ctrl-C and errors too: the tables hold whatever is finished.
        folder.assemble([image.name for image in images])
    readable = [image for index, image in enumerate(images) if index not in failures]
    finished_by_name = {finished.name: finished for finished in folder.finished}
    done_images = [finished_by_name[image.name] for image in readable]
    return Segmentation(
        stored=tuple(
            StoredResult(
                source=image,
                nuclei=finished.nuclei,
                load=partial(_load, folder, image, finished.scale, intake.model.card.class_names),
            )
            for image, finished in zip(readable, done_images, strict=True)
        ),
        scales=tuple(finished.scale for finished in done_images),
        failures=_in_order(failures),
        output=folder.folder,
        kept=len(kept),
    )


def _keep_finished(
    folder: ResultsFolder, images: Sequence[ImageInput], failures: dict[int, InputFailure]
) -> frozenset[int]:
    """Return the inputs whose results are in the folder already; results under an outdated name are removed.

    Raises:
        ResultsError: an input has the name of another one that is finished here.
    """
    names = {image.source: image.name for image in images}
    for finished in folder.finished:
        # Another input with the same stem came along, so this one's results get a longer name.
        if names.get(finished.source, finished.name) != finished.name:
            folder.forget(finished.name)
    kept = set()
    for index, image in enumerate(images):
        earlier = folder.finished_as(image.name)
        if earlier is None:
            continue
        try:
            same = image.sha256() == earlier.sha256
        except DataError as error:
            failures[index] = InputFailure(file=image.file, message=str(error))
            continue
        if same:
            kept.add(index)
        elif image.source != earlier.source:
            raise ResultsError(
                f"holds results of {earlier.source} under the name that {image.source} would get: "
                "choose another --output, or --fresh to start anew",
                path=folder.folder,
            )
    return frozenset(kept)


def _in_order(failures: dict[int, InputFailure]) -> tuple[InputFailure, ...]:
    return tuple(failures[index] for index in sorted(failures))


def _itself(image: SegmentedImage) -> SegmentedImage:
    return image


def _load(folder: ResultsFolder, image: ImageInput, scale: ImageScale, class_names: tuple[str, ...]) -> SegmentedImage:
    return SegmentedImage(source=image, instances=folder.instances(image.name), class_names=class_names, scale=scale)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Show a bar on a terminal while the block runs; gives the function that moves it on."""
    console = Console(stderr=True)
    columns = (TextColumn("segment"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    shown = console.is_terminal
    bar = Progress(*columns, console=console, disable=not shown)
    with bar if shown else nullcontext():
        task = bar.add_task("segment", total=total)
        yield partial(bar.advance, task)
