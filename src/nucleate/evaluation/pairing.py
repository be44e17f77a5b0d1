"""Two sides in any formats brought together: images by their names, frames, classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.data import CocoDataset, ImageRecord, dataset_of_instances
from nucleate.errors import DataError
from nucleate.evaluation.results_file import FoundPredictions
from nucleate.export import ImagePredictions
from nucleate.files import image_size
from nucleate.readers import FramedImage, Side, SideImage, frame_of_both

NAMES_SHOWN = 3
IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"})
NOTHING = SideImage(name="", frame=None, masks=None, class_names=(), scores=np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairedSides:
    """Annotations and predictions of the same images.

    Attributes:
        dataset: the images that both sides have.
        found: their predictions, with notes.
    """

    dataset: CocoDataset
    found: FoundPredictions


def pair_with_dataset(dataset: CocoDataset, predicted: Side) -> PairedSides:
    """Return the images of a data set that the predictions have, and these.

    Raises:
        DataError: no image in common, a name that fits several, or another size.
    """
    names = [record.file_name for record in dataset.records]
    places = _match(names, predicted, str(dataset.annotations_path))
    kept = [place for place in range(len(names)) if places[place] is not None or not predicted.lists_all]
    records = tuple(dataset.records[place] for place in kept)
    images, framed, lost = [], [], 0
    for place, record in zip(kept, records, strict=True):
        chosen = places[place]
        image = NOTHING if chosen is None else predicted.images[chosen]
        framed.append(_framed(image, record.frame, (0, 0), predicted))
    indices, class_notes = _class_indices(framed, dataset.class_names)
    for record, in_frame, classes in zip(records, framed, indices, strict=True):
        lost += in_frame.lost
        images.append(_predictions(record, in_frame, classes))
    notes = [*predicted.notes, *_left_out(len(names), len(kept), predicted, places)]
    notes += [*class_notes, *_lost(lost, "predicted")]
    return PairedSides(
        dataset=replace(dataset, records=records),
        found=FoundPredictions(predictions=tuple(images), notes=tuple(notes)),
    )


def pair_sides(annotated: Side, predicted: Side, images_dir: Path | None = None) -> PairedSides:
    """Return the images that both sides have.

    An image's size is that of its label image or COCO record, of its file in `images_dir`, or the bounds of both
    sides' polygons.

    Args:
        annotated: one side.
        predicted: the other.
        images_dir: the images, for their sizes and for pictures.

    Raises:
        DataError: no image in common, a name that fits several, or sizes that differ.
    """
    names = [image.name for image in annotated.images]
    files = _image_files(images_dir)
    lone = len(annotated.images) == 1 == len(predicted.images)
    if lone and not (annotated.names_images and predicted.names_images):
        places: list[int | None] = [0]
    else:
        places = _match(names, predicted, str(annotated.path))
    kept = [place for place in range(len(names)) if places[place] is not None or not predicted.lists_all]
    truths, framed, file_names, bounded = [], [], [], 0
    for place in kept:
        chosen, truth = places[place], annotated.images[place]
        image = NOTHING if chosen is None else predicted.images[chosen]
        file = files.get(_stem(truth.name))
        known = None if file is None else _frame_of_file(file)
        frame, origin = frame_of_both(truth, image, known)
        bounded += known is None and truth.frame is None and image.frame is None
        truths.append(_framed(truth, frame, origin, annotated))
        framed.append(_framed(image, frame, origin, predicted))
        file_names.append(truth.name if file is None or images_dir is None else file.relative_to(images_dir).as_posix())
    class_names = sorted({name for truth in truths for name in truth.class_names}) or ["nucleus"]
    truth_classes = [_indices(truth.class_names, class_names) for truth in truths]
    predicted_names = {name for image in framed for name in image.class_names}
    class_notes: tuple[str, ...] = ()
    if len(class_names) > 1 and len(predicted_names) == 1 and not predicted_names & set(class_names):
        class_notes = ("The predictions have no classes: annotated ones were taken as one",)
        class_names, truth_classes = ["nucleus"], [np.zeros_like(each) for each in truth_classes]
    indices, more_notes = _class_indices(framed, tuple(class_names))
    dataset = dataset_of_instances(
        annotated.path,
        [
            (name, replace(truth.instances, class_indices=classes))
            for name, truth, classes in zip(file_names, truths, truth_classes, strict=True)
        ],
        class_names=class_names,
        images_dir=images_dir or (annotated.path if annotated.path.is_dir() else annotated.path.parent),
    )
    images = [
        _predictions(record, image, classes)
        for record, image, classes in zip(dataset.records, framed, indices, strict=True)
    ]
    notes = [*annotated.notes, *predicted.notes, *_left_out(len(names), len(kept), predicted, places)]
    notes += [*class_notes, *more_notes]
    notes += _lost(sum(truth.lost for truth in truths), "annotated")
    notes += _lost(sum(image.lost for image in framed), "predicted")
    if bounded:
        notes.append(f"{bounded} images are as large as the bounds of their nuclei: their true size is unknown")
    return PairedSides(dataset=dataset, found=FoundPredictions(predictions=tuple(images), notes=tuple(notes)))


def dataset_of_side(annotated: Side, images_dir: Path | None = None) -> CocoDataset:
    """Return a side as a data set, for a model to be scored on.

    Raises:
        DataError: sizes of images and label images differ.
    """
    silent = replace(annotated, images=tuple(replace(NOTHING, name=image.name) for image in annotated.images))
    return pair_sides(annotated, silent, images_dir).dataset


def _match(names: Sequence[str], predicted: Side, where: str) -> list[int | None]:
    """Return for each annotated name the place of the predicted image: by path, else file name, else stem."""
    found: list[int | None] = [None] * len(names)
    for key in (_stem, _bare_stem):
        free = [place for place, partner in enumerate(found) if partner is None]
        ours = _places([(place, key(names[place])) for place in free])
        unused = [place for place in range(len(predicted.images)) if place not in found]
        theirs = _places([(place, key(predicted.images[place].name)) for place in unused])
        for name in ours.keys() & theirs.keys():
            if len(ours[name]) > 1 or len(theirs[name]) > 1:
                raise DataError(f"several images are called {name!r}: give both sides the same folders", path=where)
            found[ours[name][0]] = theirs[name][0]
    if all(place is None for place in found):
        raise DataError(
            f"no image in common: {_some(names)} here, {_some([image.name for image in predicted.images])} in "
            f"{predicted.path}; images pair by their names without suffix",
            path=where,
        )
    return found


def _places(named: Sequence[tuple[int, str]]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, name in named:
        places.setdefault(name, []).append(place)
    return places


def _bare_stem(name: str) -> str:
    return PurePosixPath(_stem(name)).name


def _stem(name: str) -> str:
    """Return a relative path without the suffix of an image or of a file of nuclei."""
    path = PurePosixPath(name)
    known = path.suffix.lower() in IMAGE_SUFFIXES | {".npy", ".geojson", ".parquet"}
    return str(path.with_suffix("")) if known else name


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:NAMES_SHOWN])
    return (shown or "none") + (" ..." if len(names) > NAMES_SHOWN else "")


def _framed(image: SideImage, frame: Frame, origin_xy: tuple[int, int], side: Side) -> FramedImage:
    try:
        return image.in_frame(frame, origin_xy)
    except DataError as error:
        raise DataError(error.message, path=side.path, item=error.item) from error


def _class_indices(
    images: Sequence[FramedImage], class_names: tuple[str, ...]
) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Return each prediction's class: by name where any is common, all the one where there is one, else by place."""
    theirs = sorted({name for image in images for name in image.class_names})
    if len(class_names) == 1:
        note = (f"The {len(theirs)} predicted classes were taken as {class_names[0]!r}",) if len(theirs) > 1 else ()
        return [np.zeros(len(image.class_names), np.int64) for image in images], note
    common = set(theirs) & set(class_names)
    if common:
        order = [*class_names, *(name for name in theirs if name not in common)]
        return [_indices(image.class_names, order) for image in images], ()
    pairs = ", ".join(f"{name} = {ours}" for name, ours in zip(theirs, class_names, strict=False))
    note = (f"The predicted classes are not the annotated ones and were taken by place: {pairs}",) if theirs else ()
    return [_indices(image.class_names, theirs) for image in images], note


