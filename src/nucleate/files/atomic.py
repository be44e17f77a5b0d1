"""Files that are either whole or not there: written under another name, synced, then renamed."""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nucleate.errors import DiskFullError, ResultsError

# Made once: a data set writes an annotation at a time.
_COMPACT = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


@contextmanager
def write_path(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` when the block ends without an error.

    The temporary name keeps the suffix (libraries choose formats by it) and the folder is made if needed.

    Raises:
        DiskFullError: no space is left.
        ResultsError: the folder or file can't be written.
    """
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        # A folder that could not be made holds no temporary file, and asking for it may fail too.
        with suppress(OSError):
            temporary.unlink()


def unwritable(path: Path, error: OSError) -> ResultsError:
    """Return what to raise where a file can't be written; the full disk is told apart, since waiting won't help."""
    kind = DiskFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else ResultsError
    return kind(f"can't be written: {error.strerror or error}", path=path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to a file, whole or not at all (see `write_path`)."""
    with write_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with unix line ends to a file, whole or not at all (see `write_path`)."""
    write_bytes(path, text.encode("utf-8"))


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON (NaN refused, since JSON has none) with a line end.

    Args:
        value: dicts, lists, strings, numbers, booleans and None.
        indent: spaces a level; None gives one compact line.
    """
    if indent is None:
        return _COMPACT.encode(value) + "\n"
    return json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write `json_text` to a file, whole or not at all."""
    write_text(path, json_text(value, indent=indent))
