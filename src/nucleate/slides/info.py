"""What a slide says of itself: its levels, its scale, who made it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nucleate.core import Frame
from nucleate.errors import DataError
from nucleate.files.resolution import LEAST_MPP, MOST_MPP

logger = logging.getLogger(__name__)

Window = tuple[int, int, int, int]
MppOrigin = Literal["given", "file", "magnification"]

# Cameras' pixels are squares; what differs more is a wrong header or an anisotropic scan, and one number misleads.
MOST_MPP_DIFFERENCE = 0.02
# An objective's um/px where the file states its power only: 0.25 at 40x, as most scanners have within 10 %.
UM_TIMES_MAGNIFICATION = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideLevel:
    """One level of the pyramid.

    Attributes:
        frame: its pixels; mpp as the slide's, times the downsample.
        downsample: level-0 pixels a pixel of this level, at least 1.
    """

    frame: Frame
    downsample: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideInfo:
    """What a slide says of itself.

    Attributes:
        path: the file.
        vendor: OpenSlide's name of the format, or `ome-tiff`, `tiff`, `czi`, `picture`.
        levels: finest first, at least one.
        mpp_x: um a level-0 pixel along x; None where nobody says it.
        mpp_y: the same along y.
        mpp_known_by: `given` by the user; stated by the `file`; estimated from the objective's `magnification`; None
            where unknown.
        magnification: the objective's power, None where the file states none.
    """

    path: Path
    vendor: str
    levels: tuple[SlideLevel, ...]
    mpp_x: float | None = None
    mpp_y: float | None = None
    mpp_known_by: MppOrigin | None = None
    magnification: float | None = None

    def __post_init__(self) -> None:
        if not self.levels:
            raise DataError("the slide holds no image", path=self.path)
        if (self.mpp_x is None, self.mpp_y is None) != (self.mpp_known_by is None,) * 2:
            raise DataError("um a pixel are known along both axes, with their origin, or not at all", path=self.path)

    @property
    def frame(self) -> Frame:
        """Return the pixels of level 0."""
        return self.levels[0].frame

    @property
    def mpp(self) -> float | None:
        """Return um a level-0 pixel, None when unknown."""
        return self.frame.mpp

    def downsample_to(self, mpp: float) -> float:
        """Return how many level-0 pixels a pixel of `mpp` um covers.

        Raises:
            DataError: the slide's own um a pixel are unknown, or `mpp` is no positive number.
        """
        if not (math.isfinite(mpp) and mpp > 0):
            raise DataError(f"{mpp} um a pixel: give a positive number", path=self.path)
        if self.mpp is None:
            raise DataError("the slide states no um a pixel: give it with --mpp", path=self.path)
        return mpp / self.mpp


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The scale that a slide's metadata state, believed or not.

    Attributes:
        mpp_x: um a pixel along x, None when not stated.
        mpp_y: the same along y.
        magnification: the objective's power, None when not stated.
    """

    mpp_x: float | None = None
    mpp_y: float | None = None
    magnification: float | None = None


def describe_slide(
    path: Path, vendor: str, *, level_sizes_wh: Sequence[tuple[int, int]], stated: Scale, given_mpp: float | None = None
) -> SlideInfo:
    """Return a slide's description; warn where its um/px differ along x and y, or are an estimate.

    Only 0.05 to 5 um/px are believed: a resolution of 72 dpi is nobody's scale.

    Args:
        path: the file.
        vendor: its format.
        level_sizes_wh: width and height of every level, finest first.
        stated: what the metadata say of the scale.
        given_mpp: what the user says; it overrides the file.

    Raises:
        DataError: no level, or one without a pixel, or a given um/px that is no positive number.
    """
    mpp_x, mpp_y, origin = _believed(path, stated, given_mpp)
    mpp = None if mpp_x is None or mpp_y is None else (mpp_x + mpp_y) / 2
    levels = []
    for size_wh in level_sizes_wh:
        downsample = level_downsample(level_sizes_wh[0], size_wh)
        frame = Frame(width_px=size_wh[0], height_px=size_wh[1], mpp=None if mpp is None else mpp * downsample)
        levels.append(SlideLevel(frame=frame, downsample=downsample))
    return SlideInfo(
        path=path,
        vendor=vendor,
        levels=tuple(levels),
        mpp_x=mpp_x,
        mpp_y=mpp_y,
        mpp_known_by=origin,
        magnification=stated.magnification,
    )


def level_downsample(finest_wh: tuple[int, int], level_wh: tuple[int, int]) -> float:
    """Return how many level-0 pixels a level's pixel covers.

    Levels are cut to whole pixels (or filled up), so 4443 pixels at half the size are 2221 and their ratio is 2.0005:
    where a whole number explains both sides to a pixel, it is meant.
    """
    ratio = (finest_wh[0] / level_wh[0] + finest_wh[1] / level_wh[1]) / 2
    whole = round(ratio)
    if all(abs(fine / whole - coarse) <= 1 for fine, coarse in zip(finest_wh, level_wh, strict=True)):
        return float(whole)
    return ratio


def _believed(
    path: Path, stated: Scale, given_mpp: float | None
) -> tuple[float | None, float | None, MppOrigin | None]:
    if given_mpp is not None:
        if not (math.isfinite(given_mpp) and given_mpp > 0):
            raise DataError(f"--mpp {given_mpp}: give a positive number", path=path)
        return given_mpp, given_mpp, "given"
    mpp_x, mpp_y = stated.mpp_x, stated.mpp_y
    if mpp_x is not None and mpp_y is not None and all(LEAST_MPP <= mpp <= MOST_MPP for mpp in (mpp_x, mpp_y)):
        if max(mpp_x, mpp_y) > (1 + MOST_MPP_DIFFERENCE) * min(mpp_x, mpp_y):
            logger.warning(
                "%s: %.4g um/px along x and %.4g along y; their mean is used, --mpp overrides it", path, mpp_x, mpp_y
            )
        return mpp_x, mpp_y, "file"
    if stated.magnification is not None and stated.magnification >= UM_TIMES_MAGNIFICATION / MOST_MPP:
        mpp = UM_TIMES_MAGNIFICATION / stated.magnification
        logger.warning(
            "%s: no um/px stated; %.4g is estimated from the %.4gx objective, --mpp overrides it",
            path,
            mpp,
            stated.magnification,
        )
        return mpp, mpp, "magnification"
    return None, None, None
