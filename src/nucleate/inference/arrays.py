"""Images from memory: numpy arrays, Pillow images, and what reads itself when asked, as zarr and dask arrays do."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nucleate.errors import DataError
from nucleate.files import check_array, check_picture, rgb_from_array, rgb_from_picture

# Windows allows none of these in a file's name.
_FORBIDDEN = frozenset('<>:"\\|?*')


@runtime_checkable
class ArrayLike(Protocol):
    """What numpy can make an array of: arrays of zarr, dask and xarray, CPU tensors; none of them is imported."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the sides."""
        ...

    @property
    def dtype(self) -> Any:
        """Return the type of the values."""
        ...

    def __array__(self) -> Any: ...


Pixels = NDArray[Any] | Image.Image | ArrayLike


@dataclass(frozen=True, slots=True, eq=False)
class ImageArray:
    """An image in memory with what is known of it: `ImageArray(pixels, mpp=0.25, name="biopsy 3")`.

    Attributes:
        pixels: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4, shown over white), uint8, uint16 or floats of 0 to 1, of
            numpy, zarr, dask or whatever has shape, dtype and `__array__`; or a Pillow image. Zarr, dask and Pillow
            images are read when their turn comes, and again when a picture of the result is asked for.
        mpp: micrometres a pixel, None when unknown.
        name: how results call it and stem of its result files, may hold folders ("liver/1"); None numbers it.

    Raises:
        DataError: pixels of a shape or type that is no image, an mpp that is not positive, a name that is no file name.
    """

    pixels: Pixels = field(repr=False)
    _: KW_ONLY
    mpp: float | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_name(self.name)
        if self.mpp is not None and not (math.isfinite(self.mpp) and self.mpp > 0):
            raise DataError(f"{self.mpp} um a pixel: give a positive number, or nothing when unknown", item=self.name)
        try:
            _check_pixels(self.pixels)
        except DataError as error:
            raise DataError(error.message, item=self.name) from error

    def read(self) -> NDArray[np.uint8]:
        """Return the (H, W, 3) uint8 pixels.

        Raises:
            DataError: values of an unknown range, or a damaged file behind the image.
        """
        if isinstance(self.pixels, Image.Image):
            return rgb_from_picture(self.pixels)
        return rgb_from_array(np.asarray(self.pixels))


def is_pixels(source: object) -> TypeGuard[Pixels]:
    """Return whether something is an image in memory and not a name of files, nor a list of either."""
    return isinstance(source, np.ndarray | Image.Image | ArrayLike)


def _check_pixels(pixels: object) -> None:
    if isinstance(pixels, Image.Image):
        check_picture(pixels)
    elif isinstance(pixels, ArrayLike):
        try:
            dtype = np.dtype(pixels.dtype)
        except TypeError:
            # Not numpy's, as torch's are; of these only reading tells.
            dtype = np.dtype(np.uint8)
        check_array(tuple(pixels.shape), dtype)
    else:
        raise DataError(
            f"{type(pixels).__name__} is no image: give a file, a Pillow image, or an array of numpy, zarr or dask"
        )


def _check_name(name: str) -> None:
    parts = PurePosixPath(name).parts
    legal = bool(parts) and all(
        part not in (".", "..", "/")
        and part == part.strip()
        and not part.endswith(".")
        and part.isprintable()
        and not _FORBIDDEN & set(part)
        for part in parts
    )
    if not legal or name != "/".join(parts):
        raise DataError(
            f"the name {name!r} can't name a file: leave out {' '.join(sorted(_FORBIDDEN))}, '..', a leading '/', and "
            "spaces and dots at the ends"
        )
