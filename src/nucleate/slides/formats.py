"""Which reader a file is for, and whether it is an image or a slide."""

from __future__ import annotations

import warnings
from pathlib import Path

import openslide
from PIL import Image, UnidentifiedImageError

from nucleate.errors import DataError, MissingExtraError
from nucleate.files import ReadLimits, image_size
from nucleate.files.images import TIFF_SUFFIXES
from nucleate.files.limits import DAMAGED, check_file
from nucleate.files.tiff import first_level, opened_tiff
from nucleate.slides.czi_levels import CziLevels
from nucleate.slides.levels import LevelSource
from nucleate.slides.openslide_levels import GENERIC_TIFF, OpenSlideLevels, openslide_vendor
from nucleate.slides.picture_levels import PictureLevels
from nucleate.slides.tiff_levels import TiffLevels, check_whole, is_tiff

# The longer side of what is still an image: read whole, segmented whole.
MOST_IMAGE_SIDE_PX = 8192
# Slides are read in parts: neither their bytes nor their pixels have a limit.
_NO_LIMITS = ReadLimits(max_pixels=2**62, max_file_bytes=2**62)
_CZI_MAGIC = b"ZISRAWFILE"


def is_slide(path: Path | str) -> bool:
    """Return whether a file is a slide: a pyramid, more than 8,192 px a side, or a format that only slides have.

    Raises:
        DataError: the file is missing, empty, or neither an image nor a slide.
    """
    path = Path(path)
    check_file(path, _NO_LIMITS)
    vendor = openslide_vendor(path)
    is_plain_tiff = path.suffix.lower() in TIFF_SUFFIXES
    if _is_czi(path) or (vendor not in (None, GENERIC_TIFF) and not is_plain_tiff):
        return True
    if not is_tiff(path):
        return max(image_size(path, _NO_LIMITS)) > MOST_IMAGE_SIDE_PX
    if vendor not in (None, GENERIC_TIFF):
        # Fields of view that were cut out of a slide keep its header.
        with openslide.OpenSlide(path) as slide:
            return slide.level_count > 1 or max(slide.dimensions) > MOST_IMAGE_SIDE_PX
    with opened_tiff(path) as tiff:
        level = first_level(tiff, path)
        sides = [level.shape[level.axes.index(axis)] for axis in "XY"]
        return len(level.levels) > 1 or max(sides) > MOST_IMAGE_SIDE_PX


def open_levels(path: Path, given_mpp: float | None = None) -> LevelSource:
    """Open a file by the reader that suits.

    OpenSlide has the formats of scanners; plain and OME-TIFF are tifffile's, which knows their pyramids, and
    OpenSlide's where tifffile would need imagecodecs.

    Args:
        path: the file.
        given_mpp: overrides the file's um/px.

    Raises:
        DataError: missing, empty, damaged, cut off, or of no known format.
        MissingExtraError: an optional package is needed.
    """
    check_file(path, _NO_LIMITS)
    if _is_czi(path):
        return CziLevels(path, given_mpp)
    vendor = openslide_vendor(path)
    if vendor not in (None, GENERIC_TIFF):
        if vendor == "aperio":
            check_whole(path)
        return OpenSlideLevels(path, given_mpp)
    if not is_tiff(path):
        if not _is_picture(path):
            raise DataError("no slide or image that OpenSlide, tifffile or Pillow can read", path=path)
        return PictureLevels(path, given_mpp)
    try:
        return TiffLevels(path, given_mpp)
    except MissingExtraError:
        if vendor is None:
            raise
        check_whole(path)
        return OpenSlideLevels(path, given_mpp)


def _is_picture(path: Path) -> bool:
    with warnings.catch_warnings():
        # Limits are checked when it is read.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path):
                return True
        except UnidentifiedImageError:
            return False
        except (*DAMAGED, Image.DecompressionBombError):
            # A picture all the same; reading it says what is wrong.
            return True


def _is_czi(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_CZI_MAGIC)) == _CZI_MAGIC
