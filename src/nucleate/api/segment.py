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

from nucleate.api.loading import DEFAULT_MODEL, LoadedModel, load_model
from nucleate.errors import DataError, ResultsError
from nucleate.export import FinishedImage, ResultsFolder
from nucleate.files import folder_lock
from nucleate.inference import (
    ImageInput,
    InferenceSettings,
    InputFailure,
    LoadedImage,
    Segmentation,
    SegmentedImage,
    Source,
    StoredResult,
    TilingSettings,
    collect_inputs,
    segment_images,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSettings:
    """How images are segmented.

    Attributes:
        score: nuclei above this score are kept, 0 to 1; unset takes the threshold stored with the model.
        magnification: resample images by this factor first, so that their nuclei have the size that the model
            learned; results stay in the images' own pixels.
        diameter: median nuclear diameter of the images in pixels; brings them to the size that the model learned.
        overlap_px: shared strip of the tiles that large images are cut into, in magnified pixels.
        batch_images: images or tiles of one size that go through the network together.
        fresh: start anew in an output folder that holds results.
    """

    score: float | None = None
    magnification: float = 1.0
    diameter: float | None = None
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
    return segment_with(load_model(model, device), images, output=output, settings=settings)


def segment_with(
    model: LoadedModel,
    images: Sequence[ImageInput],
    *,
    output: Path | None = None,
    settings: SegmentSettings = DEFAULT_SETTINGS,
) -> Segmentation:
    """Find the nuclei of collected images with a loaded model (see `segment`)."""
    inference = InferenceSettings(
        score_threshold=model.card.score_threshold if settings.score is None else settings.score,
        magnification=settings.magnification * model.magnification(settings.diameter),
        stain=model.card.stain,
        tiling=TilingSettings(tile_px=model.card.tile_px, overlap_px=settings.overlap_px),
        batch_images=settings.batch_images,
    )
    if output is None:
        return _segment_in_memory(model, images, inference)
    if output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output is a folder", path=output)
    with folder_lock(output):
        decisive = _decisive_settings(model, inference)
        folder = ResultsFolder(output, decisive, class_names=model.card.class_names, fresh=settings.fresh)
        return _segment_into(folder, model, images, inference)


def _decisive_settings(model: LoadedModel, inference: InferenceSettings) -> dict[str, Any]:
    """Return what decides the results; the size of batches does not."""
    return {
        "model": model.card.name,
        "fingerprint": model.segmenter.fingerprint,
        "class_names": list(model.card.class_names),
        "score": inference.score_threshold,
        "magnification": inference.magnification,
        "tile_px": inference.tiling.tile_px,
        "overlap_px": inference.tiling.overlap_px,
        "stain": None if inference.stain is None else inference.stain.to_dict(),
    }


def _segment_in_memory(model: LoadedModel, images: Sequence[ImageInput], inference: InferenceSettings) -> Segmentation:
    failures: dict[int, InputFailure] = {}
    stored = []
    with _progress(len(images)) as advance:
        for done in segment_images(model.segmenter, _readable(images, range(len(images)), failures), inference):
            segmented = SegmentedImage(
                source=images[done.image.index], instances=done.instances, class_names=model.card.class_names
            )
            stored.append(
                StoredResult(source=segmented.source, nuclei=len(segmented), load=partial(_itself, segmented))
            )
            advance(1)
    return Segmentation(stored=tuple(stored), failures=_in_order(failures))


def _segment_into(
    folder: ResultsFolder, model: LoadedModel, images: Sequence[ImageInput], inference: InferenceSettings
) -> Segmentation:
    failures: dict[int, InputFailure] = {}
    kept = _keep_finished(folder, images, failures)
    checksums: dict[int, str] = {}
    missing = [index for index in range(len(images)) if index not in kept and index not in failures]
    try:
        with _progress(len(images)) as advance:
            advance(len(images) - len(missing))
            for done in segment_images(model.segmenter, _readable(images, missing, failures, checksums), inference):
                image = images[done.image.index]
                finished = FinishedImage(
                    name=image.name,
                    file=image.file,
                    source=image.source,
                    sha256=checksums.pop(done.image.index),
                    height_px=done.instances.frame.height_px,
                    width_px=done.instances.frame.width_px,
                    nuclei=len(done.instances),
                )
                folder.save(finished, done.image.image_rgb, done.instances)
                logger.info("%s: %d nuclei", image.file, len(done.instances))
                advance(1)
    finally:
        # After Ctrl-C and errors too: the tables hold whatever is finished.
        folder.assemble([image.name for image in images])
    nuclei = {finished.name: finished.nuclei for finished in folder.finished}
    return Segmentation(
        stored=tuple(
            StoredResult(
                source=image,
                nuclei=nuclei[image.name],
                load=partial(_load, folder, image, model.card.class_names),
            )
            for index, image in enumerate(images)
            if index not in failures
        ),
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


def _readable(
    images: Sequence[ImageInput],
    indices: Sequence[int],
    failures: dict[int, InputFailure],
    checksums: dict[int, str] | None = None,
) -> Iterator[LoadedImage]:
    """Yield the images that can be read; note the others, and the checksums where they are wanted."""
    for index in indices:
        try:
            pixels = images[index].read()
            if checksums is not None:
                checksums[index] = images[index].sha256()
        except DataError as error:
            logger.info("%s", error)
            failures[index] = InputFailure(file=images[index].file, message=str(error))
            continue
        yield LoadedImage(index=index, image_rgb=pixels)


def _in_order(failures: dict[int, InputFailure]) -> tuple[InputFailure, ...]:
    return tuple(failures[index] for index in sorted(failures))


def _itself(image: SegmentedImage) -> SegmentedImage:
    return image


def _load(folder: ResultsFolder, image: ImageInput, class_names: tuple[str, ...]) -> SegmentedImage:
    return SegmentedImage(source=image, instances=folder.instances(image.name), class_names=class_names)


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
