"""GeoJSON read feature by feature, plain or gzipped, so that memory holds one feature whatever the file's size."""

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
MOST_FEATURE_CHARS = 2**24
# Of the unpacked file: gzip makes a thousandth of zeros.
MOST_CHARS = 2**32
HEAD_BYTES = 4096
_UNREADABLE = (OSError, EOFError, UnicodeDecodeError, zlib.error)
_SPACE = re.compile(r"[ \t\r\n]*")


def read_features(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the features of a FeatureCollection, of a list of features, or a single feature.

    Raises:
        DataError: no GeoJSON, damaged, nested too deeply, or a feature or file above the limits.
    """
    try:
        with _opened_text(path) as stream:
            text = _JsonText(stream)
            yield from _features(text)
            if text.peek():
                raise DataError("no JSON: something follows behind its end")
    except _UNREADABLE as error:
        raise DataError(f"damaged GeoJSON: {error}", path=path) from error
    except DataError as error:
        raise DataError(error.message, path=path) from error


def contains(path: Path, pattern: re.Pattern[bytes], *, overlap_bytes: int = 256) -> bool:
    """Return whether a file, unpacked, holds a pattern; matches longer than the overlap may be missed.

    Raises:
        DataError: a damaged file.
    """
    before, total = b"", 0
    try:
        with _opened_bytes(path) as stream:
            while (chunk := stream.read(CHUNK_CHARS)) and total < MOST_CHARS:
                if pattern.search(before + chunk):
                    return True
                before, total = chunk[-overlap_bytes:], total + len(chunk)
    except _UNREADABLE as error:
        raise DataError(f"damaged GeoJSON: {error}", path=path) from error
    return False


def starts_as_features(path: Path) -> bool:
    """Return whether a JSON file's beginning names features; False for a damaged one."""
    try:
        with _opened_bytes(path) as stream:
            return re.search(rb'"type"\s*:\s*"Feature(Collection)?"', stream.read(HEAD_BYTES)) is not None
    except _UNREADABLE:
        return False


class _JsonText:
    """JSON from a stream, value by value."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
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
            if len(self._buffer) - self._place > MOST_FEATURE_CHARS:
                raise DataError(f"damaged JSON, or a feature of more than {MOST_FEATURE_CHARS} characters")
            self._read_on()

    def _read_on(self) -> None:
        kept = self._buffer[self._place :]
        # As much again as there is, so that a long feature is tried few times.
        chunk = self._stream.read(max(CHUNK_CHARS, len(kept)))
        self._total += len(chunk)
        if self._total > MOST_CHARS:
            raise DataError(f"unpacks to more than {MOST_CHARS} characters: these are no nuclei of one image")
        self._buffer, self._place, self._ended = kept + chunk, 0, not chunk


def _features(text: _JsonText) -> Iterator[dict[str, Any]]:
    start = text.peek()
    if start == "[":
        yield from _elements(text)
        return
    if start != "{":
        raise DataError("no GeoJSON: an object or a list of features is needed")
    text.take("{")
    members: dict[str, Any] = {}
    found = False
    while text.peek() != "}":
        if members or found:
            text.take(",")
        key = text.value()
        text.take(":")
        if key == "features" and text.peek() == "[":
            found = True
            yield from _elements(text)
        else:
            members[str(key)] = text.value()
    text.take("}")
    if members.get("type") == "Feature":
        yield members
    elif not found:
        raise DataError("no GeoJSON: there are no features in it")


def _elements(text: _JsonText) -> Iterator[dict[str, Any]]:
    text.take("[")
    is_first = True
    while text.peek() != "]":
        if not is_first:
            text.take(",")
        is_first = False
        element = text.value()
        if not isinstance(element, dict):
            raise DataError(f"no GeoJSON: a feature is an object, not {str(element)[:40]!r}")
        yield element
    text.take("]")


@contextmanager
def _opened_text(path: Path) -> Iterator[TextIO]:
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig") as packed:
            yield cast("TextIO", packed)
    else:
        with path.open(encoding="utf-8-sig") as plain:
            yield plain


@contextmanager
def _opened_bytes(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as packed:
            yield cast("IO[bytes]", packed)
    else:
        with path.open("rb") as plain:
            yield plain
