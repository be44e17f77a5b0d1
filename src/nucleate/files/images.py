"""Images and label images read within limits, by Pillow and tifffile; 8-bit RGB and integer maps out."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nucleate.errors import DataError
from nucleate.files.atomic import write_path
from nucleate.files.limits import DAMAGED, DEFAULT_LIMITS, ReadLimits, check_file, check_pixels
from nucleate.files.pixels import rgb_from_picture
from nucleate.files.tiff import read_tiff, read_tiff_rgb, tiff_has_one_channel, tiff_mode, tiff_size

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
NPY_SUFFIX = ".npy"
# Floats hold every whole number below.
MOST_WHOLE = 2**53
_MODES = {
    "1": "black and white, 1 bit",
    "L": "grey, 8 bit",
    "LA": "grey and transparency, 8 bit",
    "P": "palette, 8 bit",
    "RGB": "RGB, 8 bit",
    "RGBA": "RGB and transparency, 8 bit",
    "I": "grey, 32 bit",
    "F": "grey, floating point",
}
# Pillow's own level 6 takes three times as long on H&E and saves 7 % (a 3088 x 1060 picture: 0.35 s against 0.12).
PNG_LEVEL = 3
_HEADERS = threading.Lock()


def image_size(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Return an image's (height_px, width_px) from its header, as `read_rgb` would give it.

    Raises:
        DataError: the file is missing, unreadable or above the limits.
    """
    check_file(path, limits)
    if path.suffix.lower() in TIFF_SUFFIXES:
        height_px, width_px = tiff_size(path)
    else:
        with _open(path, limits) as image:
            width_px, height_px = image.size
            try:
                # A PNG may hold its orientation behind the pixels; Pillow then decodes them to find it.
                orientation = image.getexif().get(0x0112, 1)
            except DAMAGED as error:
                raise DataError(f"damaged image: {error}", path=path) from error
            if orientation in (5, 6, 7, 8):
                height_px, width_px = width_px, height_px
    check_pixels(height_px, width_px, path, limits)
    return height_px, width_px


