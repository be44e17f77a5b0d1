"""COCO's run-length codes and polygons, by pycocotools; column-major, as its mask API defines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from nucleate.core.frame import Frame
from nucleate.core.masks import Masks
from nucleate.core.sheets import Sheet, mask_sheets
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


def encode_rings(frame: Frame, rings: Sequence[NDArray[np.number]]) -> list[Rle]:
    """Return `encode_polygons` of each ring alone, in one call of pycocotools for all."""
    flat: list[Any] = [np.asarray(ring, np.float64).reshape(-1) for ring in rings]
    codes: list[Any] = coco_mask.frPyObjects(flat, frame.height_px, frame.width_px) if flat else []
    return [Rle(size_hw=frame.shape, counts=code["counts"].decode("ascii")) for code in codes]


def encode_rles(masks: Masks) -> list[Rle]:
    """Return each mask as a run-length code of the whole frame."""
    height_px, width_px = masks.frame.shape
    corners_xy = masks.windows_xyxy[:, :2].astype(np.int64)
    plain: list[Any] = [
        # As pycocotools: no background run of no pixel at the end.
        {"size": [height_px, width_px], "counts": counts if counts[-1] or len(counts) == 1 else counts[:-1]}
        for sheet in mask_sheets(masks)
        for counts in _counts(sheet, corners_xy[sheet.indices], masks.frame)
    ]
    codes: list[Any] = coco_mask.frPyObjects(plain, height_px, width_px) if plain else []
    return [Rle(size_hw=(height_px, width_px), counts=code["counts"].decode("ascii")) for code in codes]


def _counts(sheet: Sheet, corners_xy: NDArray[np.int64], frame: Frame) -> list[list[int]]:
    """Return the run lengths of a sheet's n masks, whose (n, 2) upper left corners lie in the frame as given."""
    rows, columns = np.divmod(
        np.flatnonzero(sheet.pixels[1:] != sheet.pixels[:-1]),
        sheet.pixels.shape[1],
    )
    owners = sheet.owners(rows)
    places = (corners_xy[owners, 0] + columns - 1) * frame.height_px + corners_xy[owners, 1] + rows - sheet.tops[owners]
    order = np.lexsort((places, owners))
    owners, places = owners[order], places[order]
    # Columns are apart here: a run that goes on at the top of the next column ends and starts at one place.
    joined = np.zeros(len(places) + 1, np.bool_)
    joined[1:-1] = (places[1:] == places[:-1]) & (owners[1:] == owners[:-1])
    is_edge = ~(joined[1:] | joined[:-1])
    owners, places = owners[is_edge], places[is_edge]
    # Each mask's edges between 0 and the frame's last place, all masks one after the other.
    ends = np.cumsum(np.bincount(owners, minlength=len(sheet.tops)) + 2)
    bounded = np.zeros(ends[-1], np.int64)
    bounded[np.arange(len(places)) + 2 * owners + 1] = places
    bounded[ends - 1] = frame.height_px * frame.width_px
    lengths = np.diff(bounded).tolist()
    return [lengths[begin : end - 1] for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]


def decode_rles(frame: Frame, codes: Sequence[Rle]) -> Masks:
    """Return the masks of run-length codes, cropped to their pixels.

    The codes' sizes must be the frame's; `nucleate.data` checks that where files are read.
    """
    windows, crops = np.zeros((len(codes), 4), np.int32), []
    height_px = frame.height_px
    for index, code in enumerate(codes):
        edges = list(accumulate(_run_lengths(code.counts)))
        spans = [(start, stop) for start, stop in zip(edges[0::2], edges[1::2], strict=False) if stop > start]
        if not spans:
            crops.append(np.zeros((0, 0), np.bool_))
            continue
        left, right = spans[0][0] // height_px, (spans[-1][1] - 1) // height_px + 1
        strip = np.zeros((right - left) * height_px, np.bool_)
        for start, stop in spans:
            strip[start - left * height_px : stop - left * height_px] = True
        columns = strip.reshape(right - left, height_px)
        rows = np.flatnonzero(columns.any(axis=0))
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        crops.append(np.ascontiguousarray(columns[:, top:bottom].T))
        windows[index] = (left, top, right, bottom)
    return Masks.from_bitmaps(frame, windows, crops)


def decode_polygons(frame: Frame, rings: Sequence[NDArray[np.number]]) -> NDArray[np.bool_]:
    """Return the (H, W) union of polygons as pycocotools rasterises them.

    Args:
        frame: the image.
        rings: (K, 2) corners x, y each, at least 3 of them.
    """
    return decode_rles(frame, [encode_polygons(frame, rings)]).full(0)


def rle_problem(code: Rle, frame: Frame) -> str | None:
    """Return what keeps a run-length code from being a mask of the frame, None when it is one.

    pycocotools itself checks neither size nor sum, and a short code leaves its pixels uninitialised.
    """
    if tuple(code.size_hw) != frame.shape:
        return f"size {list(code.size_hw)} where the image has [height, width] {list(frame.shape)}"
    try:
        runs = _run_lengths(code.counts)
    except ValueError as error:
        return str(error)
    if min(runs, default=0) < 0 or sum(runs) != frame.height_px * frame.width_px:
        return f"counts cover {sum(runs)} of {frame.height_px * frame.width_px} pixels"
    return None


def _run_lengths(counts: str) -> list[int]:
    """Return the lengths of background and mask runs in turn, background first; negative ones in damaged codes.

    Raises:
        ValueError: a character that the code does not use, or the end in the middle of a number.
    """
    runs: list[int] = []
    value = bits = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"counts hold {character!r}, which COCO's code does not use")
        value |= (group & 31) << bits
        bits += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << bits
        # From the fourth run on, COCO stores the difference to the run before the last.
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = bits = 0
    if bits:
        raise ValueError("counts end in the middle of a number")
    return runs
