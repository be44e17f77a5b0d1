"""Colours of a scanner as sRGB, by the ICC profile that its files carry."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nucleate.errors import DataError


class ColourProfile:
    """A scanner's profile, ready to be applied.

    Args:
        profile: an ICC profile.
        path: the slide, for the error.

    Raises:
        DataError: it is damaged, or not one of RGB colours.
    """

    def __init__(self, profile: bytes, path: Path) -> None:
        try:
            scanner = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            self._transform = ImageCms.buildTransform(scanner, ImageCms.createProfile("sRGB"), "RGB", "RGB")
        except (OSError, ImageCms.PyCMSError) as error:
            raise DataError(f"its colour profile can't be applied: {error}", path=path) from error

    def to_srgb(self, pixels_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (H, W, 3) pixels in sRGB."""
        shown = ImageCms.applyTransform(Image.fromarray(pixels_rgb), self._transform)
        return np.asarray(shown, np.uint8)
