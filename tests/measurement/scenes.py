"""Masks of drawn nuclei, and masks that are awkward to measure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, masks_from_label_map
from tests.synthetic import Drawing, draw_he


def drawn(**options: object) -> tuple[Drawing, Masks]:
    drawing = draw_he(**options)  # type: ignore[arg-type]
    return drawing, masks_from_label_map(drawing.label_map)[0]


def of(*bitmaps: NDArray[np.bool_]) -> Masks:
    height_px, width_px = bitmaps[0].shape
    return Masks.from_full(Frame(height_px=height_px, width_px=width_px), bitmaps)


def rows(*lines: str) -> NDArray[np.bool_]:
    """Return the bitmap of lines of # and dots."""
    return np.array([[character == "#" for character in line] for line in lines], np.bool_)


def mixed_sizes() -> Masks:
    """Return masks of 1 to 150 px, with an empty one and loose windows, in no order of size."""
    rng = np.random.default_rng(0)
    frame = Frame(height_px=200, width_px=220)
    bitmaps = []
    for diameter in (9, 150, 1, 40, 25, 0, 70, 12):
        y, x = rng.uniform(diameter / 2, 200 - diameter / 2, 2)
        yy, xx = np.mgrid[:200, :220]
        bitmaps.append((yy - y) ** 2 + ((xx - x) * 1.2) ** 2 < diameter**2 / 4)
    whole = np.tile(np.array([0, 0, 220, 200], np.int32), (len(bitmaps), 1))
    return Masks.from_bitmaps(frame, whole, bitmaps)
