"""Where a slide holds H&E tissue, found on a thumbnail; pen, label, shadow and dust are not tissue."""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.errors import DataError, SlideRegionError
from nucleate.slides.info import Window
from nucleate.slides.reader import SlideReader
from nucleate.slides.stained import DEFAULT_SETTINGS, Mask, TissueSettings, find_stained

logger = logging.getLogger(__name__)

# Of a thumbnail that is read in parts, since some of it can't be read.
_PART_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tissue:
    """Where a slide holds tissue.

    Attributes:
        path: the slide.
        thumbnail_rgb: (H, W, 3) uint8, the whole slide.
        mask: (H, W), true where tissue is.
        ink: (H, W), true where a felt pen wrote; never tissue.
        downsample_xy: level-0 pixels a pixel of the thumbnail, along x and y.
        mpp: um a level-0 pixel, None when unknown.
    """

    path: Path
    thumbnail_rgb: NDArray[np.uint8]
    mask: Mask
    ink: Mask
    downsample_xy: tuple[float, float]
    mpp: float | None = None

    def __post_init__(self) -> None:
        if not self.thumbnail_rgb.shape[:2] == self.mask.shape == self.ink.shape:
            raise DataError(
                f"a mask of shape {self.mask.shape} for a thumbnail of {self.thumbnail_rgb.shape[:2]}", path=self.path
            )
        if min(self.downsample_xy) <= 0:
            raise DataError(f"downsamples {self.downsample_xy}: positive numbers are needed", path=self.path)

    @property
    def area_mm2(self) -> float | None:
        """Return the tissue's area, None where the slide's um a pixel are unknown.

        The outline lies up to one pixel of the thumbnail outside, so small pieces are told too large: by 5 % where
        they measure a millimetre.
        """
        if self.mpp is None:
            return None
        return int(self.mask.sum()) * math.prod(self.downsample_xy) * self.mpp**2 / 1e6

    @property
    def share(self) -> float:
        """Return which part of the slide is tissue, 0 to 1."""
        return float(self.mask.mean())

    def share_of(self, window_xyxy: Window) -> float:
        """Return which part of a region is tissue, 0 to 1; beyond the slide there is none.

        Args:
            window_xyxy: level-0 pixels, half-open; counted are the thumbnail's pixels that it touches.
        """
        across, down = self.downsample_xy
        x1, y1 = math.floor(window_xyxy[0] / across), math.floor(window_xyxy[1] / down)
        x2, y2 = math.ceil(window_xyxy[2] / across), math.ceil(window_xyxy[3] / down)
        if x2 <= x1 or y2 <= y1:
            return 0.0
        inside = self.mask[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
        return float(inside.sum()) / ((x2 - x1) * (y2 - y1))

    def meets(self, windows_xyxy: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return (N,) whether each of N windows holds tissue (see `share_of`)."""
        return np.array([self.share_of((x1, y1, x2, y2)) > 0 for x1, y1, x2, y2 in windows_xyxy.tolist()], np.bool_)


def find_tissue(slide: SlideReader, *, settings: TissueSettings = DEFAULT_SETTINGS) -> Tissue:
    """Find a slide's tissue on a thumbnail.

    A slide without tissue gives an empty mask. What can't be decoded is taken for glass, and said.

    Raises:
        SlideRegionError: nothing of the level that the thumbnail is made of can be decoded.
    """
    info = slide.info
    mpp = info.mpp or settings.assumed_mpp
    longest_px = max(info.frame.shape)
    downsample = max(
        1.0,
        longest_px / settings.most_side_px,
        min(settings.thumbnail_mpp / mpp, longest_px / settings.least_side_px),
    )
    thumbnail_rgb = _thumbnail(slide, downsample)
    height_px, width_px = thumbnail_rgb.shape[:2]
    found = find_stained(thumbnail_rgb, downsample * mpp, settings=settings)
    return Tissue(
        path=info.path,
        thumbnail_rgb=thumbnail_rgb,
        mask=found.tissue,
        ink=found.ink,
        downsample_xy=(info.frame.width_px / width_px, info.frame.height_px / height_px),
        mpp=info.mpp,
    )


def _thumbnail(slide: SlideReader, downsample: float) -> NDArray[np.uint8]:
    frame = slide.info.frame
    try:
        return slide.read((0, 0, frame.width_px, frame.height_px), downsample=downsample)
    except SlideRegionError as error:
        problem = error
    size_wh = max(1, round(frame.width_px / downsample)), max(1, round(frame.height_px / downsample))
    thumbnail_rgb = np.full((size_wh[1], size_wh[0], 3), 255, np.uint8)
    lost = 0
    for top, left in itertools.product(range(0, size_wh[1], _PART_PX), range(0, size_wh[0], _PART_PX)):
        bottom, right = min(top + _PART_PX, size_wh[1]), min(left + _PART_PX, size_wh[0])
        edges = (left * frame.width_px, top * frame.height_px, right * frame.width_px, bottom * frame.height_px)
        x1, y1, x2, y2 = (round(edge / size) for edge, size in zip(edges, (*size_wh, *size_wh), strict=True))
        try:
            part = slide.read((x1, y1, x2, y2), downsample=downsample)
        except SlideRegionError:
            lost += (bottom - top) * (right - left)
            continue
        size = (right - left, bottom - top)
        # Windows are whole level-0 pixels, so a part may come a pixel larger or smaller.
        thumbnail_rgb[top:bottom, left:right] = part if part.shape[1::-1] == size else cv2.resize(part, size)
    if lost == size_wh[0] * size_wh[1]:
        raise problem
    logger.warning(
        "%s: %.1f %% of it can't be decoded and is taken for glass", problem, 100 * lost / thumbnail_rgb[..., 0].size
    )
    return thumbnail_rgb
