"""log.txt and the console, in Detectron2's forms."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG_NAME = "log.txt"
_DATE = "%m/%d %H:%M:%S"


class _ConsoleForm(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{record.levelname}: {text}" if record.levelno >= logging.WARNING else text


@contextmanager
def run_log(folder: Path, *, console: logging.Handler | None) -> Iterator[None]:
    """Write the package's log lines into `log.txt` while the block runs, and to a console handler if one is given."""
    logger = logging.getLogger("nucleate")
    file_handler = logging.FileHandler(folder / LOG_NAME, encoding="utf-8")
    file_handler.setFormatter(logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", datefmt=_DATE))
    handlers: list[logging.Handler] = [file_handler]
    if console is not None:
        console.setFormatter(_ConsoleForm("[%(asctime)s %(name)s]: %(message)s", datefmt=_DATE))
        handlers.append(console)
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        file_handler.close()
        logger.setLevel(level)
