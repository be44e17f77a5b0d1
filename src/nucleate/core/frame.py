"""The pixel grid that coordinates refer to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A pixel grid: x right, y down, pixel (0, 0) covers [0, 1) x [0, 1).

    Attributes:
        height_px: at least 1.
        width_px: at least 1.
        mpp: micrometres a pixel, None when unknown.
    """

    height_px: int
    width_px: int
    mpp: float | None = None

    def __post_init__(self) -> None:
        if self.height_px < 1 or self.width_px < 1:
            raise DataError(f"an image of {self.width_px} x {self.height_px} pixels has no pixel")
        if self.mpp is not None and not (math.isfinite(self.mpp) and self.mpp > 0):
            raise DataError(f"{self.mpp} um a pixel: give a positive number, or nothing when unknown")

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height_px, width_px), numpy's order."""
        return self.height_px, self.width_px
