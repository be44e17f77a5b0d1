"""Ragged masks: one small bitmap a nucleus, never an (N, H, W) array, since a slide has a million nuclei."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nucleate.core.frame import Frame
from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Masks:
    """N binary masks, each stored as the bitmap of a window of the frame.

    Attributes:
        frame: the grid that the windows lie in.
        windows_xyxy: (N, 4) int32, half-open, inside the frame; a window may be larger than its mask.
        bits: the windows' pixels one after the other, row by row, bool.
        offsets: (N + 1,) int64, where each window's pixels start in `bits` (derived when left out).
    """

    frame: Frame
    windows_xyxy: NDArray[np.int32]
    bits: NDArray[np.bool_]
    offsets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        windows = np.asarray(self.windows_xyxy, dtype=np.int32).reshape(-1, 4)
        widths, heights = windows[:, 2] - windows[:, 0], windows[:, 3] - windows[:, 1]
        outside = (
            (windows[:, :2].min(initial=0) < 0)
            or bool((windows[:, 2] > self.frame.width_px).any())
            or bool((windows[:, 3] > self.frame.height_px).any())
        )
        if outside or bool((widths < 0).any()) or bool((heights < 0).any()):
            raise DataError(f"a mask's window leaves the image of {self.frame.width_px} x {self.frame.height_px}")
        offsets = np.zeros(len(windows) + 1, np.int64)
        np.cumsum(widths.astype(np.int64) * heights, out=offsets[1:])
        bits = np.asarray(self.bits, dtype=np.bool_).reshape(-1)
        if len(bits) != offsets[-1]:
            raise DataError(f"{len(bits)} mask pixels where the windows hold {offsets[-1]}")
        object.__setattr__(self, "windows_xyxy", windows)
        object.__setattr__(self, "bits", bits)
        object.__setattr__(self, "offsets", offsets)

    @classmethod
    def empty(cls, frame: Frame) -> Masks:
        """Return no mask at all."""
        return cls(frame=frame, windows_xyxy=np.zeros((0, 4), np.int32), bits=np.zeros(0, np.bool_))

    @classmethod
    def from_bitmaps(cls, frame: Frame, windows_xyxy: NDArray[np.int32], bitmaps: Sequence[NDArray[np.bool_]]) -> Masks:
        """Return masks from one (h, w) bitmap a window.

        Raises:
            DataError: a bitmap's shape differs from its window's, or a window leaves the frame.
        """
        windows = np.asarray(windows_xyxy, dtype=np.int32).reshape(-1, 4)
        for window, bitmap in zip(windows, bitmaps, strict=True):
            if bitmap.shape != (window[3] - window[1], window[2] - window[0]):
                raise DataError(f"a bitmap of shape {bitmap.shape} does not fit its window {window.tolist()}")
        bits = np.concatenate([bitmap.reshape(-1) for bitmap in bitmaps]) if len(bitmaps) else np.zeros(0, np.bool_)
        return cls(frame=frame, windows_xyxy=windows, bits=bits)

    @classmethod
    def from_full(cls, frame: Frame, bitmaps: Iterable[NDArray[np.bool_]]) -> Masks:
        """Return masks from full-size (H, W) bitmaps, cropped to their pixels."""
        windows, crops = [], []
        for bitmap in bitmaps:
            if bitmap.shape != frame.shape:
                raise DataError(f"a bitmap of shape {bitmap.shape} in an image of shape {frame.shape}")
            window = _extent(bitmap)
            windows.append(window)
            crops.append(bitmap[window[1] : window[3], window[0] : window[2]].astype(np.bool_))
        return cls.from_bitmaps(frame, np.array(windows, np.int32).reshape(-1, 4), crops)

    def __len__(self) -> int:
        return len(self.windows_xyxy)

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        return (self.bitmap(index) for index in range(len(self)))

    def bitmap(self, index: int) -> NDArray[np.bool_]:
        """Return the (h, w) pixels of one mask's window."""
        x1, y1, x2, y2 = self.windows_xyxy[index]
        return self.bits[self.offsets[index] : self.offsets[index + 1]].reshape(y2 - y1, x2 - x1)

    def full(self, index: int) -> NDArray[np.bool_]:
        """Return one mask as an (H, W) bitmap of the whole frame."""
        whole = np.zeros(self.frame.shape, np.bool_)
        x1, y1, x2, y2 = self.windows_xyxy[index]
        whole[y1:y2, x1:x2] = self.bitmap(index)
        return whole

    def areas_px(self) -> NDArray[np.int64]:
        """Return the (N,) number of pixels of each mask."""
        areas = np.zeros(len(self), np.int64)
        # An empty window would take its neighbour's first pixel.
        filled = np.flatnonzero(np.diff(self.offsets))
        if len(filled):
            areas[filled] = np.add.reduceat(self.bits, self.offsets[filled], dtype=np.int64)
        return areas

    def centroids_xy(self) -> NDArray[np.float64]:
        """Return the (N, 2) means of each mask's pixel centres; NaN for a mask without pixels."""
        set_bits = np.flatnonzero(self.bits)
        owners = np.searchsorted(self.offsets, set_bits, side="right") - 1
        windows = self.windows_xyxy.astype(np.int64)
        rows, columns = np.divmod(set_bits - self.offsets[owners], (windows[:, 2] - windows[:, 0])[owners])
        sums = [np.bincount(owners, weights=values, minlength=len(self)) for values in (columns, rows)]
        counts = np.bincount(owners, minlength=len(self))
        with np.errstate(invalid="ignore"):
            return np.stack(sums, axis=1) / counts[:, None] + windows[:, :2] + 0.5

    def select(self, indices: NDArray[np.integer] | NDArray[np.bool_] | Sequence[int]) -> Masks:
        """Return the masks at the given indices (or where a boolean is true), in that order."""
        chosen = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else np.int64)]
        lengths = np.diff(self.offsets)[chosen]
        ends = np.cumsum(lengths)
        within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
        bits = self.bits[np.repeat(self.offsets[chosen], lengths) + within]
        return Masks(frame=self.frame, windows_xyxy=self.windows_xyxy[chosen], bits=bits)

    def cropped(self) -> Masks:
        """Return the same masks with windows that fit their pixels; a mask without pixels gets an empty window."""
        if self._are_cropped():
            return self
        set_bits = np.flatnonzero(self.bits)
        owners = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.offsets))[set_bits]
        old = self.windows_xyxy.astype(np.int64)
        widths = old[:, 2] - old[:, 0]
        within = set_bits - self.offsets[owners]
        # Integers of 32 bits are divided in a fraction of the time.
        kind = np.int32 if within.max(initial=0) < 2**31 else np.int64
        rows, columns = np.divmod(within.astype(kind), widths.astype(kind)[owners])
        x, y = columns + old[owners, 0], rows + old[owners, 1]
        # An empty mask's window keeps its corner.
        windows = old[:, [0, 1, 0, 1]]
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        if len(starts):
            lows = [np.minimum.reduceat(values, starts) for values in (x, y)]
            highs = [np.maximum.reduceat(values, starts) + 1 for values in (x, y)]
            windows[owners[starts]] = np.stack([*lows, *highs], axis=1)
        areas = (windows[:, 2] - windows[:, 0]) * (windows[:, 3] - windows[:, 1])
        offsets = np.cumsum(areas) - areas
        bits = np.zeros(int(areas.sum()), np.bool_)
        within = (y - windows[owners, 1]) * (windows[owners, 2] - windows[owners, 0]) + x - windows[owners, 0]
        bits[offsets[owners] + within] = True
        return Masks(frame=self.frame, windows_xyxy=windows.astype(np.int32), bits=bits)

    def _are_cropped(self) -> bool:
        """Return whether every window has a set pixel in its first and last row and column."""
        windows = self.windows_xyxy.astype(np.int64)
        widths, heights = windows[:, 2] - windows[:, 0], windows[:, 3] - windows[:, 1]
        if not len(self) or min(widths.min(), heights.min()) < 1:
            return False
        first = self.offsets[:-1]
        one = np.ones_like(widths)
        for start, step, count in (
            (first, one, widths),
            (first + (heights - 1) * widths, one, widths),
            (first, widths, heights),
            (first + widths - 1, widths, heights),
        ):
            begin = np.cumsum(count) - count
            along = np.arange(int(count.sum())) - np.repeat(begin, count)
            side = self.bits[np.repeat(start, count) + along * np.repeat(step, count)]
            if not np.logical_or.reduceat(side, begin).all():
                return False
        return True

    def moved(self, dx_px: int, dy_px: int, frame: Frame) -> Masks:
        """Return the masks shifted into another frame; pixels that fall outside of it are cut off."""
        windows, crops = np.zeros((len(self), 4), np.int32), []
        for index, bitmap in enumerate(self):
            x1, y1, x2, y2 = self.windows_xyxy[index].astype(np.int64) + (dx_px, dy_px, dx_px, dy_px)
            left, right = np.clip((x1, x2), 0, frame.width_px)
            top, bottom = np.clip((y1, y2), 0, frame.height_px)
            crops.append(bitmap[top - y1 : bottom - y1, left - x1 : right - x1])
            windows[index] = (left, top, right, bottom)
        return Masks.from_bitmaps(frame, windows, crops)

    @staticmethod
    def concatenate(frame: Frame, parts: Sequence[Masks]) -> Masks:
        """Return the masks of several collections in one frame, in order."""
        return Masks(
            frame=frame,
            windows_xyxy=np.concatenate([np.zeros((0, 4), np.int32), *(part.windows_xyxy for part in parts)]),
            bits=np.concatenate([np.zeros(0, np.bool_), *(part.bits for part in parts)]),
        )


def _extent(bitmap: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
    if len(rows) == 0:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
