"""Slides that OpenSlide reads: SVS, NDPI, MRXS, SCN, BIF, DICOM and others."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from nucleate.errors import DataError
from nucleate.files.pixels import over_white
from nucleate.slides.info import Scale, SlideInfo, Window, describe_slide
from nucleate.slides.levels import LevelError, LevelPixels

GENERIC_TIFF = "generic-tiff"


def openslide_vendor(path: Path) -> str | None:
    """Return OpenSlide's name of the file's format, None where it reads no such file."""
    try:
        vendor = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        return None
    return None if vendor is None else str(vendor)


class OpenSlideLevels:
    """A slide, opened by OpenSlide.

    Args:
        path: the file.
        given_mpp: overrides the file's um/px.

    Raises:
        DataError: OpenSlide can't read it.
    """

    def __init__(self, path: Path, given_mpp: float | None = None) -> None:
        self._path = path
        self._slide = self._opened()
        properties = self._slide.properties
        self.info: SlideInfo = describe_slide(
            path,
            str(properties.get(openslide.PROPERTY_NAME_VENDOR, "openslide")),
            level_sizes_wh=self._slide.level_dimensions,
            stated=Scale(
                mpp_x=_number(properties.get(openslide.PROPERTY_NAME_MPP_X)),
                mpp_y=_number(properties.get(openslide.PROPERTY_NAME_MPP_Y)),
                magnification=_number(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)),
            ),
            given_mpp=given_mpp,
        )

    @property
    def colour_profile(self) -> bytes | None:
        """Return the slide's ICC profile."""
        profile = self._slide.color_profile
        return None if profile is None else bytes(profile.tobytes())

    def read_level(self, index: int, window_xyxy: Window) -> LevelPixels:
        """Return a window of a level (see `LevelSource`)."""
        x1, y1, x2, y2 = window_xyxy
        # OpenSlide's own ratio, 2.0005 where 2 is meant: by it, it finds the place of a level-0 pixel in the level.
        stride = self._slide.level_downsamples[index]
        location = (round(x1 * stride), round(y1 * stride))
        try:
            read = self._slide.read_region(location, index, (x2 - x1, y2 - y1))
        except (openslide.OpenSlideError, OSError) as error:
            # After an error OpenSlide refuses every later region too; a new handle reads the others.
            self._slide.close()
            self._slide = self._opened()
            raise LevelError(str(error)) from error
        return LevelPixels(rgb=_over_white(read), origin_xy=(location[0] / stride, location[1] / stride))

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def _opened(self) -> openslide.OpenSlide:
        try:
            return openslide.OpenSlide(self._path)
        except (openslide.OpenSlideError, OSError) as error:
            raise DataError(f"damaged, or no slide that OpenSlide can read: {error}", path=self._path) from error


def _over_white(read: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rgba = np.asarray(read, np.uint8)
    return over_white(rgba[:, :, :3], rgba[:, :, 3])


def _number(stated: str | None) -> float | None:
    """Return a property as a positive number, None where it is none."""
    try:
        number = float(stated or "nan")
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
