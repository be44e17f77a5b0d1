"""One mask file a nucleus, as in the 2018 Data Science Bowl: `<image>/images/<image>.png` and `<image>/masks/*.png`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks
from nucleate.data.sources.pairs import PairedFormat
from nucleate.data.sources.shapes import check_coverage
from nucleate.data.sources.source import (
    Dropped,
    SourceImage,
    SourceNuclei,
    annotation_path,
    check_same_size,
    image_files,
)
from nucleate.files import read_label_map

IMAGES_FOLDER, MASKS_FOLDER = "images", "masks"


def mask_folders(path: Path) -> dict[Path, str]:
    """Return the folders of masks at or below a path, with their images' stems.

    A folder is one where `images` beside it holds a single image, and its masks aren't called as the image is.
    """
    if path.is_file():
        return {}
    found = {}
    for folder in sorted({path / MASKS_FOLDER, *path.rglob(MASKS_FOLDER)}):
        images = image_files(folder.parent / IMAGES_FOLDER, deep=False)
        masks = image_files(folder, deep=False)
        if len(images) == 1 and masks and images[0].stem not in {mask.stem for mask in masks}:
            found[folder] = images[0].stem
    return found


def read_masked_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return one nucleus a mask file, by file name; not 0 is the nucleus. Masks may overlap and have parts.

    Raises:
        DataError: a mask is unreadable, in colour, or of another size than the image.
    """
    folder = annotation_path(image)
    windows: list[NDArray[np.int32]] = []
    bitmaps: list[NDArray[np.bool_]] = []
    numbers: list[int] = []
    dropped: list[Dropped] = []
    mask_px = 0
    for number, file in enumerate(image_files(folder, deep=False), 1):
        mask = read_label_map(file)
        check_same_size(mask.shape, frame, "mask", file)
        one = Masks.from_full(frame, [mask != 0])
        if len(one.bits) == 0:
            dropped.append(Dropped(reason="mask file without a pixel", item=f"{image.key}: {file.name}"))
            continue
        windows.append(one.windows_xyxy[0])
        bitmaps.append(one.bitmap(0))
        numbers.append(number)
        mask_px += len(one.bits)
        check_coverage(mask_px, frame)
    return SourceNuclei(
        masks=Masks.from_bitmaps(frame, np.array(windows, np.int32).reshape(-1, 4), bitmaps),
        label_ids=np.array(numbers, np.int64),
        class_indices=np.zeros(len(numbers), np.int64),
        scores=np.ones(len(numbers), np.float64),
        dropped=tuple(dropped),
    )


NUCLEUS_MASKS = PairedFormat(
    name="nucleus-masks",
    looked_for="NAME/images + NAME/masks with one file a nucleus (nucleus-masks)",
    annotation="folder of masks",
    find=mask_folders,
    reader=read_masked_nuclei,
)
