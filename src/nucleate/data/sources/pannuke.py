"""PanNuke's arrays: `images.npy` (N, 256, 256, 3), `masks.npy` (N, 256, 256, 6), `types.npy` (N,), mapped from disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nucleate.core import Frame, Masks, masks_from_label_map
from nucleate.data.sources.source import (
    FileSource,
    SourceImage,
    SourceNuclei,
    annotation_path,
    check_same_size,
    folder_name,
)
from nucleate.errors import DataError
from nucleate.files import check_pixels, label_map_from_array, open_npy
from nucleate.files.limits import DEFAULT_LIMITS

IMAGES_FILE, MASKS_FILE, TYPES_FILE = "images.npy", "masks.npy", "types.npy"
# One channel each; the last channel of the masks is the background.
CLASSES = ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
# All images were brought to 40x.
PANNUKE_MPP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class PannukeArrays:
    """The files of one fold."""

    images: Path
    masks: Path
    types: Path | None


def pannuke_arrays(path: Path) -> list[PannukeArrays]:
    """Return the folds below a folder: `images.npy` with `masks.npy` beside it or in the parallel folder `masks`."""
    found = []
    for images in sorted(path.rglob(IMAGES_FILE)):
        inside = images.relative_to(path).parts[:-1]
        parallel = path.joinpath(*("masks" if part == "images" else part for part in inside), MASKS_FILE)
        masks = next((each for each in (images.parent / MASKS_FILE, parallel) if each.is_file()), None)
        if masks is not None:
            types = images.parent / TYPES_FILE
            found.append(PannukeArrays(images=images, masks=masks, types=types if types.is_file() else None))
    return found


def read_pannuke(path: Path) -> FileSource:
    """Return the images of all folds below a folder, with their tissue as organ.

    Raises:
        DataError: no arrays, arrays of other shapes, or of different lengths.
    """
    folds = pannuke_arrays(path) if path.is_dir() else []
    if not folds:
        raise DataError(f"no {IMAGES_FILE} with {MASKS_FILE}: is this PanNuke's layout?", path=path)
    images: list[SourceImage] = []
    for fold in folds:
        pixels, masks = open_npy(fold.images), open_npy(fold.masks)
        if pixels.ndim != 4 or pixels.shape[3] != 3:
            raise DataError(f"images of shape {pixels.shape}: (N, H, W, 3) is needed", path=fold.images)
        if masks.ndim != 4 or masks.shape[3] != len(CLASSES) + 1:
            raise DataError(f"masks of shape {masks.shape}: (N, H, W, {len(CLASSES) + 1}) is needed", path=fold.masks)
        if len(masks) != len(pixels):
            raise DataError(f"{len(masks)} masks for {len(pixels)} images", path=fold.masks)
        check_pixels(pixels.shape[1], pixels.shape[2], fold.images, DEFAULT_LIMITS)
        organs = _organs(fold, len(pixels))
        images += [
            SourceImage(
                key=f"{fold.images.relative_to(path).as_posix()}/{page:05d}",
                path=fold.images,
                annotation=fold.masks,
                organ=organ,
                species="human",
                mpp=PANNUKE_MPP,
                page=page,
            )
            for page, organ in enumerate(organs)
        ]
    if not images:
        raise DataError("the arrays hold no image", path=folds[0].images)
    return FileSource(
        name=folder_name(path),
        format="pannuke",
        images=tuple(sorted(images, key=lambda image: image.key)),
        reader=read_pannuke_nuclei,
        class_names=CLASSES,
    )


def read_pannuke_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return one nucleus an id of each class' channel, numbered from 1 through all channels.

    Raises:
        DataError: masks of another size than the images, or values that are no ids.
    """
    path = annotation_path(image)
    masks = open_npy(path)[image.page]
    check_same_size(masks.shape[:2], frame, "mask", path)
    parts: list[Masks] = []
    classes: list[int] = []
    for channel in range(len(CLASSES)):
        ids = label_map_from_array(np.asarray(masks[:, :, channel]), path)
        found, _ = masks_from_label_map(ids, mpp=frame.mpp)
        parts.append(found)
        classes += [channel] * len(found)
    return SourceNuclei(
        masks=Masks.concatenate(frame, parts),
        label_ids=np.arange(1, len(classes) + 1),
        class_indices=np.array(classes, np.int64),
        scores=np.ones(len(classes), np.float64),
        class_names=CLASSES,
    )


def _organs(fold: PannukeArrays, count: int) -> list[str | None]:
    if fold.types is None:
        return [None] * count
    types = open_npy(fold.types)
    if types.dtype.kind != "U" or types.shape != (count,):
        raise DataError(f"types of {types.dtype} and shape {types.shape}: {count} names are needed", path=fold.types)
    return [f"human {str(name).strip().lower().replace('_', ' ')}" for name in types]
