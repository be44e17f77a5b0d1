"""JSON documents that are one long list, read item by item."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from nucleate.errors import DataError

_CHUNK = 1 << 20
_FILL = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()


def read_items(path: Path, key: str) -> Iterator[Any]:
    """Yield what stands before a document's list as a dict, then the list's items one by one.

    Args:
        path: the file, gzipped where it ends in .gz.
        key: of the list, which is the document's last or its only long member.

    Raises:
        DataError: no such file, or no document with that list.
    """
    try:
        with path.open("rb") as plain:
            unpacked: Any = gzip.GzipFile(fileobj=plain) if path.suffix == ".gz" else plain
            with io.TextIOWrapper(unpacked, encoding="utf-8") as text:
                yield from _items(text, key)
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"no JSON with a list of {key!r} that can be read: {error}", path=path) from error


def _items(opened: IO[str], key: str) -> Iterator[Any]:
    opening = re.compile(rf'"{key}"\s*:\s*\[')
    text = opened.read(_CHUNK)
    found = opening.search(text)
    while found is None:
        more = opened.read(_CHUNK)
        if not more:
            raise ValueError(f"no {key!r}")
        text += more
        found = opening.search(text)
    yield json.loads(text[: found.start()].rstrip().rstrip(",") + "}")
    position = found.end()
    while True:
        position = _after_fill(text, position)
        if text[position : position + 1] == "]":
            return
        try:
            item, position = _DECODER.raw_decode(text, position)
        except ValueError:
            # An item that goes on in the next chunk.
            more = opened.read(_CHUNK)
            if not more:
                raise
            text, position = text[position:] + more, 0
            continue
        yield item


def _after_fill(text: str, position: int) -> int:
    found = _FILL.match(text, position)
    return position if found is None else found.end()
