"""One writer a folder: the operating system holds the lock, so a crash can't leave one behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nucleate.errors import FolderInUseError
from nucleate.files.atomic import unwritable

LOCK_NAME = ".nucleate.lock"


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for one process while the block runs; the folder is made if needed.

    Raises:
        FolderInUseError: another process holds it.
        DiskFullError: no space is left.
        ResultsError: the folder can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_NAME, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise FolderInUseError(
            "another nucleate process is writing here: wait for it, or choose another --output", path=folder
        ) from error
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        lock.release()
