"""Predicted instance maps: one number a pixel, in the smallest file type that holds every nucleus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Instances, label_map_from_masks
from nucleate.errors import DataError
from nucleate.files import write_image


def instance_map(instances: Instances) -> NDArray[Any]:
    """Return the (H, W) map in which nucleus i has the value i + 1 (its `number`), 0 is background.

    The higher score owns shared pixels, so a nucleus that lies wholly under better ones has no pixel here.

    Returns:
        uint8 while 255 values hold every nucleus, else uint16, over 65,535 nuclei uint32.
    """
    numbers = label_map_from_masks(instances.masks, priority=instances.scores)
    for kind in (np.uint8, np.uint16):
        if len(instances) <= np.iinfo(kind).max:
            return numbers.astype(kind)
    return numbers.astype(np.uint32)


def write_instance_map(folder: Path, stem: str, numbers: NDArray[Any]) -> Path:
    """Write a map as `folder/stem.png` (8 or 16 bit) or `folder/stem.tif` (32 bit, which PNG can't hold).

    Args:
        folder: made if needed.
        stem: file name without suffix; may hold folders ("liver/slide 1").
        numbers: (H, W) uint8, uint16 or uint32.

    Returns:
        The file.

    Raises:
        DataError: another type.
    """
    if numbers.dtype not in (np.uint8, np.uint16, np.uint32):
        raise DataError(f"an instance map is uint8, uint16 or uint32, this is {numbers.dtype}", item=stem)
    # Not with_suffix: "slide.2" must not lose its ".2".
    path = folder / f"{stem}{'.tif' if numbers.dtype == np.uint32 else '.png'}"
    write_image(path, numbers)
    return path
