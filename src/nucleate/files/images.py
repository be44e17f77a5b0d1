"""Images and label images read within limits, by Pillow and tifffile; 8-bit RGB and integer maps out."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from nucleate.errors import DataError
from nucleate.files.atomic import write_path

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
# Pillow's own level 6 takes three times as long on H&E and saves 7 % (a 3088 x 1060 picture: 0.35 s against 0.12).
PNG_LEVEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What a file may hold before it is refused unread.

    Attributes:
        max_pixels: height x width; 2**28 is 16,384 x 16,384, 0.8 GB as RGB, far above any field of view.
        max_file_bytes: size on disk.
    """

    max_pixels: int = 2**28
    max_file_bytes: int = 4 * 2**30


DEFAULT_LIMITS = ReadLimits()

# What the decoders of Pillow and tifffile raise on damaged files.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, AttributeError, struct.error, zlib.error)


def image_size(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Return an image's (height_px, width_px) from its header, as `read_rgb` would give it.

    Raises:
        DataError: the file is missing, unreadable or above the limits.
    """
    _check_file(path, limits)
    if path.suffix.lower() in TIFF_SUFFIXES:
        with _tiff_level(path) as level:
            height_px, width_px = level.shape[1:3] if _is_planar(level.shape) else level.shape[:2]
    else:
        with _open(path, limits) as image:
            width_px, height_px = image.size
            try:
                # A PNG may hold its orientation behind the pixels; Pillow then decodes them to find it.
                orientation = image.getexif().get(0x0112, 1)
            except _DAMAGED as error:
                raise DataError(f"damaged image: {error}", path=path) from error
            if orientation in (5, 6, 7, 8):
                height_px, width_px = width_px, height_px
    _check_pixels(height_px, width_px, path, limits)
    return height_px, width_px


def has_one_channel(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> bool:
    """Return whether a file holds one value a pixel, as label images do (a palette's index is one value).

    Raises:
        DataError: the file is missing, unreadable or above the limits.
    """
    _check_file(path, limits)
    if path.suffix.lower() in TIFF_SUFFIXES:
        image_size(path, limits)
        with _tiff_level(path) as level:
            return len([side for side in level.shape if side > 1]) <= 2
    with _open(path, limits) as image:
        return len(image.getbands()) == 1


def read_rgb(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB: EXIF orientation applied, alpha dropped, grey repeated.

    16-bit images are divided by 257 (65,535 becomes 255). A TIFF gives its first page.

    Raises:
        DataError: the file is missing, unreadable, above the limits, or of a type without a plain RGB meaning.
    """
    _check_file(path, limits)
    if path.suffix.lower() in TIFF_SUFFIXES:
        image_size(path, limits)
        pixels = _read_tiff(path)
        if _is_planar(pixels.shape):
            pixels = np.moveaxis(pixels, 0, -1)
    else:
        with _open(path, limits) as image:
            try:
                upright = ImageOps.exif_transpose(image)
                pixels = np.asarray(upright if upright.mode[0] in "IF" else upright.convert("RGB"))
            except _DAMAGED as error:
                raise DataError(f"damaged image: {error}", path=path) from error
    return rgb_from_array(pixels, path)


def rgb_from_array(pixels: NDArray[Any], path: Path | None = None) -> NDArray[np.uint8]:
    """Return pixels as contiguous (H, W, 3) uint8 RGB.

    Args:
        pixels: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4, alpha dropped); uint8, or uint16 (divided by 257).
        path: where they come from, for the error.

    Raises:
        DataError: another shape or type, or no pixel.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or 0 in pixels.shape:
        raise DataError(f"shape {pixels.shape} is no image: give (H, W), (H, W, 3) or (H, W, 4)", path=path)
    pixels = pixels[:, :, :3]
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise DataError(f"pixels of type {pixels.dtype}: only uint8 and uint16 have a known white", path=path)
    return np.ascontiguousarray(pixels)


def read_label_map(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> NDArray[np.int64]:
    """Return a label image as (H, W) int64, 0 = background; 8, 16 and 32 bit PNG and TIFF.

    Raises:
        DataError: the file is missing, unreadable, above the limits, in colour, not integer, or negative.
    """
    _check_file(path, limits)
    if path.suffix.lower() in TIFF_SUFFIXES:
        image_size(path, limits)
        labels = _read_tiff(path)
    else:
        with _open(path, limits) as image:
            try:
                labels = np.asarray(image)
            except _DAMAGED as error:
                raise DataError(f"damaged image: {error}", path=path) from error
    labels = np.squeeze(labels)
    if labels.ndim != 2:
        raise DataError(f"a label image has one value a pixel, this has shape {labels.shape}", path=path)
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "biu":
        raise DataError(f"label images hold integers, this holds {labels.dtype}", path=path)
    if labels.size and int(labels.min()) < 0:
        raise DataError(f"negative id {int(labels.min())}: ids are 1 and up, 0 is background", path=path)
    return labels.astype(np.int64)


def write_image(path: Path, pixels: NDArray[Any]) -> None:
    """Write an image, whole or not at all: PNG for 8 and 16 bit, TIFF (deflate) where the suffix says so."""
    with write_path(path) as temporary:
        if path.suffix.lower() in TIFF_SUFFIXES:
            tifffile.imwrite(temporary, pixels, compression="zlib", photometric="minisblack")
        else:
            Image.fromarray(pixels).save(temporary, compress_level=PNG_LEVEL)


def _check_file(path: Path, limits: ReadLimits) -> None:
    if not path.is_file():
        raise DataError("no such file", path=path)
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise DataError("the file is empty", path=path)
    if size_bytes > limits.max_file_bytes:
        raise DataError(f"{size_bytes} bytes, above the limit of {limits.max_file_bytes}", path=path)


def _check_pixels(height_px: int, width_px: int, path: Path, limits: ReadLimits) -> None:
    if height_px * width_px > limits.max_pixels:
        raise DataError(f"{width_px} x {height_px} pixels, above the limit of {limits.max_pixels}", path=path)


def _open(path: Path, limits: ReadLimits) -> Image.Image:
    # Pillow's own bomb warning has another limit than ours, which is checked on the header.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(path)
        except UnidentifiedImageError as error:
            raise DataError("not an image that Pillow can read", path=path) from error
        except (*_DAMAGED, Image.DecompressionBombError) as error:
            raise DataError(f"unreadable image: {error}", path=path) from error
    try:
        _check_pixels(image.height, image.width, path, limits)
    except DataError:
        image.close()
        raise
    return image


def _is_planar(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in (3, 4) and shape[2] not in (3, 4)


@contextmanager
def _tiff_level(path: Path) -> Iterator[Any]:
    """Give the first page of a TIFF; whatever its reader raises on damage becomes a DataError."""
    try:
        with tifffile.TiffFile(path) as tiff:
            if not tiff.series:
                raise DataError("the TIFF holds no image", path=path)
            yield tiff.series[0].levels[0]
    except (
        *_DAMAGED,
        tifffile.TiffFileError,
        ImportError,
        RuntimeError,
        TypeError,
        ArithmeticError,
        MemoryError,
    ) as error:
        if isinstance(error, ImportError) or "imagecodecs" in str(error):
            raise DataError(
                "this TIFF compression needs the package imagecodecs: `pip install imagecodecs`", path=path
            ) from error
        raise DataError(f"damaged TIFF: {error}", path=path) from error


def _read_tiff(path: Path) -> NDArray[Any]:
    with _tiff_level(path) as level:
        return np.asarray(level.asarray())
