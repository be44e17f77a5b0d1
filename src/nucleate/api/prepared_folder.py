"""A folder that `prepare` made before: whether it is the one that is asked for, and whether it may be replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nucleate.data.audit.files import AUDIT_NAMES
from nucleate.data.audit.report import JSON_NAME
from nucleate.data.report import PrepareReport
from nucleate.data.staging import strangers_in
from nucleate.errors import ResultsError

OWN_NAMES = frozenset({"images", "vague_areas", "annotations", "folds", *AUDIT_NAMES})


def finished_report(output: Path, recorded: dict[str, Any], *, fresh: bool) -> PrepareReport | None:
    """Return the report of a finished data set of the same settings; None where the way is free.

    Raises:
        ResultsError: the folder holds anything else and is not to be replaced.
    """
    if output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output names a folder", path=output)
    if not strangers_in(output, ()):
        return None
    try:
        audit = json.loads((output / JSON_NAME).read_text(encoding="utf-8"))
        report = PrepareReport.from_dict(audit["report"], output)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            "is not empty and no data set that `prepare` made: choose another --output", path=output
        ) from (error)
    differing = [key for key, value in recorded.items() if audit.get(key) != value]
    if not differing and not fresh:
        return report
    if not fresh:
        what = _difference(recorded, audit, differing[0])
        raise ResultsError(f"holds a data set of other {what}: --fresh replaces it", path=output)
    strangers = strangers_in(output, OWN_NAMES)
    if strangers:
        raise ResultsError(
            f"--fresh would delete {strangers[0]!r}, which `prepare` did not write: move it away",
            path=output,
        )
    return None


def _difference(recorded: dict[str, Any], audit: dict[str, Any], key: str) -> str:
    before = audit.get(key)
    if key != "settings" or not isinstance(before, dict):
        return {"sources": "sources", "groups": "groups (--group-by)"}.get(key, "images (--only)")
    names = [name for name, value in recorded["settings"].items() if before.get(name) != value]
    return f"settings (--{names[0].replace('_', '-')} was {before.get(names[0])})" if names else "settings"
