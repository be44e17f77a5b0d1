"""A folder of label images, one number a nucleus: PNG, TIFF or NPY."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleate.core import masks_from_label_map
from nucleate.errors import DataError
from nucleate.files import read_label_map
from nucleate.readers.side import ONE_CLASS, Side, SideImage

SUFFIXES = frozenset({".png", ".tif", ".tiff", ".npy"})


def label_files(path: Path) -> list[Path]:
    """Return the label images of a file or folder (subfolders too), sorted; none where it has no such files."""
    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def read_label_side(path: Path) -> Side:
    """Read every label image of a folder.

    Raises:
        DataError: a file is no label image.
    """
    folder = path if path.is_dir() else path.parent
    images = []
    for file in label_files(path):
        label_map = _read_npy(file) if file.suffix.lower() == ".npy" else read_label_map(file)
        masks, ids = masks_from_label_map(label_map)
        images.append(
            SideImage(
                name=file.relative_to(folder).as_posix(),
                frame=masks.frame,
                masks=masks,
                class_names=(ONE_CLASS,) * len(ids),
                scores=np.ones(len(ids), np.float32),
            )
        )
    return Side(path=path, format="label-images", images=tuple(images), names_images=path.is_dir())


def _read_npy(path: Path) -> NDArray[np.int64]:
    try:
        labels: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"no array of numbers: {error}", path=path) from error
    labels = np.squeeze(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "biu":
        raise DataError(f"a label image is (H, W) integers, this is {labels.shape} {labels.dtype}", path=path)
    if labels.size and int(labels.min()) < 0:
        raise DataError(f"negative id {int(labels.min())}: ids are 1 and up, 0 is background", path=path)
    return labels.astype(np.int64)
