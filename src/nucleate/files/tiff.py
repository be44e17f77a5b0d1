"""TIFF files by tifffile: the first page, its colours by what the file says that they mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nucleate.errors import DataError, MissingExtraError
from nucleate.files.limits import DAMAGED, DEFAULT_LIMITS, ReadLimits, check_pixels
from nucleate.files.pixels import eight_bits, over_white, rgb_from_array

# What tifffile and its decoders raise on damaged files.
TIFF_DAMAGED = (
    *DAMAGED,
    tifffile.TiffFileError,
    ImportError,
    RuntimeError,
    TypeError,
    ArithmeticError,
    MemoryError,
)
_PHOTOMETRIC = tifffile.PHOTOMETRIC
# tifffile gives RGB for YCbCr that is compressed as JPEG; of these it gives the stored YCbCr.
_LOSSLESS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})


def tiff_size(path: Path) -> tuple[int, int]:
    """Return (height_px, width_px) of the first page.

    Raises:
        DataError: a damaged file.
    """
    with opened_tiff(path) as tiff:
        return _sides(first_level(tiff, path))


def _sides(level: Any) -> tuple[int, int]:
    return level.shape[level.axes.index("Y")], level.shape[level.axes.index("X")]


def tiff_has_one_channel(path: Path) -> bool:
    """Return whether the first page holds one value a pixel.

    Raises:
        DataError: a damaged file.
    """
    with opened_tiff(path) as tiff:
        return len([side for side in first_level(tiff, path).shape if side > 1]) <= 2


def tiff_mode(path: Path) -> str:
    """Return how the first page stores its colours, in words: `RGB, 8 bit`, `grey, 16 bit`, `palette, 8 bit`.

    Raises:
        DataError: a damaged file.
    """
    with opened_tiff(path) as tiff:
        page = first_level(tiff, path).keyframe
        names = {_PHOTOMETRIC.MINISBLACK: "grey", _PHOTOMETRIC.MINISWHITE: "grey", _PHOTOMETRIC.PALETTE: "palette"}
        name = names.get(page.photometric, getattr(page.photometric, "name", str(page.photometric)))
        kind = "floating point" if page.dtype.kind == "f" else f"{8 * page.dtype.itemsize} bit"
        return f"{name}, {kind}"


def read_tiff(path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> NDArray[Any]:
    """Return the values of the first page, or of all pages of its size, as they are stored.

    Raises:
        DataError: a damaged file, or more pixels than the limit.
        MissingExtraError: its compression needs imagecodecs.
    """
    with opened_tiff(path) as tiff:
        level = first_level(tiff, path)
        check_pixels(*_sides(level), path, limits)
        return np.asarray(level.asarray())


def read_tiff_rgb(path: Path) -> NDArray[np.uint8]:
    """Return the first page as (H, W, 3) uint8 RGB; smaller pages (thumbnails, levels of a pyramid) don't count.

    White-is-zero is inverted, palettes give their colours, CMYK and YCbCr are converted without a colour profile,
    three channels that are stored one after the other are put together, transparency is shown over white.

    Raises:
        DataError: several pages of one size, other colours, a damaged file, or values that `rgb_from_array` refuses.
    """
    with opened_tiff(path) as tiff:
        level = first_level(tiff, path)
        refuse_stack(tiff, level, path)
        pixels, colours = np.asarray(level.asarray()), TiffColours.of(level)
        channels = level.axes.replace("Y", "").replace("X", "")
        if channels:
            pixels = np.moveaxis(pixels, level.axes.index(channels), -1)
    return colours.shown(pixels, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffColours:
    """What a TIFF says that its values mean.

    Attributes:
        photometric: TIFF's PhotometricInterpretation.
        extra: the kinds of its extra samples (1 premultiplied, 2 plain transparency, 0 unspecified).
        colormap: (3, values) of a palette, else None.
        is_lossless: whether tifffile gives values as they are stored; it gives RGB for YCbCr in JPEG.
    """

    photometric: int
    extra: tuple[int, ...]
    colormap: NDArray[np.uint16] | None
    is_lossless: bool

    @classmethod
    def of(cls, level: Any) -> TiffColours:
        """Return what tifffile's series or level says."""
        page = level.keyframe
        return cls(
            photometric=page.photometric,
            extra=tuple(int(kind) for kind in page.extrasamples),
            colormap=None if page.colormap is None else np.asarray(page.colormap),
            is_lossless=int(page.compression) in _LOSSLESS,
        )

    def shown(self, pixels: NDArray[Any], path: Path) -> NDArray[np.uint8]:
        """Return stored values, (H, W) or (H, W, channels), as (H, W, 3) uint8 RGB (see `read_tiff_rgb`).

        Raises:
            DataError: other colours, or values that `rgb_from_array` refuses.
        """
        alpha: NDArray[Any] | None = None
        # As Pillow does: a channel of unspecified meaning is no transparency, a fourth that nothing is said of is.
        if pixels.ndim == 3 and (self.extra or (self.photometric == _PHOTOMETRIC.RGB and pixels.shape[2] == 4)):
            colours = pixels.shape[2] - max(1, len(self.extra))
            alpha = pixels[:, :, colours] if (*self.extra, 2)[0] in (1, 2) else None
            pixels = pixels[:, :, :colours]
        pixels = np.squeeze(pixels, 2) if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
        photometric = self.photometric
        if photometric == _PHOTOMETRIC.YCBCR and not self.is_lossless:
            photometric = _PHOTOMETRIC.RGB
        rgb = rgb_from_array(_as_shown(pixels, photometric, self.colormap, path), path)
        if alpha is None:
            return rgb
        return over_white(rgb, eight_bits(alpha, path, dark=True), premultiplied=self.extra[:1] == (1,))


