"""What tests of sources share: a folder with one image, and its nuclei read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nucleate.core import Frame, Masks
from nucleate.data.sources import Source, SourceNuclei, open_source

FRAME = Frame(height_px=40, width_px=60)


def write_picture(path: Path, frame: Frame = FRAME) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*frame.shape, 3), 90, np.uint8)).save(path)
    return path


def read_only_image(source: Source, frame: Frame = FRAME) -> SourceNuclei:
    (image,) = source.images
    return source.read_nuclei(image, frame)


def read_nuclei(folder: Path, frame: Frame = FRAME) -> SourceNuclei:
    return read_only_image(open_source(folder), frame)


def box_mask(x1: int, y1: int, x2: int, y2: int, frame: Frame = FRAME) -> NDArray[np.bool_]:
    whole = np.zeros(frame.shape, np.bool_)
    whole[y1:y2, x1:x2] = True
    return whole


def same(masks: Masks, stack: NDArray[np.bool_]) -> bool:
    return len(masks) == len(stack) and all(np.array_equal(masks.full(index), each) for index, each in enumerate(stack))


def reasons(nuclei: SourceNuclei) -> list[str]:
    return [each.reason for each in nuclei.dropped]


def mended(nuclei: SourceNuclei) -> list[str]:
    return [each.reason for each in nuclei.mended]
