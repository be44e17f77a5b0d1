"""How large an image's nuclei are, where nobody says: the network's own answers at three scales."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

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
            so that what is found compares.
        least_scores: nuclei above the first count; where there is none at any scale, those above the next.
        spread: a nucleus counts less where its size at the network is far from the working diameter: a normal curve
            of this deviation over the natural logarithm of the ratio. Parts of large nuclei outnumber the whole ones.
    """

    diameters_px: tuple[float, ...] = (13.5, 24.5, 44.5)
    part_px: int = 640
    least_scores: tuple[float, ...] = (0.5, 0.3)
    spread: float = 1.0

    def __post_init__(self) -> None:
        if not self.diameters_px or min(self.diameters_px) <= 0:
            raise ConfigError(f"diameters of {self.diameters_px} px: at least one, all positive")
        if self.part_px < 32:
            raise ConfigError(f"a part of {self.part_px} px: at least 32")
        if not self.least_scores or not all(0 <= score < 1 for score in self.least_scores):
            raise ConfigError(f"least scores {self.least_scores}: at least one, from 0 to below 1")
        if not self.spread > 0:
            raise ConfigError(f"spread {self.spread}: a positive number")


DEFAULT_SCALE = ScaleSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleLook:
    """What the network found at one scale.

    Attributes:
        magnification: of the part.
        nuclei: above the least score.
        evidence: sum of their scores, each weighted by how near its size is to the working diameter.
        diameter_px: their mean in the image's pixels; None for no nucleus.
    """

    magnification: float
    nuclei: int
    evidence: float
    diameter_px: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEstimate:
    """The estimate, and what it was made from.

    Attributes:
        diameter_px: of the image's nuclei, in its pixels; None where none was found.
        magnification: what brings it to the working diameter; 1 where no nucleus was found.
        looks: one a scale.
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

    The scale with most evidence says it: the mean diameter of what is found there. The median of all nuclei is what is
    meant; small ones are missed first, and the mean of the others is nearer to it than their median is.

    Args:
        segmenter: takes images at its working scale.
        image_rgb: (H, W, 3), stain normalised where the model asks for it.
        working_diameter_px: the model's.
        settings: scales, part, thresholds.
    """
    part = image_rgb[part_with_most_tissue(image_rgb, settings.part_px)]
    answers = [_answer(segmenter, part, working_diameter_px / diameter_px) for diameter_px in settings.diameters_px]
    looks: list[ScaleLook] = []
    for least_score in settings.least_scores:
        looks = [answer.look(least_score, working_diameter_px, settings) for answer in answers]
        best = max(looks, key=lambda look: look.evidence)
        if best.diameter_px is None:
            continue
        diameter_px = _clipped(best.diameter_px, settings)
        return ScaleEstimate(
            diameter_px=diameter_px, magnification=working_diameter_px / diameter_px, looks=tuple(looks)
        )
    return ScaleEstimate(diameter_px=None, magnification=1.0, looks=tuple(looks))


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    """The nuclei of one scale, their diameters in the network's pixels."""

    magnification: float
    diameters_px: NDArray[np.float64]
    scores: NDArray[np.float64]

    def look(self, least_score: float, working_diameter_px: float, settings: ScaleSettings) -> ScaleLook:
        counts = (self.scores > least_score) & (self.diameters_px > 0)
        diameters, scores = self.diameters_px[counts], self.scores[counts]
        if not len(scores):
            return ScaleLook(magnification=self.magnification, nuclei=0, evidence=0.0, diameter_px=None)
        nearness = np.exp(-0.5 * (np.log(diameters / working_diameter_px) / settings.spread) ** 2)
        return ScaleLook(
            magnification=self.magnification,
            nuclei=len(scores),
            evidence=float((scores * nearness).sum()),
            diameter_px=float(diameters.mean()) / self.magnification,
        )


def _answer(segmenter: Segmenter, part_rgb: NDArray[np.uint8], magnification: float) -> _Answer:
    (found,) = segmenter.segment([np.ascontiguousarray(magnified(part_rgb, magnification))])
    diameters = 2 * np.sqrt(found.masks.areas_px() / np.pi)
    logger.debug("%d candidates at a magnification of %.2f", len(found), magnification)
    return _Answer(magnification=magnification, diameters_px=diameters, scores=found.scores.astype(np.float64))


def _clipped(diameter_px: float, settings: ScaleSettings) -> float:
    """Return a diameter that the scales looked at can tell of: at most twice beyond the outer ones."""
    return float(np.clip(diameter_px, min(settings.diameters_px) / 2, max(settings.diameters_px) * 2))
