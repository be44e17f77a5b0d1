"""Slides in TIFF and OME-TIFF by tifffile: only the tiles or strips that a window touches are decoded."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nucleate.errors import DataError
from nucleate.files.resolution import tiff_pixel_size
from nucleate.files.tiff import TIFF_DAMAGED, TiffColours, first_level, opened_tiff, refuse_stack
from nucleate.slides.info import Scale, SlideInfo, Window, describe_slide
from nucleate.slides.levels import LevelError, LevelPixels

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Neighbouring windows share tiles; about a row of 512 x 512 tiles of a wide window.
_CACHE_BYTES = 64 * 2**20
# A strip that holds a whole large image can't be read in parts: 2**27 pixels are 0.4 GB.
_MOST_SEGMENT_PIXELS = 2**27


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as TIFF and BigTIFF do."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def check_whole(path: Path) -> None:
    """Refuse a TIFF whose tiles lie beyond its end, as those of half a copy do.

    Raises:
        DataError: it was cut off, or tifffile finds other damage.
    """
    with opened_tiff(path) as tiff:
        _check_whole(tiff, tiff.pages, path)


class TiffLevels:
    """A TIFF, opened by tifffile.

    Args:
        path: the file.
        given_mpp: overrides the file's um/px.

    Raises:
        DataError: it is damaged or cut off, holds several images of one size, other than 8-bit values, or strips that
            are too large to be read in parts.
        MissingExtraError: its compression needs imagecodecs.
    """

    def __init__(self, path: Path, given_mpp: float | None = None) -> None:
        self._path = path
        with ExitStack() as stack:
            tiff = stack.enter_context(opened_tiff(path))
            first = first_level(tiff, path)
            refuse_stack(tiff, first, path)
            levels = list(tiff.series[0].levels)
            self._colours = [TiffColours.of(level) for level in levels]
            self._planes = [[_Plane(page, tiff, path) for page in level.pages] for level in levels]
            for level in levels:
                _check_whole(tiff, level.pages, path)
            self.colour_profile: bytes | None = first.keyframe.iccprofile
            self.info: SlideInfo = describe_slide(
                path,
                "ome-tiff" if tiff.is_ome else "tiff",
                level_sizes_wh=[
                    (level.shape[level.axes.index("X")], level.shape[level.axes.index("Y")]) for level in levels
                ],
                stated=_stated_scale(tiff),
                given_mpp=given_mpp,
            )
            self._stack = stack.pop_all()

    def read_level(self, index: int, window_xyxy: Window) -> LevelPixels:
        """Return a window of a level (see `LevelSource`)."""
        try:
            stored = [plane.read(window_xyxy) for plane in self._planes[index]]
        except TIFF_DAMAGED as error:
            raise LevelError(str(error)) from error
        pixels = np.concatenate([values for values, _ in stored], axis=2)
        rgb = self._colours[index].shown(pixels, self._path)
        absent = np.logical_or.reduce([missing for _, missing in stored])
        if absent.any():
            rgb = np.where(absent[:, :, None], np.uint8(255), rgb)
        return LevelPixels(rgb=rgb, origin_xy=(window_xyxy[0], window_xyxy[1]))

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


class _Plane:
    """One page: all colours of a level, or one of them."""

    def __init__(self, page: Any, tiff: tifffile.TiffFile, path: Path) -> None:
        self._page, self._file, self._path = page, tiff.filehandle, path
        key = page.keyframe
        if key.dtype != np.uint8:
            raise DataError(f"a slide of {key.dtype} values: save it with 8 bits a colour", path=path)
        # Raises where imagecodecs is missing; `opened_tiff` says so.
        tifffile.TIFF.DECOMPRESSORS[int(key.compression)]
        self._is_raw = bool(page.is_contiguous) and key.planarconfig == tifffile.PLANARCONFIG.CONTIG
        self._is_raw &= not key.is_tiled and key.fillorder == 1
        self._width_px, self._height_px = key.imagewidth, key.imagelength
        self._is_planar = key.planarconfig == tifffile.PLANARCONFIG.SEPARATE and key.samplesperpixel > 1
        self._samples = key.samplesperpixel
        if key.is_tiled:
            self._tile_w, self._tile_h = key.tilewidth, key.tilelength
        else:
            self._tile_w, self._tile_h = key.imagewidth, min(key.rowsperstrip, key.imagelength)
        if not self._is_raw and self._tile_w * self._tile_h > _MOST_SEGMENT_PIXELS:
            raise DataError(
                f"compressed strips of {self._tile_w} x {self._tile_h} pixels can't be read in parts: save it tiled",
                path=path,
            )
        self._decoded: OrderedDict[int, NDArray[np.uint8] | None] = OrderedDict()
        self._decoded_bytes = 0

    def read(self, window_xyxy: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return (H, W, samples) values, and (H, W) where the file holds no tile."""
        x1, y1, x2, y2 = window_xyxy
        if self._is_raw:
            return self._raw_rows(window_xyxy), np.zeros((y2 - y1, x2 - x1), np.bool_)
        values = np.zeros((y2 - y1, x2 - x1, self._samples), np.uint8)
        missing = np.zeros((y2 - y1, x2 - x1), np.bool_)
        across, down = -(-self._width_px // self._tile_w), -(-self._height_px // self._tile_h)
        for row in range(y1 // self._tile_h, -(-y2 // self._tile_h)):
            for column in range(x1 // self._tile_w, -(-x2 // self._tile_w)):
                left, top = column * self._tile_w, row * self._tile_h
                xs = slice(max(left, x1), min(left + self._tile_w, x2))
                ys = slice(max(top, y1), min(top + self._tile_h, y2))
                target = (slice(ys.start - y1, ys.stop - y1), slice(xs.start - x1, xs.stop - x1))
                source = (slice(ys.start - top, ys.stop - top), slice(xs.start - left, xs.stop - left))
                for plane in range(self._samples if self._is_planar else 1):
                    tile = self._segment((plane * down + row) * across + column)
                    channels = slice(plane, plane + 1) if self._is_planar else slice(None)
                    if tile is None:
                        missing[target] = True
                    else:
                        values[(*target, channels)] = tile[source]
        return values, missing

    def _raw_rows(self, window_xyxy: Window) -> NDArray[np.uint8]:
        x1, y1, x2, y2 = window_xyxy
        stride = self._width_px * self._samples
        # Mapped for this read alone: a mapping that stays would keep the file open on Windows.
        rows = np.memmap(
            self._path,
            np.uint8,
            mode="r",
            offset=self._page.dataoffsets[0] + y1 * stride,
            shape=(y2 - y1, self._width_px, self._samples),
        )
        return np.array(rows[:, x1:x2], np.uint8)

    def _segment(self, index: int) -> NDArray[np.uint8] | None:
        """Return (H, W, samples) of a tile or strip, None where the file holds none."""
        if index in self._decoded:
            self._decoded.move_to_end(index)
            return self._decoded[index]
        key, tile = self._page.keyframe, None
        if self._page.databytecounts[index]:
            self._file.seek(self._page.dataoffsets[index])
            content = self._file.read(self._page.databytecounts[index])
            tables = {"jpegtables": self._page.jpegtables} if key.jpegtables is not None else {}
            segment, _, _ = key.decode(content, index, **tables)
            tile = None if segment is None else np.asarray(segment[0], np.uint8)
        self._decoded[index] = tile
        self._decoded_bytes += 0 if tile is None else tile.nbytes
        while self._decoded_bytes > _CACHE_BYTES and len(self._decoded) > 1:
            _, dropped = self._decoded.popitem(last=False)
            self._decoded_bytes -= 0 if dropped is None else dropped.nbytes
        return tile


def _stated_scale(tiff: tifffile.TiffFile) -> Scale:
    try:
        pixel = tiff_pixel_size(tiff)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # A scale that is no number is no damage: the pixels may be read, --mpp may be given.
        pixel = None
    return Scale() if pixel is None else Scale(mpp_x=pixel.x_um, mpp_y=pixel.y_um)


def _check_whole(tiff: tifffile.TiffFile, pages: Any, path: Path) -> None:
    size_bytes = tiff.filehandle.size
    segments = lost = 0
    for page in pages:
        ends = np.asarray(page.dataoffsets, np.int64) + np.asarray(page.databytecounts, np.int64)
        segments += len(ends)
        lost += int((ends > size_bytes).sum())
    if lost:
        raise DataError(
            f"cut off: {lost} of {segments} tiles lie beyond the end of the file; copy or download it again", path=path
        )
