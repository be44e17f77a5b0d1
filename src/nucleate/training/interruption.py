"""Ctrl-C and the signal that ends a job, held back while a step is taken: half a step is not something to resume."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Signals that wait for the end of a step; a second one does not wait.

    Attributes:
        requested: one has come while it was held.
    """

    def __init__(self) -> None:
        self.requested = False
        self._holding = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals that would raise KeyboardInterrupt while the block runs (in the main thread alone)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken = {
            number: handler
            for number in (signal.SIGINT, signal.SIGTERM)
            if (handler := signal.getsignal(number)) is signal.default_int_handler
        }
        for number in taken:
            signal.signal(number, self._take)
        try:
            yield
        finally:
            for number, handler in taken.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold signals back while the block runs; the caller asks `requested` afterwards."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False

    def _take(self, _: int, __: FrameType | None) -> None:
        if self._holding and not self.requested:
            self.requested = True
            return
        raise KeyboardInterrupt