def _indices(names: Sequence[str], order: Sequence[str]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(order)}
    return np.array([places[name] for name in names], np.int64)


def _predictions(record: ImageRecord, image: FramedImage, classes: NDArray[np.int64]) -> ImagePredictions:
    instances = replace(image.instances, class_indices=classes)
    # As results files are read: the best first, equal scores in file order.
    order = np.argsort(-instances.scores, kind="stable")
    return ImagePredictions(image_id=record.image_id, file_name=record.file_name, instances=instances.select(order))


def _left_out(annotated: int, kept: int, predicted: Side, places: Sequence[int | None]) -> list[str]:
    used = sum(place is not None for place in places)
    notes = []
    if kept < annotated:
        notes.append(f"{annotated - kept} of {annotated} annotated images have no predictions and were left out")
    elif used < kept:
        notes.append(f"{kept - used} of {kept} images have no detection")
    if used < len(predicted.images):
        notes.append(f"{len(predicted.images) - used} of {len(predicted.images)} predicted images are not annotated")
    return notes


def _lost(count: int, side: str) -> list[str]:
    return [f"{count} {side} nuclei hold no pixel of their image and were left out"] if count else []


def _image_files(folder: Path | None) -> dict[str, Path]:
    if folder is None or not folder.is_dir():
        return {}
    return {
        _stem(file.relative_to(folder).as_posix()): file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    }


def _frame_of_file(path: Path) -> Frame:
    height_px, width_px = image_size(path)
    return Frame(height_px=height_px, width_px=width_px)
