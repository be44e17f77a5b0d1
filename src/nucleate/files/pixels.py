"""Arrays and Pillow images as 8-bit RGB; what has no plain RGB meaning is refused by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nucleate.errors import DataError
from nucleate.files.limits import DAMAGED, DEFAULT_LIMITS, ReadLimits, check_pixels

# The brightest pixel of a histology image lies far above a quarter of the range: below it the values are of
# 8, 10, 12 or 14 bits, and dividing them by 257 would give a black picture without nuclei.
LEAST_WHITE_16_BIT = 2**14
# Floats that round to 0 or 255 may overshoot 0 to 1, as interpolation makes them do.
OVERSHOOT = 1 / 510
ROWS_AT_ONCE = 2048
_CHANNELS = (1, 3, 4)


def check_array(
    shape: tuple[int, ...], dtype: np.dtype[Any], path: Path | None = None, *, limits: ReadLimits = DEFAULT_LIMITS
) -> None:
    """Refuse an array that `rgb_from_array` can't take, by its shape and type alone; its values are not read.

    Raises:
        DataError: another shape or type, no pixel, or more than the limit.
    """
    if len(shape) == 3 and shape[0] in _CHANNELS and shape[2] > max(_CHANNELS):
        raise DataError(
            f"shape {shape} has its channels first: give (H, W, {shape[0]}), numpy.moveaxis(array, 0, -1)", path=path
        )
    if len(shape) == 4:
        raise DataError(f"shape {shape} is a stack: give a list of images, list(array)", path=path)
    # An array of dask whose size is not computed yet has NaN for a side.
    if any(math.isnan(side) for side in shape):
        raise DataError(f"shape {shape} is unknown: call array.compute_chunk_sizes() first", path=path)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in _CHANNELS) or 0 in shape:
        raise DataError(f"shape {shape} is no image: give (H, W), (H, W, 3) or (H, W, 4)", path=path)
    if dtype.kind == "b":
        raise DataError("pixels of type bool: that is a mask, not an image; give its uint8 image", path=path)
    if dtype.kind == "i" or (dtype.kind == "u" and dtype.itemsize > 2):
        raise DataError(
            f"pixels of type {dtype}: give uint8 or uint16, e.g. array.astype('uint8') for values of 0 to 255",
            path=path,
        )
    if dtype.kind not in "fu":
        raise DataError(f"pixels of type {dtype}: give uint8, uint16 or floats of 0 to 1", path=path)
    check_pixels(shape[0], shape[1], path, limits)


def rgb_from_array(
    pixels: NDArray[Any], path: Path | None = None, *, limits: ReadLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Return pixels as contiguous (H, W, 3) uint8 RGB.

    Args:
        pixels: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4, shown over white); uint8, uint16 (divided by 257) or
            floats of 0 to 1.
        path: where they come from, for the error.
        limits: number of pixels.

    Raises:
        DataError: another shape, type or range of values, no pixel, or too many.
    """
    check_array(pixels.shape, pixels.dtype, path, limits=limits)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        colour = eight_bits(pixels[:, :, :3], path)
        return over_white(colour, eight_bits(pixels[:, :, 3], path, dark=True))
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    values = eight_bits(pixels, path)
    return np.repeat(values[:, :, None], 3, axis=2) if values.ndim == 2 else np.ascontiguousarray(values)


