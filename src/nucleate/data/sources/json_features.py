"""GeoJSON read feature by feature, plain or gzipped, so that memory holds one feature whatever the file's size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nucleate.errors import DataError
from nucleate.files.json_stream import CHUNK_CHARS, UNREADABLE, JsonText, opened_bytes, opened_text

# Of the unpacked file: gzip makes a thousandth of zeros.
MOST_CHARS = 2**32
HEAD_BYTES = 4096


def read_features(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the features of a FeatureCollection, of a list of features, or a single feature.

    Raises:
        DataError: no GeoJSON, damaged, nested too deeply, or a feature or file above the limits.
    """
    try:
        with opened_text(path) as stream:
            text = JsonText(stream, most_chars=MOST_CHARS)
            yield from _features(text)
            if text.peek():
                raise DataError("no JSON: something follows behind its end")
    except UNREADABLE as error:
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
        with opened_bytes(path) as stream:
            while (chunk := stream.read(CHUNK_CHARS)) and total < MOST_CHARS:
                if pattern.search(before + chunk):
                    return True
                before, total = chunk[-overlap_bytes:], total + len(chunk)
    except UNREADABLE as error:
        raise DataError(f"damaged GeoJSON: {error}", path=path) from error
    return False


def starts_as_features(path: Path) -> bool:
    """Return whether a JSON file's beginning names features; False for a damaged one."""
    try:
        with opened_bytes(path) as stream:
            return re.search(rb'"type"\s*:\s*"Feature(Collection)?"', stream.read(HEAD_BYTES)) is not None
    except UNREADABLE:
        return False


def _features(text: JsonText) -> Iterator[dict[str, Any]]:
    start = text.peek()
    if start == "[":
        yield from _objects(text)
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
            yield from _objects(text)
        else:
            members[str(key)] = text.value()
    text.take("}")
    if members.get("type") == "Feature":
        yield members
    elif not found:
        raise DataError("no GeoJSON: there are no features in it")


def _objects(text: JsonText) -> Iterator[dict[str, Any]]:
    for element in text.elements():
        if not isinstance(element, dict):
            raise DataError(f"no GeoJSON: a feature is an object, not {str(element)[:40]!r}")
        yield element
