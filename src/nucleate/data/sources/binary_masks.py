"""Binary masks, one an image: each 4-connected component becomes a nucleus, so nuclei that touch become one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from nucleate.core import Frame
from nucleate.data.sources.pairs import PairedFormat
from nucleate.data.sources.source import (
    SourceImage,
    SourceNuclei,
    annotation_path,
    check_same_size,
    image_files,
    nuclei_from_label_map,
)
from nucleate.errors import DataError
from nucleate.files import read_label_map

IMAGES_FOLDER, LABELS_FOLDER = "images", "labels"
MASK_FOLDERS = ("masks", "mask", "masks_binary", "binary_masks", "mask binary")
# TNBC as published (Naylor et al. 2018): Slide_01/01_1.png with GT_01/01_1.png, a folder a patient.
SLIDE_PREFIX, TRUTH_PREFIX = "Slide_", "GT_"


def binary_masks(path: Path) -> dict[Path, str]:
    """Return the masks of a folder with `images` and one of `MASK_FOLDERS`; label images beside them go before.

    Folders `Slide_NN` with `GT_NN` beside them are taken too.
    """
    found = _by_slide(path)
    if found:
        return found
    if not (path / IMAGES_FOLDER).is_dir() or (path / LABELS_FOLDER).is_dir():
        return {}
    images = {file.stem for file in image_files(path / IMAGES_FOLDER, deep=True)}
    for name in MASK_FOLDERS:
        masks = {file: stem for file, stem in mask_files(path / name).items() if stem in images}
        if masks:
            return masks
    return {}


def _by_slide(path: Path) -> dict[Path, str]:
    if not path.is_dir():
        return {}
    slides = sorted(folder for folder in path.glob(f"{SLIDE_PREFIX}*") if folder.is_dir())
    truths = [folder.with_name(TRUTH_PREFIX + folder.name.removeprefix(SLIDE_PREFIX)) for folder in slides]
    return {mask: mask.stem for folder in truths for mask in image_files(folder, deep=False)}


def mask_files(path: Path) -> dict[Path, str]:
    """Return all images below a path as masks, with the stems of the images that they belong to."""
    files = [path] if path.is_file() else image_files(path, deep=True)
    return {file: file.stem.removesuffix("_mask") for file in files}


def read_components(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return one nucleus a 4-connected component of the image's mask, row by row.

    Raises:
        DataError: the mask is unreadable, of another size than the image, or holds more than one value beside 0.
    """
    path = annotation_path(image)
    mask = read_label_map(path)
    check_same_size(mask.shape, frame, "mask", path)
    values = np.unique(mask[mask != 0])
    if len(values) > 1:
        raise DataError(
            f"{len(values)} values beside 0, a binary mask has one: label images are read by --format label-images"
            " --labels DIR",
            path=path,
        )
    components, _ = ndimage.label(mask)
    return nuclei_from_label_map(components, frame)


BINARY_MASKS = PairedFormat(
    name="binary-masks",
    looked_for="images + masks, or Slide_NN + GT_NN, with one binary mask an image (binary-masks)",
    annotation="mask",
    find=binary_masks,
    reader=read_components,
    notes=("nuclei are the 4-connected components of binary masks: nuclei that touch are one",),
)
