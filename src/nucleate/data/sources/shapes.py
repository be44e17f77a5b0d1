"""Nuclei that a source draws as outlines, as masks; what had to be repaired or cut is counted and named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, fill_ring, ring_window
from nucleate.data.outline_faults import crosses_itself
from nucleate.data.sources.source import NUCLEUS, Dropped, Mended, SourceNuclei
from nucleate.errors import DataError

Ring = NDArray[np.float64]

# A whole field of view of 16,384 x 16,384 pixels holds a quarter of this.
MOST_NUCLEI = 2**20
# All nuclei's windows together, the bytes that they take: a whole tissue of overlapping nuclei, and at most these.
MOST_COVERAGE = 4
LEAST_LIMIT_PX = 2**24
MOST_MASK_PX = 2**28
# One nucleus' window, 2,048 x 2,048: larger shapes are regions of tissue.
MOST_SHAPE_PX = 2**22
CROSSING = "self-crossing outline repaired"
CUT = "nucleus cut at the image's border"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One closed outline and its holes, (K, 2) x, y corners each; pixel (0, 0) covers [0, 1)."""

    exterior_xy: Ring
    holes_xy: tuple[Ring, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnNucleus:
    """One nucleus as its annotator drew it.

    Attributes:
        item: its name in the source's file.
        parts: at least one.
        class_name: of the source.
        score: in [0, 1].
        even_odd: pixels in an odd number of the parts are the nucleus', else those in any.
    """

    item: str
    parts: tuple[Part, ...]
    class_name: str = NUCLEUS
    score: float = 1.0
    even_odd: bool = False


def draw_nuclei(shapes: Iterable[DrawnNucleus | Dropped], frame: Frame, key: str) -> SourceNuclei:
    """Return the shapes as masks by pixel centres, numbered from 1 in their order, overlaps kept.

    Args:
        shapes: nuclei, and what the reader left out.
        frame: the image.
        key: the image's, which precedes each item.

    Raises:
        DataError: more nuclei or pixels than any image has.
    """
    windows: list[tuple[int, int, int, int]] = []
    bitmaps: list[NDArray[np.bool_]] = []
    numbers: list[int] = []
    classes: dict[str, int] = {}
    class_indices: list[int] = []
    scores: list[float] = []
    dropped: list[Dropped] = []
    mended: list[Mended] = []
    mask_px = 0
    for number, shape in enumerate(shapes, 1):
        if number > MOST_NUCLEI:
            raise DataError(f"more than {MOST_NUCLEI} shapes for one image: give regions of it")
        item = f"{key}: {shape.item}"
        if isinstance(shape, Dropped):
            dropped.append(Dropped(reason=shape.reason, item=item))
            continue
        parts = _sound_parts(shape)
        corners_xy = np.concatenate([part.exterior_xy for part in parts]) if parts else np.zeros((0, 2))
        problem = _problem(corners_xy, frame)
        if problem is not None:
            dropped.append(Dropped(reason=problem, item=item))
            continue
        window = ring_window(corners_xy, frame)
        window_px = (window[2] - window[0]) * (window[3] - window[1])
        if window_px > MOST_SHAPE_PX:
            dropped.append(Dropped(reason="shape too large for a nucleus", item=item))
            continue
        mask_px += window_px
        check_coverage(mask_px, frame)
        bitmaps.append(_filled(parts, window, frame, even_odd=shape.even_odd))
        windows.append(window)
        numbers.append(number)
        class_indices.append(classes.setdefault(shape.class_name, len(classes)))
        scores.append(shape.score)
        if any(crosses_itself(ring) for part in parts for ring in (part.exterior_xy, *part.holes_xy)):
            mended.append(Mended(reason=CROSSING, item=item))
        if corners_xy.min() < 0 or (corners_xy > (frame.width_px, frame.height_px)).any():
            mended.append(Mended(reason=CUT, item=item))
    return SourceNuclei(
        masks=Masks.from_bitmaps(frame, np.array(windows, np.int32).reshape(-1, 4), bitmaps),
        label_ids=np.array(numbers, np.int64),
        class_indices=np.array(class_indices, np.int64),
        scores=np.array(scores, np.float64),
        class_names=tuple(classes) or (NUCLEUS,),
        dropped=tuple(dropped),
        mended=tuple(mended),
    )


def check_coverage(mask_px: int, frame: Frame) -> None:
    """Refuse masks that take far more memory than an image's nuclei can.

    Args:
        mask_px: pixels of all masks' windows together.
        frame: of the image.

    Raises:
        DataError: they are too many.
    """
    limit = min(MOST_MASK_PX, max(LEAST_LIMIT_PX, MOST_COVERAGE * frame.height_px * frame.width_px))
    if mask_px > limit:
        raise DataError(f"the nuclei cover more than {limit} pixels together: no image's do")


def box_ring(x1: float, y1: float, x2: float, y2: float) -> Ring:
    """Return the corners of a box."""
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)


def ellipse_ring(x1: float, y1: float, x2: float, y2: float) -> Ring:
    """Return an ellipse inside a box as corners half a pixel apart, at least 64 and at most 4,096."""
    count = int(np.clip(np.pi * (abs(x2 - x1) + abs(y2 - y1)), 64, 4096))
    angles = np.arange(count) * (2 * np.pi / count)
    centre_xy = np.array([x1 + x2, y1 + y2]) / 2
    return np.asarray(centre_xy + np.stack([np.cos(angles) * (x2 - x1), np.sin(angles) * (y2 - y1)], axis=1) / 2)


def _sound_parts(shape: DrawnNucleus) -> list[Part]:
    """Return the parts with at least three corners, holes too."""
    parts = []
    for part in shape.parts:
        if len(part.exterior_xy) >= 3:
            holes = tuple(hole for hole in part.holes_xy if len(hole) >= 3 and bool(np.isfinite(hole).all()))
            parts.append(Part(exterior_xy=part.exterior_xy, holes_xy=holes))
    return parts


def _problem(corners_xy: Ring, frame: Frame) -> str | None:
    if len(corners_xy) == 0:
        return "outline of fewer than 3 corners"
    if not np.isfinite(corners_xy).all():
        return "outline with a corner that is no number"
    low, high = corners_xy.min(axis=0), corners_xy.max(axis=0)
    if (high <= 0).any() or (low >= (frame.width_px, frame.height_px)).any():
        return "nucleus outside of the image"
    return None


def _filled(
    parts: list[Part], window_xyxy: tuple[int, int, int, int], frame: Frame, *, even_odd: bool
) -> NDArray[np.bool_]:
    left, top, right, bottom = window_xyxy
    whole = np.zeros((bottom - top, right - left), np.bool_)

    def place(ring: Ring) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
        filled = fill_ring(ring, frame)
        x1, y1, x2, y2 = filled.window_xyxy
        x_from, y_from = max(x1, left), max(y1, top)
        x_to, y_to = max(min(x2, right), x_from), max(min(y2, bottom), y_from)
        inside = (slice(y_from - top, y_to - top), slice(x_from - left, x_to - left))
        return inside, filled.bitmap[y_from - y1 : y_to - y1, x_from - x1 : x_to - x1]

    for part in parts:
        one = np.zeros_like(whole)
        inside, pixels = place(part.exterior_xy)
        one[inside] = pixels
        for hole in part.holes_xy:
            inside, pixels = place(hole)
            one[inside] &= ~pixels
        whole = whole ^ one if even_odd else whole | one
    return whole
