"""How much memory the process holds, and whether that is more than it may."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

GIB = 2**30
_STATM = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Return the process' resident memory; None where the system has no /proc that tells it."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


class MemoryBound:
    """Tells whether the process holds more memory than it may.

    Args:
        most_gib: that it may hold.
        resident: tells what it holds; None where nobody can tell, and then nothing is ever above the bound.
    """

    def __init__(self, most_gib: float, *, resident: Callable[[], int | None] = resident_bytes) -> None:
        self.most_gib = most_gib
        self._resident = resident
        self._peak = 0

    @property
    def peak_gib(self) -> float:
        """Return the most that was seen where it was asked for, 0 before the first time."""
        return self._peak / GIB

    def is_exceeded(self) -> bool:
        """Return whether the process holds more than it may, once what it freed went back to the system."""
        if self._is_above():
            _give_back()
        return self._is_above()

    def watch(self) -> None:
        """Remember what is held now for `peak_gib`."""
        self._is_above()

    def _is_above(self) -> bool:
        held = self._resident() or 0
        self._peak = max(self._peak, held)
        return held > self.most_gib * GIB


def _give_back() -> None:
    """Let glibc return what was freed: it keeps small pieces, and they count as resident."""
    if sys.platform.startswith("linux"):
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
