"""Images through the model into memory or an output folder that keeps what is finished."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nucleate.api.intake import Intake
from nucleate.core import ImageScale
from nucleate.errors import DataError, ResultsError
from nucleate.export import FinishedImage, ResultsFolder
from nucleate.inference import (
    ImageInput,
    InferenceSettings,
    InputFailure,
    Segmentation,
    SegmentedImage,
    StoredResult,
    segment_images,
)

logger = logging.getLogger(__name__)


def segment_in_memory(intake: Intake, inference: InferenceSettings) -> Segmentation:
    """Segment the images; write no file."""
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


def segment_into(folder: ResultsFolder, intake: Intake, inference: InferenceSettings) -> Segmentation:
    """Segment the images that are not finished in the folder, and assemble its tables.

    Raises:
        ResultsError: an input has the name of another one that is finished here, or the folder can't be written.
    """
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
