"""A slide as one picture at any scale: the level that suits, resampled, white where there is no slide."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nucleate.errors import DataError, SlideRegionError
from nucleate.files.limits import DEFAULT_LIMITS, ReadLimits
from nucleate.slides.colour import ColourProfile
from nucleate.slides.formats import open_levels
from nucleate.slides.info import SlideInfo, Window
from nucleate.slides.levels import LevelError, LevelSource
from nucleate.slides.resampling import resample_window

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideSettings:
    """How a slide is opened.

    Attributes:
        mpp: um a level-0 pixel, instead of what the file states.
        apply_colour_profile: bring the scanner's colours to sRGB by the profile in the file. Off: models learn from
            pixels as they are stored.
        level_tolerance: a level this much coarser than asked for will do; 4443 pixels at half their size are 2221.
        most_source_pixels: pixels of a level that are in memory at once; larger regions are read in blocks.
        limits: of the result.
    """

    mpp: float | None = None
    apply_colour_profile: bool = False
    level_tolerance: float = 0.01
    most_source_pixels: int = 2**24
    limits: ReadLimits = DEFAULT_LIMITS


class SlideReader(Protocol):
    """A slide that regions are read of.

    One thread reads at a time; a pickled reader opens the file again, for other processes and threads.
    """

    @property
    def info(self) -> SlideInfo:
        """Return what the slide says of itself."""
        ...

    def read(
        self, window_xyxy: Window, *, mpp: float | None = None, downsample: float | None = None
    ) -> NDArray[np.uint8]:
        """Return a region as (H, W, 3) uint8 RGB: transparency over white, white beyond the slide.

        The finest scale that is asked for decides the level: the coarsest that is at least as fine, then averaged.

        Args:
            window_xyxy: level-0 pixels, half-open; may reach beyond the slide.
            mpp: of the result.
            downsample: level-0 pixels a pixel of the result, in place of `mpp`; 1 when neither is given.

        Returns:
            As many pixels as the window holds at that scale, rounded, at least one a side.

        Raises:
            SlideRegionError: pixels of the region can't be decoded; others can.
            DataError: an empty window, `mpp` where the slide's is unknown, or a result above the limits.
        """
        ...

    def thumbnail(self, most_side_px: int) -> NDArray[np.uint8]:
        """Return the whole slide as (H, W, 3) uint8 RGB, its longer side at most that many pixels."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...

    def __enter__(self) -> Self:
        """Return the reader itself; the file is closed when the block ends."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        ...


def open_slide(path: Path | str, *, settings: SlideSettings | None = None) -> SlideReader:
    """Open a slide, whatever its format.

    Raises:
        DataError: the file is missing, empty, damaged, cut off, or of no known format.
        MissingExtraError: its format or compression needs an optional package.
    """
    return _LevelReader(Path(path), settings or SlideSettings())


class _LevelReader:
    """The reader of every format (see `SlideReader`)."""

    def __init__(self, path: Path, settings: SlideSettings) -> None:
        self._path, self._settings = path, settings
        self._source: LevelSource = open_levels(path, settings.mpp)
        self._profile: ColourProfile | None = None
        if settings.apply_colour_profile:
            profile = self._source.colour_profile
            if profile is None:
                logger.warning("%s: holds no colour profile; colours are as stored", path)
            else:
                self._profile = ColourProfile(profile, path)

    def __reduce__(self) -> tuple[type[_LevelReader], tuple[Path, SlideSettings]]:
        return _LevelReader, (self._path, self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def info(self) -> SlideInfo:
        return self._source.info

    def close(self) -> None:
        self._source.close()

    def thumbnail(self, most_side_px: int) -> NDArray[np.uint8]:
        height_px, width_px = self.info.frame.shape
        downsample = max(1.0, max(height_px, width_px) / most_side_px)
        return self.read((0, 0, width_px, height_px), downsample=downsample)

    def read(
        self, window_xyxy: Window, *, mpp: float | None = None, downsample: float | None = None
    ) -> NDArray[np.uint8]:
        x1, y1, x2, y2 = window_xyxy
        if x2 <= x1 or y2 <= y1:
            raise DataError(f"the region {window_xyxy} holds no pixel", path=self._path)
        if mpp is not None and downsample is not None:
            raise DataError("give mpp or downsample, not both", path=self._path)
        target = self.info.downsample_to(mpp) if mpp is not None else (1.0 if downsample is None else downsample)
        if not (math.isfinite(target) and target > 0):
            raise DataError(f"downsample {downsample}: give a positive number", path=self._path)
        size_wh = (max(1, round((x2 - x1) / target)), max(1, round((y2 - y1) / target)))
        if size_wh[0] * size_wh[1] > self._settings.limits.max_pixels:
            raise DataError(
                f"a region of {size_wh[0]} x {size_wh[1]} pixels, above the limit of "
                f"{self._settings.limits.max_pixels}: read smaller ones",
                path=self._path,
            )
        index = self._level_for(target)
        rgb = np.full((size_wh[1], size_wh[0], 3), 255, np.uint8)
        step_x, step_y = (x2 - x1) / size_wh[0], (y2 - y1) / size_wh[1]
        side_px = self._block_side(index, max(step_x, step_y), max(size_wh))
        for top in range(0, size_wh[1], side_px):
            for left in range(0, size_wh[0], side_px):
                right, bottom = min(left + side_px, size_wh[0]), min(top + side_px, size_wh[1])
                block = (x1 + left * step_x, y1 + top * step_y, x1 + right * step_x, y1 + bottom * step_y)
                rgb[top:bottom, left:right] = self._read_block(index, block, (right - left, bottom - top))
        return rgb if self._profile is None else self._profile.to_srgb(rgb)

    def _level_for(self, target: float) -> int:
        """Return the coarsest level that is at least as fine as the target, else the finest."""
        fine = [
            (level.downsample, index)
            for index, level in enumerate(self.info.levels)
            if level.downsample <= target * (1 + self._settings.level_tolerance)
        ]
        return max(fine)[1] if fine else 0

    def _block_side(self, index: int, step: float, whole_px: int) -> int:
        """Return the side of square blocks of the result whose sources fit into memory."""
        scale = step / self.info.levels[index].downsample
        if scale <= 1:
            return whole_px
        return max(1, int(math.sqrt(self._settings.most_source_pixels) / scale))

    def _read_block(
        self, index: int, block_xyxy: tuple[float, float, float, float], size_wh: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Return a block, given in continuous level-0 coordinates, at its size."""
        level = self.info.levels[index]
        x1, y1, x2, y2 = (side / level.downsample for side in block_xyxy)
        # A pixel more: OpenSlide's coarse levels begin a fraction beside what is asked for.
        margin = 0 if index == 0 else 1
        outer = (
            math.floor(x1 + 1e-9) - margin,
            math.floor(y1 + 1e-9) - margin,
            math.ceil(x2 - 1e-9) + margin,
            math.ceil(y2 - 1e-9) + margin,
        )
        inner = (
            max(outer[0], 0),
            max(outer[1], 0),
            min(outer[2], level.frame.width_px),
            min(outer[3], level.frame.height_px),
        )
        if inner[2] <= inner[0] or inner[3] <= inner[1]:
            return np.full((size_wh[1], size_wh[0], 3), 255, np.uint8)
        try:
            read = self._source.read_level(index, inner)
        except LevelError as error:
            reach = tuple(round(side) for side in block_xyxy)
            raise SlideRegionError(
                f"can't be decoded: {error}", path=self._path, window_xyxy=(reach[0], reach[1], reach[2], reach[3])
            ) from error
        padding = ((inner[1] - outer[1], outer[3] - inner[3]), (inner[0] - outer[0], outer[2] - inner[2]), (0, 0))
        padded = read.rgb
        if any(side for pair in padding for side in pair):
            padded = np.pad(read.rgb, padding, constant_values=255)
        # The padding stands before what was read, wherever that begins.
        origin_x = read.origin_xy[0] - padding[1][0]
        origin_y = read.origin_xy[1] - padding[0][0]
        inside = (x1 - origin_x, y1 - origin_y, x2 - origin_x, y2 - origin_y)
        return resample_window(padded, inside, size_wh)
