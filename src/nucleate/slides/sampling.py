"""Parts of a slide that stand for the whole: where tissue is densest, apart from each other."""

from __future__ import annotations

import cv2
import numpy as np

from nucleate.slides.info import Window
from nucleate.slides.tissue import Tissue


def sample_windows(tissue: Tissue, *, side_px: int, count: int) -> tuple[Window, ...]:
    """Return up to `count` square windows of level-0 pixels, those with most tissue first, none sharing a pixel.

    Args:
        tissue: of the slide; without any there is no window.
        side_px: of a window; cut to the slide's size.
        count: at least 1.
    """
    height, width = tissue.mask.shape
    across, down = tissue.downsample_xy
    wide = min(width, max(1, round(side_px / across)))
    high = min(height, max(1, round(side_px / down)))
    sums = cv2.integral(tissue.mask.astype(np.uint8))
    held = (sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]).astype(np.int64)
    slide_px = (round(width * across), round(height * down))
    size_px = (min(side_px, slide_px[0]), min(side_px, slide_px[1]))
    windows: list[Window] = []
    while len(windows) < count and held.max() > 0:
        # The middle one of equals: the edge of a section is not what it looks like.
        tops, lefts = np.nonzero(held == held.max())
        middle = np.argmin(np.hypot(tops - np.median(tops), lefts - np.median(lefts)))
        top, left = int(tops[middle]), int(lefts[middle])
        x1 = min(round(left * across), slide_px[0] - size_px[0])
        y1 = min(round(top * down), slide_px[1] - size_px[1])
        windows.append((x1, y1, x1 + size_px[0], y1 + size_px[1]))
        held[max(0, top - high + 1) : top + high, max(0, left - wide + 1) : left + wide] = 0
    return tuple(windows)