def eight_bits(pixels: NDArray[Any], path: Path | None = None, *, dark: bool = False) -> NDArray[np.uint8]:
    """Return uint8 as it is, uint16 divided by 257, floats of 0 to 1 times 255 and rounded.

    Args:
        pixels: of one of these types.
        path: for the error.
        dark: whether 16-bit values may all be low, as transparency may.

    Raises:
        DataError: 16-bit values that are of fewer bits, floats outside of 0 to 1 or not finite.
    """
    if pixels.dtype == np.uint8:
        return pixels
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "u":
        if 0 < high < LEAST_WHITE_16_BIT and not dark:
            raise DataError(_too_dark(int(high)), path=path)
        return np.asarray(pixels // 257, np.uint8)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"pixels of type {pixels.dtype} hold NaN or infinity: give numbers of 0 to 1", path=path)
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        raise DataError(
            f"pixels of type {pixels.dtype} from {low:.4g} to {high:.4g}: give floats of 0 to 1, or 0 to 255 as uint8",
            path=path,
        )
    return np.asarray(np.rint(np.clip(pixels, 0, 1) * 255), np.uint8)


def over_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], *, premultiplied: bool = False) -> NDArray[np.uint8]:
    """Return an image as it looks on white paper, the background of slides.

    Args:
        rgb: (H, W, 3).
        alpha: (H, W), 255 is opaque.
        premultiplied: whether the colours were multiplied by alpha already (TIFF's associated alpha).
    """
    if (alpha == 255).all():
        return np.ascontiguousarray(rgb)
    opacity = alpha[:, :, None].astype(np.uint16)
    # Both sums stay below 2**16: (255 * a + 255 * (255 - a)) is 65,025.
    if premultiplied:
        return np.asarray(np.minimum(rgb + (255 - opacity), 255), np.uint8)
    return np.asarray((rgb * opacity + 255 * (255 - opacity) + 127) // 255, np.uint8)


def rgb_from_picture(
    picture: Image.Image, path: Path | None = None, *, limits: ReadLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Return a Pillow image as (H, W, 3) uint8 RGB: EXIF orientation applied, transparency over white.

    Grey is repeated, palettes give their colours, CMYK and YCbCr are converted without a colour profile; 16-bit and
    floating-point modes go as `rgb_from_array` says. Of several frames the one that the image stands at counts.

    Raises:
        DataError: 1 bit, L*a*b*, values of unknown range, too many pixels, or a damaged file behind the image.
    """
    check_picture(picture, path, limits=limits)
    # Pillow keeps the high byte of 16-bit colours; only the undecoded tile says that there were 16.
    is_deep = any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))
    try:
        # Each of Pillow's copies takes four bytes a pixel, so none is made without need.
        is_upright = picture.getexif().get(0x0112, 1) == 1
        upright = picture if is_upright else ImageOps.exif_transpose(picture)
        if upright.mode[0] in "IF":
            values = np.asarray(upright)
            # Older Pillow opens 16-bit grey in 32 bits.
            if upright.mode == "I" and picture.format in ("PNG", "PPM"):
                values = values.astype(np.uint16)
            return rgb_from_array(values, path, limits=limits)
        if upright.mode == "La":
            upright = upright.convert("LA")
        mode = "RGBA" if upright.has_transparency_data else "RGB"
        pixels = _pixels_of(upright if upright.mode == mode else upright.convert(mode))
    except DAMAGED as error:
        raise DataError(f"damaged image: {error}", path=path) from error
    if is_deep and 0 < (high := int(pixels[:, :, :3].max())) < LEAST_WHITE_16_BIT // 256:
        raise DataError(_too_dark(256 * high), path=path)
    return rgb_from_array(pixels, path, limits=limits)


def _pixels_of(picture: Image.Image) -> NDArray[np.uint8]:
    """Return a picture's (H, W, channels) values; at once, numpy takes twice their bytes on the way."""
    if picture.height <= ROWS_AT_ONCE:
        return np.asarray(picture)
    pixels = np.empty((picture.height, picture.width, len(picture.getbands())), np.uint8)
    for top in range(0, picture.height, ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, picture.height)
        pixels[top:bottom] = np.asarray(picture.crop((0, top, picture.width, bottom)))
    return pixels


def check_picture(picture: Image.Image, path: Path | None = None, *, limits: ReadLimits = DEFAULT_LIMITS) -> None:
    """Refuse a Pillow image by its mode and size; its pixels are not read.

    Raises:
        DataError: 1 bit a pixel, L*a*b*, or too many pixels.
    """
    if picture.mode == "1":
        raise DataError("1 bit a pixel, black and white, shows no stain: give the image in colour or grey", path=path)
    if picture.mode == "LAB":
        raise DataError("colours are L*a*b*: save the image as RGB", path=path)
    check_pixels(picture.height, picture.width, path, limits)


def _too_dark(high: int) -> str:
    return (
        f"16-bit pixels up to about {high} of 65535 are of fewer bits: scale them to uint8, or to floats of 0 to 1 "
        "(12 bits: array / 4095)"
    )
