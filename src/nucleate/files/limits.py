"""What an image may hold before it is refused, and what decoders raise on damage."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What a file or array may hold before it is refused unread.

    Attributes:
        max_pixels: height x width; 2**28 is 16,384 x 16,384, 0.8 GB as RGB, far above any field of view.
        max_file_bytes: size on disk.
    """

    max_pixels: int = 2**28
    max_file_bytes: int = 4 * 2**30


DEFAULT_LIMITS = ReadLimits()

# What the decoders of Pillow and tifffile raise on damaged files.
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, AttributeError, struct.error, zlib.error)


def check_file(path: Path, limits: ReadLimits) -> None:
    """Refuse a file that is missing, empty or above the limit.

    Raises:
        DataError: it is.
    """
    if not path.is_file():
        raise DataError("no such file", path=path)
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise DataError("the file is empty", path=path)
    if size_bytes > limits.max_file_bytes:
        raise DataError(f"{size_bytes} bytes, above the limit of {limits.max_file_bytes}", path=path)


def check_pixels(height_px: int, width_px: int, path: Path | None, limits: ReadLimits) -> None:
    """Refuse an image of too many pixels.

    Raises:
        DataError: it has.
    """
    if height_px * width_px > limits.max_pixels:
        raise DataError(
            f"{width_px} x {height_px} pixels, above the limit of {limits.max_pixels}: give regions of it", path=path
        )
