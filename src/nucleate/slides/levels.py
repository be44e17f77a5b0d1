"""What a slide format must offer: whole pixels of one level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nucleate.slides.info import SlideInfo, Window


class LevelError(Exception):
    """Pixels that can't be decoded; the reader turns it into a SlideRegionError with the place on the slide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPixels:
    """Pixels of a level.

    Attributes:
        rgb: (H, W, 3) uint8.
        origin_xy: where they begin, in the level's continuous coordinates. OpenSlide places coarse levels by level-0
            pixels, so it may be a fraction of a pixel beside what was asked for.
    """

    rgb: NDArray[np.uint8]
    origin_xy: tuple[float, float]


class LevelSource(Protocol):
    """An open file of one format."""

    @property
    def info(self) -> SlideInfo:
        """Return what the slide says of itself."""
        ...

    @property
    def colour_profile(self) -> bytes | None:
        """Return the ICC profile of its colours, None when it has none."""
        ...

    def read_level(self, index: int, window_xyxy: Window) -> LevelPixels:
        """Return the pixels of a window that lies inside a level, transparency over white.

        Raises:
            LevelError: they can't be decoded; other windows may be.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...
