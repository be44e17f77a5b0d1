"""Zeiss CZI by pylibCZIrw (extra `czi`)."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from nucleate.errors import DataError, MissingExtraError
from nucleate.slides.info import Scale, SlideInfo, Window, describe_slide
from nucleate.slides.levels import LevelError, LevelPixels

_WHITE = (1.0, 1.0, 1.0)
_DISTANCE = r'<Distance\s+Id="{axis}"\s*>.*?<Value>\s*([0-9.eE+-]+)\s*</Value>'
_MAGNIFICATION = re.compile(r"<NominalMagnification>\s*([0-9.]+)\s*</NominalMagnification>")
# Tiles of level 0 overlap by about a tenth, those of coarser levels don't; a level of less leaves gaps.
_LEAST_COVERAGE = 0.75


class CziLevels:
    """A CZI of 8-bit colours, opened; its levels are the pyramid that the file stores.

    Args:
        path: the file.
        given_mpp: overrides the file's um/px.

    Raises:
        DataError: it is damaged, or holds no 8-bit colours or grey (fluorescence), or several planes.
        MissingExtraError: pylibCZIrw is not installed.
    """

    colour_profile: bytes | None = None

    def __init__(self, path: Path, given_mpp: float | None = None) -> None:
        try:
            from pylibCZIrw import czi
        except ImportError as error:
            raise MissingExtraError(f"{path}: reading CZI", "czi") from error
        self._path = path
        try:
            self._file = czi.CziReader(str(path))
            self._pixel_type = _one_plane(self._file, path)
            self._bounds = self._file.total_bounding_rectangle
            downsamples = _stored_downsamples(self._file)
            xml = self._file.raw_metadata
        except (RuntimeError, OSError, ValueError) as error:
            raise DataError(f"damaged CZI: {error}", path=path) from error
        self._downsamples = downsamples
        width_px, height_px = self._bounds.w, self._bounds.h
        magnification = _MAGNIFICATION.search(xml)
        self.info: SlideInfo = describe_slide(
            path,
            "czi",
            level_sizes_wh=[(max(1, width_px // step), max(1, height_px // step)) for step in downsamples],
            stated=Scale(
                mpp_x=_stated_um(xml, "X"),
                mpp_y=_stated_um(xml, "Y"),
                magnification=None if magnification is None else float(magnification[1]),
            ),
            given_mpp=given_mpp,
        )

    def read_level(self, index: int, window_xyxy: Window) -> LevelPixels:
        """Return a window of a level (see `LevelSource`)."""
        x1, y1, x2, y2 = window_xyxy
        step = self._downsamples[index]
        region = (self._bounds.x + x1 * step, self._bounds.y + y1 * step, (x2 - x1) * step, (y2 - y1) * step)
        try:
            pixels = self._file.read(
                roi=region, zoom=1 / step, pixel_type=self._pixel_type, background_pixel=_WHITE, plane={}
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise LevelError(str(error)) from error
        if pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        # pylibCZIrw gives blue, green, red.
        return LevelPixels(rgb=np.ascontiguousarray(pixels[:, :, ::-1], dtype=np.uint8), origin_xy=(x1, y1))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _one_plane(file: Any, path: Path) -> str:
    """Return the pixel type of the only plane."""
    types = sorted(set(file.pixel_types.values()))
    planes = math.prod(stop - start for axis, (start, stop) in file.total_bounding_box.items() if axis not in "XYS")
    if planes > 1:
        raise DataError(f"{planes} channels, depths or times of one place: export the one that you want", path=path)
    if types not in (["Bgr24"], ["Gray8"]):
        raise DataError(f"pixels of type {', '.join(types)}: a CZI of 8-bit colours is needed", path=path)
    return str(types[0])


def _stored_downsamples(file: Any) -> tuple[int, ...]:
    """Return the whole factors of the levels that cover the slide, 1 first."""
    covered: Counter[int] = Counter()

    def count(_index: int, block: Any) -> bool:
        logical, stored = block.logicalRect, block.physicalSize
        covered[round(logical.w / max(1, stored.w))] += logical.w * logical.h
        return True

    file.enumerate_subblocks(count)
    return (1, *sorted(step for step, area in covered.items() if step > 1 and area >= _LEAST_COVERAGE * covered[1]))


def _stated_um(xml: str, axis: str) -> float | None:
    """Return the um a pixel along an axis; the file states metres."""
    found = re.search(_DISTANCE.format(axis=axis), xml, re.DOTALL)
    try:
        return None if found is None else float(found[1]) * 1e6
    except ValueError:
        return None
