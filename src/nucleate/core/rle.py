"""COCO's run-length codes and polygons, by pycocotools; column-major, as its mask API defines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from nucleate.core.frame import Frame
from nucleate.core.masks import Masks
from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rle:
    """One mask as COCO's compressed run-length code.

    Attributes:
        size_hw: (height_px, width_px) of the frame.
        counts: the code, ASCII.
    """

    size_hw: tuple[int, int]
    counts: str

    def to_coco(self) -> dict[str, Any]:
        """Return COCO's `segmentation` object."""
        return {"size": list(self.size_hw), "counts": self.counts}


def rle_from_counts(frame: Frame, counts: Sequence[int]) -> Rle:
    """Return the code of plain counts (COCO's uncompressed form: background first, column by column).

    Raises:
        DataError: a count is negative or no integer, or they don't add up to the frame's pixels.
    """
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise DataError("run lengths must be integers from 0 up")
    if sum(counts) != frame.height_px * frame.width_px:
        raise DataError(f"the run lengths cover {sum(counts)} of {frame.height_px * frame.width_px} pixels")
    plain: Any = {"size": list(frame.shape), "counts": list(counts)}
    code: Any = coco_mask.frPyObjects(plain, frame.height_px, frame.width_px)
    return Rle(size_hw=frame.shape, counts=code["counts"].decode("ascii"))


def encode_polygons(frame: Frame, rings: Sequence[NDArray[np.number]]) -> Rle:
    """Return the union of polygons, as pycocotools rasterises them, as a run-length code.

    Args:
        frame: the image.
        rings: (K, 2) corners x, y each, at least 3 of them.
    """
    flat: list[Any] = [np.asarray(ring, np.float64).reshape(-1).tolist() for ring in rings]
    merged: Any = coco_mask.merge(coco_mask.frPyObjects(flat, frame.height_px, frame.width_px))
    return Rle(size_hw=frame.shape, counts=merged["counts"].decode("ascii"))


def encode_rles(masks: Masks) -> list[Rle]:
    """Return each mask as a run-length code of the whole frame."""
    height_px, width_px = masks.frame.shape
    plain: list[Any] = []
    for index, bitmap in enumerate(masks):
        x1, y1, x2, y2 = masks.windows_xyxy[index].tolist()
        strip = np.zeros((x2 - x1, height_px), np.int8)
        strip[:, y1:y2] = bitmap.T
        flat = np.concatenate([[0], strip.reshape(-1), [0]])
        changes = np.flatnonzero(np.diff(flat)) + x1 * height_px
        counts = np.diff(np.concatenate([[0], changes, [height_px * width_px]]))
        plain.append({"size": [height_px, width_px], "counts": counts.tolist()})
    codes: list[Any] = coco_mask.frPyObjects(plain, height_px, width_px) if plain else []
    return [Rle(size_hw=(height_px, width_px), counts=code["counts"].decode("ascii")) for code in codes]


def decode_rles(frame: Frame, codes: Sequence[Rle]) -> Masks:
    """Return the masks of run-length codes, cropped to their pixels.

    The codes' sizes must be the frame's; `nucleate.data` checks that where files are read.
    """
    windows, crops = np.zeros((len(codes), 4), np.int32), []
    for index, code in enumerate(codes):
        coco: Any = {"size": list(code.size_hw), "counts": code.counts.encode("ascii")}
        x, y, width, height = (int(value) for value in coco_mask.toBbox(coco))
        crops.append(coco_mask.decode(coco)[y : y + height, x : x + width].astype(np.bool_))
        windows[index] = (x, y, x + width, y + height)
    return Masks.from_bitmaps(frame, windows, crops)


def decode_polygons(frame: Frame, rings: Sequence[NDArray[np.number]]) -> NDArray[np.bool_]:
    """Return the (H, W) union of polygons as pycocotools rasterises them.

    Args:
        frame: the image.
        rings: (K, 2) corners x, y each, at least 3 of them.
    """
    code = encode_polygons(frame, rings)
    coco: Any = {"size": list(code.size_hw), "counts": code.counts.encode("ascii")}
    return np.asarray(coco_mask.decode(coco), np.bool_)


def rle_problem(code: Rle, frame: Frame) -> str | None:
    """Return what keeps a run-length code from being a mask of the frame, None when it is one.

    pycocotools itself checks neither size nor sum, and a short code leaves its pixels uninitialised.
    """
    if tuple(code.size_hw) != frame.shape:
        return f"size {list(code.size_hw)} where the image has [height, width] {list(frame.shape)}"
    if not code.counts.isascii():
        return "counts are no ASCII run-length code"
    runs: list[int] = []
    value = bits = 0
    for character in code.counts.encode("ascii"):
        group = character - 48
        if not 0 <= group < 64:
            return f"counts hold {chr(character)!r}, which COCO's code does not use"
        value |= (group & 31) << bits
        bits += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << bits
        # From the fourth run on, COCO stores the difference to the run before the last.
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = bits = 0
    if bits or min(runs, default=0) < 0 or sum(runs) != frame.height_px * frame.width_px:
        return f"counts cover {sum(runs)} of {frame.height_px * frame.width_px} pixels"
    return None
