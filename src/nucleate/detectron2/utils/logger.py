"""Console and file lines in Detectron2's form, under its short names."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["setup_logger"]

_DATE = "%m/%d %H:%M:%S"
_PACKAGE = "nucleate"
_FILE_NAME = "log.txt"
_SHORT_NAMES = (
    ("nucleate.training.events", "d2.utils.events"),
    ("nucleate.detectron2", "d2"),
    ("nucleate.d2", "d2"),
)
_GREEN, _END = "\033[32m", "\033[0m"


def setup_logger(
    output: str | os.PathLike[str] | None = None,
    distributed_rank: int = 0,
    *,
    color: bool = True,
    name: str = "detectron2",
) -> logging.Logger:
    """Let log lines be seen on the console, and in a file if one is named; a second call adds nothing twice.

    Args:
        output: a file ending in .txt or .log, or a folder for log.txt.
        distributed_rank: processes other than 0 stay silent on the console.
        color: time and name in green where the console shows colours.
        name: of the logger; "detectron2" is this package's.

    Returns:
        The logger.
    """
    logger = logging.getLogger(_PACKAGE if name == "detectron2" else name)
    logger.setLevel(logging.DEBUG if name != "detectron2" else logging.INFO)
    logger.propagate = False
    present = {handler.get_name() for handler in logger.handlers}
    if distributed_rank == 0 and "console" not in present:
        console = logging.StreamHandler(sys.stdout)
        console.setFormatter(_ConsoleForm(coloured=color and sys.stdout.isatty()))
        console.set_name("console")
        logger.addHandler(console)
    if output is not None:
        path = Path(output)
        path = path if path.suffix in (".txt", ".log") else path / _FILE_NAME
        if str(path) not in present:
            logger.addHandler(_file_handler(path))
    return logger


@contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Write this package's lines into a folder's log.txt while the block runs; the console is set up if it isn't."""
    logger = logging.getLogger(_PACKAGE)
    if not logger.isEnabledFor(logging.INFO):
        setup_logger()
    path = folder / _FILE_NAME
    if any(handler.get_name() == str(path) for handler in logger.handlers):
        yield
        return
    handler = _file_handler(path)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def short_name(name: str) -> str:
    """Return Detectron2's short name of the logger that writes the same lines there."""
    for ours, theirs in _SHORT_NAMES:
        if name == ours or name.startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    return name


def _file_handler(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_FileForm())
    handler.set_name(str(path))
    return handler


class _FileForm(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("[%(asctime)s] %(short)s %(levelname)s: %(message)s", datefmt=_DATE)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        record.short = short_name(record.name)
        return super().formatMessage(record)


class _ConsoleForm(logging.Formatter):
    def __init__(self, *, coloured: bool) -> None:
        start, end = (_GREEN, _END) if coloured else ("", "")
        super().__init__(f"{start}[%(asctime)s %(short)s]: {end}%(message)s", datefmt=_DATE)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        record.short = short_name(record.name)
        text = super().formatMessage(record)
        if record.levelno < logging.WARNING:
            return text
        head, _, rest = text.partition("]: ")
        return f"{head}]: {record.levelname} {rest}"
