"""The script for QuPath that comes with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from nucleate.files import write_text


def qupath_script() -> str:
    """Return the Groovy script that runs `nucleate` on the image open in QuPath and imports its nuclei."""
    return (files("nucleate.export") / "qupath" / "segment_with_nucleate.groovy").read_text(encoding="utf-8")


def write_qupath_script(path: Path) -> None:
    """Write `qupath_script` to a file.

    Raises:
        ResultsError: the file can't be written.
    """
    write_text(path, qupath_script())
