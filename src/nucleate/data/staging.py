"""A whole folder that appears at once: built beside its place, then renamed."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from nucleate.errors import ResultsError
from nucleate.files import folder_lock
from nucleate.files.lock import LOCK_NAME


@contextmanager
def staged_folder(output: Path) -> Iterator[Path]:
    """Give an empty folder beside `output`; it takes output's place when the block ends without an error.

    What `output` held before is removed only then. After an error, or Ctrl-C, it is as it was. A crash leaves
    `.NAME.part` behind, which the next run clears; two runs at once are refused by the lock in it.

    Raises:
        ResultsError: another process builds the same folder, or it can't be written.
    """
    output = output.absolute()
    part = output.with_name(f".{output.name}.part")
    try:
        with folder_lock(part):
            for leftover in ("new", "old"):
                shutil.rmtree(part / leftover, ignore_errors=True)
            new = part / "new"
            new.mkdir()
            try:
                yield new
                _swap(new, output, part / "old")
            except OSError as error:
                raise ResultsError(f"can't be written: {error.strerror or error}", path=output) from error
            finally:
                shutil.rmtree(new, ignore_errors=True)
                shutil.rmtree(part / "old", ignore_errors=True)
    finally:
        if not any((part / name).exists() for name in ("new", "old")):
            # The lock is released by now; another process that waits for this very name makes it again.
            (part / LOCK_NAME).unlink(missing_ok=True)
            if part.is_dir() and not any(part.iterdir()):
                part.rmdir()


def strangers_in(folder: Path, known: Collection[str]) -> list[str]:
    """Return the sorted names in a folder, which need not exist, that aren't among the known ones."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.name not in known and path.name != LOCK_NAME)


def _swap(new: Path, output: Path, old: Path) -> None:
    if not output.exists():
        new.rename(output)
        return
    output.rename(old)
    try:
        new.rename(output)
    except BaseException:
        if not output.exists():
            old.rename(output)
        raise
