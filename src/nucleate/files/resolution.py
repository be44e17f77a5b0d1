"""How many micrometres a pixel covers, where an image file says so credibly."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import tifffile
from PIL import Image

from nucleate.files.images import TIFF_SUFFIXES

# Microscopes' range. 72 or 96 dpi (353 and 265 um/px) is what programs write that know nothing.
LEAST_MPP, MOST_MPP = 0.05, 5.0
# What Pillow and tifffile raise on damaged files.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tifffile.TiffFileError,
    zlib.error,
)
_UM_PER_INCH = 25_400.0
# Pixels that differ more in width and height belong to no microscope's camera.
_MOST_ASPECT = 1.05
_UM_PER_TIFF_UNIT = {2: _UM_PER_INCH, 3: 10_000.0}
_UM_PER_NAMED_UNIT = {
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "mm": 1e3,
    "cm": 1e4,
}
_APERIO_MPP = re.compile(r"\bMPP\s*=\s*([0-9.]+)")
_OME_SIZE = re.compile(r'PhysicalSize([XY])\s*=\s*"([^"]+)"')
_OME_UNIT = re.compile(r'PhysicalSizeXUnit\s*=\s*"([^"]+)"')


def image_mpp(path: Path) -> float | None:
    """Return the um/px that a file states, None where it states none or none that is credible.

    Read are a TIFF's OME-XML (PhysicalSizeX), Aperio's `MPP = ` and ImageJ's unit, its resolution tags with a unit, and
    the pixel density of PNG, JPEG and BMP. Only 0.05 to 5 um/px are believed. A file that can't be read states none:
    reading its pixels says why.
    """
    try:
        return _tiff_mpp(path) if path.suffix.lower() in TIFF_SUFFIXES else _pillow_mpp(path)
    except _DAMAGED:
        return None


def _tiff_mpp(path: Path) -> float | None:
    with tifffile.TiffFile(path) as tiff:
        pixel = tiff_pixel_size(tiff)
        return None if pixel is None else _credible(pixel.x_um, pixel.y_um)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSize:
    """How many um a pixel covers, as a file states it, credible or not."""

    x_um: float
    y_um: float


def tiff_pixel_size(tiff: tifffile.TiffFile) -> PixelSize | None:
    """Return what an open TIFF states of its pixels' size (see `image_mpp`), None where it states nothing.

    Damaged metadata raise what tifffile raises, and ArithmeticError or ValueError for numbers that are none.
    """
    if tiff.ome_metadata:
        return _ome_pixel_size(tiff.ome_metadata)
    page = tiff.pages.first
    aperio = _APERIO_MPP.search(page.description or "")
    if aperio:
        return PixelSize(x_um=float(aperio[1]), y_um=float(aperio[1]))
    unit_um = _UM_PER_TIFF_UNIT.get(int(page.resolutionunit))
    if tiff.is_imagej:
        name = str((tiff.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ").lower()
        unit_um = _UM_PER_NAMED_UNIT.get(name, unit_um)
    if unit_um is None:
        return None
    x_per_unit, y_per_unit = page.resolution
    return PixelSize(x_um=unit_um / x_per_unit, y_um=unit_um / y_per_unit)


def _ome_pixel_size(xml: str) -> PixelSize | None:
    sizes = {axis: float(value) for axis, value in reversed(_OME_SIZE.findall(xml))}
    unit = _OME_UNIT.search(xml)
    # OME's schema: micrometres where no unit is named.
    unit_um = 1.0 if unit is None else _UM_PER_NAMED_UNIT.get(unit[1])
    if "X" not in sizes or unit_um is None:
        return None
    return PixelSize(x_um=sizes["X"] * unit_um, y_um=sizes.get("Y", sizes["X"]) * unit_um)


def _pillow_mpp(path: Path) -> float | None:
    # Damaged headers and large images are told by whoever reads the pixels.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            dots_per_inch = image.info.get("dpi")
    if not isinstance(dots_per_inch, tuple) or min(dots_per_inch) <= 0:
        return None
    return _credible(_UM_PER_INCH / float(dots_per_inch[0]), _UM_PER_INCH / float(dots_per_inch[1]))


def _credible(x_mpp: float, y_mpp: float) -> float | None:
    if not LEAST_MPP <= min(x_mpp, y_mpp) <= max(x_mpp, y_mpp) <= MOST_MPP:
        return None
    return x_mpp if max(x_mpp, y_mpp) <= _MOST_ASPECT * min(x_mpp, y_mpp) else None
