"""JSON read value by value from a stream, plain or gzipped, so that memory holds one value whatever the file's size."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO, cast

from nucleate.errors import DataError

CHUNK_CHARS = 2**18
# Outlines of a whole slide's tissue have some megabytes.
MOST_VALUE_CHARS = 2**24
# What reading a damaged or foreign file raises, beside errors of our own.
UNREADABLE = (OSError, EOFError, UnicodeDecodeError, zlib.error)
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonText:
    """JSON from a stream, value by value.

    Args:
        stream: of text.
        most_chars: that the stream may hold; None for no limit.
    """

    def __init__(self, stream: TextIO, *, most_chars: int | None = None) -> None:
        self._stream, self._most_chars = stream, most_chars
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._place = 0
        self._total = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is no space, "" at the end."""
        while True:
            space = _SPACE.match(self._buffer, self._place)
            self._place = self._place if space is None else space.end()
            if self._place < len(self._buffer) or self._ended:
                return self._buffer[self._place : self._place + 1]
            self._read_on()

    def take(self, character: str) -> None:
        """Go past a character.

        Raises:
            DataError: it is not the next one.
        """
        found = self.peek()
        if found != character:
            raise DataError(
                f"no JSON: {character!r} is missing before {found!r}" if found else "JSON that ends too early"
            )
        self._place += 1

    def value(self) -> Any:
        """Return the next value.

        Raises:
            DataError: it is damaged, nested too deeply or too long.
        """
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._place)
            except json.JSONDecodeError as error:
                if self._ended:
                    raise DataError(f"damaged JSON: {error.msg}") from error
            except RecursionError as error:
                raise DataError("JSON that is nested too deeply") from error
            else:
                # A number at the end of what is read may go on.
                if end < len(self._buffer) or self._ended:
                    self._place = end
                    return value
            if len(self._buffer) - self._place > MOST_VALUE_CHARS:
                raise DataError(f"damaged JSON, or a value of more than {MOST_VALUE_CHARS} characters")
            self._read_on()

    def elements(self) -> Iterator[Any]:
        """Yield the elements of the list that comes next.

        Raises:
            DataError: no list, or a damaged one.
        """
        self.take("[")
        is_first = True
        while self.peek() != "]":
            if not is_first:
                self.take(",")
            is_first = False
            yield self.value()
        self.take("]")

    def _read_on(self) -> None:
        kept = self._buffer[self._place :]
        # As much again as there is, so that a long feature is tried few times.
        chunk = self._stream.read(max(CHUNK_CHARS, len(kept)))
        self._total += len(chunk)
        if self._most_chars is not None and self._total > self._most_chars:
            raise DataError(f"unpacks to more than {self._most_chars} characters")
        self._buffer, self._place, self._ended = kept + chunk, 0, not chunk


def read_items(path: Path, key: str) -> Iterator[Any]:
    """Yield what stands before a document's list as a dict, then the list's items one by one.

    Args:
        path: the file, gzipped where it ends in .gz.
        key: of the list, which is the document's last or its only long member.

    Raises:
        DataError: no such file, or no document with that list.
    """
    try:
        with opened_text(path) as stream:
            yield from _items(JsonText(stream), key)
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except UNREADABLE as error:
        raise DataError(f"no JSON with a list of {key!r} that can be read: {error}", path=path) from error
    except DataError as error:
        raise DataError(f"no JSON with a list of {key!r} that can be read: {error.message}", path=path) from error


def _items(text: JsonText, key: str) -> Iterator[Any]:
    text.take("{")
    before: dict[str, Any] = {}
    while text.peek() != "}":
        if before:
            text.take(",")
        name = str(text.value())
        text.take(":")
        if name == key:
            yield before
            yield from text.elements()
            return
        before[name] = text.value()
    raise DataError(f"there is no {key!r} in it")


@contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """Open a file of UTF-8 text, gzipped where it ends in .gz."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig") as packed:
            yield cast("TextIO", packed)
    else:
        with path.open(encoding="utf-8-sig") as plain:
            yield plain


@contextmanager
def opened_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file's bytes, unpacked where it ends in .gz."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as packed:
            yield cast("IO[bytes]", packed)
    else:
        with path.open("rb") as plain:
            yield plain