def _as_shown(pixels: NDArray[Any], photometric: int, colormap: NDArray[np.uint16] | None, path: Path) -> NDArray[Any]:
    """Return grey (H, W) or RGB (H, W, 3) of the stored values."""
    if photometric in (_PHOTOMETRIC.RGB, _PHOTOMETRIC.MINISBLACK) or pixels.dtype.kind == "b":
        return pixels
    if photometric == _PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    if photometric == _PHOTOMETRIC.PALETTE and colormap is not None and pixels.dtype.kind == "u":
        # Writers scale 8 bits by 256 or by 257; the high byte is right for both.
        return np.moveaxis((colormap >> 8).astype(np.uint8)[:, pixels], 0, -1)
    has_colours = pixels.ndim == 3 and pixels.dtype in (np.uint8, np.uint16)
    if photometric == _PHOTOMETRIC.SEPARATED and has_colours and pixels.shape[2] == 4:
        light = 255 - eight_bits(pixels, path, dark=True).astype(np.uint16)
        return (light[:, :, :3] * light[:, :, 3:] // 255).astype(np.uint8)
    if photometric == _PHOTOMETRIC.YCBCR and has_colours and pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        height_px, width_px = pixels.shape[:2]
        stored = Image.frombytes("YCbCr", (width_px, height_px), np.ascontiguousarray(pixels).tobytes())
        return np.asarray(stored.convert("RGB"))
    name = _PHOTOMETRIC(photometric).name
    raise DataError(f"a TIFF of {name} with {pixels.dtype} of shape {pixels.shape}: save it as 8-bit RGB", path=path)


def refuse_stack(tiff: tifffile.TiffFile, level: Any, path: Path) -> None:
    """Refuse a file of several pages or channels of one size.

    Raises:
        DataError: it is one.
    """
    others = [axis for axis in level.axes if axis not in "YXS"]
    if others == ["C"] and "S" not in level.axes and level.shape[level.axes.index("C")] == 3:
        # Red, green and blue as OME-TIFF and ImageJ store them.
        others = []
    same = [
        series
        for series in tiff.series[1:]
        if series.levels[0].shape == level.shape and series.levels[0].dtype == level.dtype
    ]
    if others or same:
        stacked = [level.shape[level.axes.index(axis)] for axis in others]
        count = int(np.prod(stacked)) if others else 1 + len(same)
        raise DataError(
            f"{count} pages or channels of one size (axes {level.axes}): save the one that you want as a file of its "
            "own",
            path=path,
        )


def first_level(tiff: tifffile.TiffFile, path: Path) -> Any:
    """Return tifffile's series of the first image, its finest level.

    Raises:
        DataError: the file holds no image.
    """
    if not tiff.series:
        raise DataError("the TIFF holds no image", path=path)
    return tiff.series[0].levels[0]


@contextmanager
def opened_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Give the file; whatever its reader raises on damage becomes an error of ours.

    Raises:
        DataError: the file is damaged, or holds what tifffile can't read.
        MissingExtraError: its compression needs imagecodecs.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff
    except TIFF_DAMAGED as error:
        if isinstance(error, ImportError) or "imagecodecs" in str(error):
            raise MissingExtraError(f"{path}: this TIFF's compression", "slides") from error
        raise DataError(f"damaged TIFF: {error}", path=path) from error