def has_one_channel(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> bool:
    """Return whether a file holds one value a pixel, as label images do (a palette's index is one value).

    Raises:
        DataError: the file is missing, unreadable or above the limits.
    """
    check_file(path, limits)
    if path.suffix.lower() in TIFF_SUFFIXES:
        image_size(path, limits)
        return tiff_has_one_channel(path)
    with _open(path, limits) as image:
        return len(image.getbands()) == 1


def image_mode(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> str:
    """Return how a file stores its colours, from its header and in words: `RGB, 8 bit`, `grey, 16 bit`.

    Raises:
        DataError: the file is missing, unreadable or above the limits.
    """
    check_file(path, limits)
    if path.suffix.lower() in TIFF_SUFFIXES:
        return tiff_mode(path)
    with _open(path, limits) as image:
        # Pillow opens 16-bit colours as 8-bit ones; only the undecoded tile says that there were 16.
        if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
            return f"{'grey' if len(image.getbands()) == 1 else image.mode}, 16 bit"
        return _MODES.get(image.mode, f"{image.mode}, 8 bit")


def read_rgb(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB: EXIF orientation applied, grey repeated, transparency over white.

    Values go as `rgb_from_array` says, colours as `rgb_from_picture` and `read_tiff_rgb` say.

    Raises:
        DataError: the file is missing, unreadable, above the limits, of several pages or frames of one size, or of a
            type without a plain RGB meaning.
    """
    check_file(path, limits)
    if path.suffix.lower() in TIFF_SUFFIXES:
        image_size(path, limits)
        return read_tiff_rgb(path)
    with _open(path, limits) as image:
        # MPO is a JPEG with previews behind the photograph.
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if frames > 1:
            raise DataError(f"{frames} frames: save the one that you want as a file of its own", path=path)
        return rgb_from_picture(image, path, limits=limits)


def read_label_map(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> NDArray[np.int64]:
    """Return a label image as (H, W) int64, 0 = background; 8, 16 and 32 bit PNG and TIFF (OME too), numpy's NPY.

    Raises:
        DataError: the file is missing, unreadable, above the limits, in colour, not integer, or negative.
    """
    return np.asarray(read_stored_labels(path, limits).astype(np.int64))


def read_stored_labels(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> NDArray[np.integer]:
    """Return what `read_label_map` does in the file's own type of integers, which takes a fraction of the memory.

    Raises:
        DataError: the file is missing, unreadable, above the limits, in colour, not integer, or negative.
    """
    check_file(path, limits)
    labels: NDArray[Any]
    if path.suffix.lower() == NPY_SUFFIX:
        labels = open_npy(path)
        check_pixels(labels.size, 1, path, limits)
    elif path.suffix.lower() in TIFF_SUFFIXES:
        labels = read_tiff(path, limits)
    else:
        with _open(path, limits) as image:
            try:
                labels = np.asarray(image)
            except DAMAGED as error:
                raise DataError(f"damaged image: {error}", path=path) from error
    return _checked_labels(labels, path)


def label_map_from_array(labels: NDArray[Any], path: Path | None = None) -> NDArray[np.int64]:
    """Return an array of ids as (H, W) int64, 0 = background; whole floats are taken too.

    Args:
        labels: (H, W), with any sides of one before and behind them.
        path: where they come from, for the error.

    Raises:
        DataError: another shape, no integers, or negative ones.
    """
    return np.asarray(_checked_labels(labels, path).astype(np.int64))


def _checked_labels(labels: NDArray[Any], path: Path | None) -> NDArray[np.integer]:
    # Stacks of one page, and one channel behind the sides.
    while labels.ndim > 2 and 1 in (labels.shape[0], labels.shape[-1]):
        labels = labels[0] if labels.shape[0] == 1 else labels[..., 0]
    if labels.ndim != 2:
        raise DataError(f"a label image has one value a pixel, this has shape {labels.shape}", path=path)
    if (
        labels.dtype.kind == "f"
        and bool((np.abs(labels) < MOST_WHOLE).all())
        and np.array_equal(labels, np.rint(labels))
    ):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "biu":
        raise DataError(f"label images hold integers, this holds {labels.dtype}", path=path)
    if labels.size and int(labels.min()) < 0:
        raise DataError(f"negative id {int(labels.min())}: ids are 1 and up, 0 is background", path=path)
    return labels.astype(np.uint8) if labels.dtype.kind == "b" else labels


def open_npy(path: Path) -> NDArray[Any]:
    """Return an array of a NPY file, mapped from the disk: only what is looked at is read.

    Raises:
        DataError: the file is missing or damaged, or holds Python objects.
    """
    if not path.is_file():
        raise DataError("no such file", path=path)
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (*DAMAGED, TypeError, OverflowError, MemoryError) as error:
        # numpy's own message tells of allow_pickle, which is no way out.
        what = "it holds Python objects" if "allow_pickle" in str(error) or "object" in str(error) else str(error)
        raise DataError(f"no array that can be read: {what}", path=path) from error


def write_image(path: Path, pixels: NDArray[Any]) -> None:
    """Write an image, whole or not at all: PNG for 8 and 16 bit, TIFF (deflate) where the suffix says so."""
    with write_path(path) as temporary:
        if path.suffix.lower() in TIFF_SUFFIXES:
            tifffile.imwrite(temporary, pixels, compression="zlib", photometric="minisblack")
        else:
            Image.fromarray(pixels).save(temporary, compress_level=PNG_LEVEL)


def _open(path: Path, limits: ReadLimits) -> Image.Image:
    # Pillow's own bomb warning has another limit than ours, which is checked on the header. What Python does with
    # warnings is the whole process', so threads take turns; they decode side by side.
    with _HEADERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(path)
        except UnidentifiedImageError as error:
            raise DataError("not an image that Pillow can read", path=path) from error
        except (*DAMAGED, Image.DecompressionBombError) as error:
            raise DataError(f"unreadable image: {error}", path=path) from error
    try:
        check_pixels(image.height, image.width, path, limits)
    except DataError:
        image.close()
        raise
    return image
