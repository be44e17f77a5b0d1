"""Cellpose's files: `NAME_seg.npy` of its window and `NAME_masks` or `NAME_cp_masks` images of its command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.data.sources.pairs import PairedFormat
from nucleate.data.sources.source import (
    IMAGE_SUFFIXES,
    SourceImage,
    SourceNuclei,
    annotation_path,
    check_same_size,
    image_files,
    nuclei_from_label_map,
    read_label_nuclei,
)
from nucleate.errors import DataError
from nucleate.files import NPY_SUFFIX, ReadLimits, check_file, label_map_from_array, load_array_pickle

SEG_ENDING = "_seg"
MASK_ENDINGS = ("_cp_masks", "_masks")
# Cellpose's own ending of a training image.
IMAGE_ENDING = "_img"
MOST_SEG_BYTES = 2**29


def cellpose_annotations(path: Path) -> dict[Path, str]:
    """Return Cellpose's files below a path, or the path itself, with their images' stems; of two the `_seg.npy`."""
    files = [path] if path.is_file() else sorted([*path.rglob(f"*{SEG_ENDING}{NPY_SUFFIX}"), *_mask_images(path)])
    found: dict[tuple[Path, str], Path] = {}
    for file in files:
        stem = _image_stem(file)
        if stem is not None and (file.suffix == NPY_SUFFIX or (file.parent, stem) not in found):
            found[file.parent, stem] = file
    return {file: _beside(file, stem) for (_, stem), file in found.items()}


def read_cellpose_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return one nucleus an id of Cellpose's masks, by rising id.

    Raises:
        DataError: a damaged file, one that holds more than arrays and text, or masks of another size than the image.
    """
    path = annotation_path(image)
    if path.suffix.lower() != NPY_SUFFIX:
        return read_label_nuclei(image, frame)
    masks = _seg_masks(path)
    check_same_size(masks.shape, frame, "array of masks", path)
    return nuclei_from_label_map(masks, frame)


def _seg_masks(path: Path) -> NDArray[np.int64]:
    """Return the (H, W) masks of a `_seg.npy`: a pickled dict in a NPY file."""
    check_file(path, ReadLimits(max_file_bytes=MOST_SEG_BYTES))
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header: Any = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            _, _, dtype = read_header(file)
            if not dtype.hasobject:
                raise DataError("no file of Cellpose: it holds a plain array")
            content = load_array_pickle(file)
        return label_map_from_array(np.asarray(content.item()["masks"]))
    except DataError as error:
        raise DataError(error.message, path=path) from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise DataError("no file of Cellpose: a NPY with a dict and its 'masks' is needed", path=path) from error


def _mask_images(path: Path) -> list[Path]:
    return [file for file in image_files(path, deep=True) if file.stem.endswith(MASK_ENDINGS)]


def _image_stem(file: Path) -> str | None:
    """Return the stem of the image that a file belongs to, None for another file."""
    if file.suffix == NPY_SUFFIX and file.stem.endswith(SEG_ENDING):
        return file.stem.removesuffix(SEG_ENDING)
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    ending = next((each for each in MASK_ENDINGS if file.stem.endswith(each)), None)
    return None if ending is None else file.stem.removesuffix(ending)


def _beside(file: Path, stem: str) -> str:
    named = (file.parent / f"{stem}{IMAGE_ENDING}{suffix}" for suffix in IMAGE_SUFFIXES)
    return f"{stem}{IMAGE_ENDING}" if any(image.is_file() for image in named) else stem


CELLPOSE = PairedFormat(
    name="cellpose",
    looked_for="images with NAME_seg.npy or NAME_masks of Cellpose (cellpose)",
    annotation="Cellpose file",
    find=cellpose_annotations,
    reader=read_cellpose_nuclei,
)
