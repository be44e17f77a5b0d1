"""How large an image's nuclei are, where nobody says: the network's own answers at three scales."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Instances
from nucleate.errors import ConfigError
from nucleate.inference.magnification import magnified
from nucleate.inference.segmenter import Segmenter

logger = logging.getLogger(__name__)

# Paler pixels are glass: H&E tissue is darker than this in its darkest colour.
_GLASS_FROM = 215
_TISSUE_GRID_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSettings:
    """How the size of nuclei is estimated. The defaults were chosen with `benchmarks/scale.py`.

    Attributes:
        diameters_px: nuclei of these diameters are brought to the working diameter in turn. A factor of 1.8 lies
            between them, so that all from 10 to 60 px come within 1.35 of it, which the network was trained for.
        part_px: side of the part of the image that is looked at, the one with most tissue; the same at every scale,
            so that the sums of scores compare.
        least_score: nuclei above it count.
        quantile: of the diameters, weighted by score. Lower than the median, since small nuclei are missed first.
    """

    diameters_px: tuple[float, ...] = (13.5, 24.5, 44.5)
    part_px: int = 640
    least_score: float = 0.4
    quantile: float = 0.45

    def __post_init__(self) -> None:
        if not self.diameters_px or min(self.diameters_px) <= 0:
            raise ConfigError(f"diameters of {self.diameters_px} px: at least one, all positive")
        if self.part_px < 32:
            raise ConfigError(f"a part of {self.part_px} px: at least 32")
        if not 0 <= self.least_score < 1 or not 0 < self.quantile < 1:
            raise ConfigError(f"least_score {self.least_score}, quantile {self.quantile}: 0 to 1")


DEFAULT_SCALE = ScaleSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleLook:
    """What the network found at one scale.

    Attributes:
        magnification: of the part.
        nuclei: above the least score.
        score_sum: of these.
        diameter_px: of these, in the image's pixels; None for no nucleus.
    """

    magnification: float
    nuclei: int
    score_sum: float
    diameter_px: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEstimate:
    """The estimate, and what it was made from.

    Attributes:
        diameter_px: median nuclear diameter in the image's pixels; None where no nucleus was found.
        magnification: what brings it to the working diameter; 1 where no nucleus was found.
        looks: one a scale, the last at the scale that the first ones pointed to.
    """

    diameter_px: float | None
    magnification: float
    looks: tuple[ScaleLook, ...]


def estimate_scale(
    segmenter: Segmenter,
    image_rgb: NDArray[np.uint8],
    working_diameter_px: float,
    *,
    settings: ScaleSettings = DEFAULT_SCALE,
) -> ScaleEstimate:
    """Return the size of an image's nuclei as the network sees it.

    The scale with the largest sum of scores says the diameter first. The network looks again at the scale that follows
    from it, and the answer is the geometric mean of the two: at too small a scale the small nuclei are missed and the
    diameter comes out too large, at too large a scale nuclei fall into parts.

    Args:
        segmenter: takes images at its working scale.
        image_rgb: (H, W, 3), stain normalised where the model asks for it.
        working_diameter_px: the model's.
        settings: scales, part, threshold.
    """
    part = image_rgb[part_with_most_tissue(image_rgb, settings.part_px)]
    looks = [
        _look(segmenter, part, working_diameter_px / diameter_px, settings) for diameter_px in settings.diameters_px
    ]
    best = max(looks, key=lambda look: look.score_sum)
    if best.diameter_px is None:
        return ScaleEstimate(diameter_px=None, magnification=1.0, looks=tuple(looks))
    again = _look(segmenter, part, working_diameter_px / _clipped(best.diameter_px, settings), settings)
    looks.append(again)
    refined_px = best.diameter_px if again.diameter_px is None else again.diameter_px
    diameter_px = _clipped(float(np.sqrt(best.diameter_px * refined_px)), settings)
    return ScaleEstimate(diameter_px=diameter_px, magnification=working_diameter_px / diameter_px, looks=tuple(looks))


def part_with_most_tissue(image_rgb: NDArray[np.uint8], part_px: int) -> tuple[slice, slice]:
    """Return the rows and columns of the square of `part_px` that holds most tissue, the most central of equal ones.

    Images no larger than it are taken whole.
    """
    height_px, width_px = image_rgb.shape[:2]
    rows, columns = min(part_px, height_px), min(part_px, width_px)
    if (rows, columns) == (height_px, width_px):
        return slice(0, height_px), slice(0, width_px)
    # A coarse image is enough: the place needs to be right within a few cells.
    cells_wh = (-(-width_px // _TISSUE_GRID_PX), -(-height_px // _TISSUE_GRID_PX))
    coarse = cv2.resize(image_rgb, cells_wh, interpolation=cv2.INTER_AREA).min(axis=2) < _GLASS_FROM
    sums = cv2.integral(coarse.astype(np.uint8))
    high = min(max(1, rows // _TISSUE_GRID_PX), coarse.shape[0])
    wide = min(max(1, columns // _TISSUE_GRID_PX), coarse.shape[1])
    tissue = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    tops, lefts = np.nonzero(tissue == tissue.max())
    middle = (tissue.shape[0] - 1) / 2, (tissue.shape[1] - 1) / 2
    nearest = np.argmin(np.abs(tops - middle[0]) + np.abs(lefts - middle[1]))
    top = _pixel(int(tops[nearest]), tissue.shape[0], height_px - rows)
    left = _pixel(int(lefts[nearest]), tissue.shape[1], width_px - columns)
    return slice(top, top + rows), slice(left, left + columns)


def _pixel(place: int, places: int, most_px: int) -> int:
    """Return the pixel of a place of the coarse image: the first is 0, the last `most_px`."""
    return most_px // 2 if places == 1 else round(place * most_px / (places - 1))


def _look(
    segmenter: Segmenter, part_rgb: NDArray[np.uint8], magnification: float, settings: ScaleSettings
) -> ScaleLook:
    shown = np.ascontiguousarray(magnified(part_rgb, magnification))
    found = segmenter.segment([shown])[0].above(settings.least_score)
    diameter_px = _typical_diameter_px(found, settings.quantile)
    look = ScaleLook(
        magnification=magnification,
        nuclei=len(found),
        score_sum=float(found.scores.sum()),
        diameter_px=None if diameter_px is None else diameter_px / magnification,
    )
    logger.debug("%s", look)
    return look


def _typical_diameter_px(found: Instances, quantile: float) -> float | None:
    """Return the diameter of the disc of the same area that a share of the summed score lies below."""
    diameters = 2 * np.sqrt(found.masks.areas_px() / np.pi)
    order = np.argsort(diameters, kind="stable")
    below = np.cumsum(found.scores[order].astype(np.float64))
    if not len(below) or below[-1] <= 0:
        return None
    diameter_px = float(diameters[order][np.searchsorted(below, quantile * below[-1])])
    return diameter_px if diameter_px > 0 else None


def _clipped(diameter_px: float, settings: ScaleSettings) -> float:
    """Return a diameter that the scales looked at can tell of: at most twice beyond the outer ones."""
    return float(np.clip(diameter_px, min(settings.diameters_px) / 2, max(settings.diameters_px) * 2))
