"""Zip archives unpacked into a folder, and nowhere else, within limits."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from nucleate.errors import DataError

# Images hardly shrink: ten times is much; masks and labels of a whole set shrink more.
MOST_RATIO = 200
LEAST_LIMIT_BYTES = 2**30
MOST_BYTES = 2**38
MOST_ENTRIES = 2**20
_BLOCK_BYTES = 2**20
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
# What macOS adds to zips.
_JUNK = "__MACOSX"


def unpack(archive: Path, folder: Path) -> int:
    """Unpack a zip into a folder; a folder of the archive's own name around everything is left out.

    Args:
        archive: the zip.
        folder: an empty one.

    Returns:
        number of files.

    Raises:
        DataError: a damaged or encrypted zip, one whose names lead out of the folder, with links in it, or that unpacks
            to more than any data set.
        OSError: the folder can't be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir() and _is_wanted(entry)]
            limit = min(MOST_BYTES, max(LEAST_LIMIT_BYTES, MOST_RATIO * archive.stat().st_size))
            if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > limit:
                raise DataError(f"{len(entries)} files that unpack to more than {limit} bytes: no data set")
            paths = [_inside(entry) for entry in entries]
            wrapper = _wrapper(paths, archive.stem)
            for entry, path in zip(entries, paths, strict=True):
                target = folder.joinpath(*path.parts[wrapper:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as packed, target.open("wb") as file:
                    # Python gives no byte more than the entry states, and checks its CRC.
                    shutil.copyfileobj(packed, file, _BLOCK_BYTES)
    except _BROKEN as error:
        raise DataError(f"damaged zip: {error}", path=archive) from error
    except DataError as error:
        raise DataError(error.message, path=archive, item=error.item) from error
    return len(entries)


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    return path.parts[:1] != (_JUNK,) and not path.name.startswith("._") and path.name != ".DS_Store"


def _inside(entry: zipfile.ZipInfo) -> PurePosixPath:
    """Return where an entry goes, relative to the folder."""
    name = entry.filename.replace("\\", "/")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in name or not path.parts:
        raise DataError("the zip's name for a file leads out of the folder: nothing was unpacked", item=entry.filename)
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise DataError("the zip holds a link: nothing was unpacked", item=entry.filename)
    return path


def _wrapper(paths: Sequence[PurePosixPath], name: str) -> int:
    """Return how many leading folders every path has that are only the archive's name."""
    same = bool(paths) and all(len(path.parts) > 1 and path.parts[0].lower() == name.lower() for path in paths)
    return int(same)
