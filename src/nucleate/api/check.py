"""`check`: a data set looked over, without a change to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from nucleate.data.audit.files import AUDIT_NAMES, write_audit
from nucleate.data.audit.findings import LEVELS
from nucleate.data.audit.report import JSON_NAME, Audit
from nucleate.data.audit.statistics import split_counts
from nucleate.data.audited import CocoAudit
from nucleate.data.coco_sets import CocoSet, read_coco_sets
from nucleate.data.report import tally
from nucleate.errors import DataError, ResultsError

MADE_BY = "nucleate check"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckReport:
    """The outcome of `check`.

    Attributes:
        data: what was checked.
        audit: what was found.
        splits: (name, images, nuclei) by split.
        output: the folder of the pages, None where none were written.
    """

    data: Path
    audit: Audit
    splits: tuple[tuple[str, int, int], ...]
    output: Path | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """Return a line an error; () where there are warnings and notes alone."""
        return self.audit.lines_of("error")

    def summary(self) -> str:
        """Return a short table for people."""
        audit = self.audit
        lines = [f"{self.data}: {len(audit.images):,} images, {audit.nuclei:,} nuclei"]
        lines += [f"{name:8}{images:>8,} images{nuclei:>10,} nuclei" for name, images, nuclei in self.splits]
        rows = [(each.level, each.count, each.what, each.items) for each in audit.findings]
        rows += [("warning", len(items), reason, tuple(items)) for reason, items in audit.mended.items()]
        for level, count, what, items in sorted(rows, key=lambda row: LEVELS.index(row[0])):
            lines.append(f"{level:8}{count:>8,}  {what}: {items[0]}" + (", ..." if len(items) > 1 else ""))
        errors, warnings = audit.count_of("error"), audit.count_of("warning") + len(audit.mended)
        lines.append(f"{errors} kinds of errors, {warnings} of warnings" if errors or warnings else "no errors")
        if self.output is not None:
            lines.append(f"written: {', '.join(AUDIT_NAMES)} in {self.output}")
        return "\n".join(lines)


def check(data: Path, *, images: Path | None = None, output: Path | None = None) -> CheckReport:
    """Look a data set over: identical images across splits, damaged entries, crumbs, overlaps, sizes and more.

    Nothing is changed, and nothing written without --output. Exit code 1 where there are errors, 0 with warnings alone,
    2 where nothing can be checked.

    Args:
        data: A folder that `prepare` made, a COCO JSON file, or a folder of such files, which then are splits.
        images: Folder of the images, where they don't lie beside their annotations.
        output: Folder for audit.json, audit.html and statistics.html; nothing is written unless given.

    Raises:
        DataError: no COCO file, one that can't be read, or none of its images can be used.
        ResultsError: the output folder holds another audit, or can't be written.
    """
    data = Path(data)
    sets = read_coco_sets(data, images_dir=images)
    if output is not None:
        _refuse_another(Path(output), sets)
    found = CocoAudit()
    console = Console(stderr=True)
    for each in track(sets.images, "check", console=console, disable=not console.is_terminal, transient=True):
        found.read(each.record, each.file, each.path, splits=each.splits)
    problems = found.findings(sets.problems)
    if not found.images:
        first = next((each.items[0] for each in problems if each.items), "the file names no image")
        raise DataError(f"none of {len(sets.images)} images can be checked, first: {first}", path=data)
    audit = Audit.of(found.images, problems=problems, mended=tally(found.mended))
    if output is not None:
        write_audit(Path(output), audit, name=data.stem or data.resolve().name, recorded=_recorded(sets))
    return CheckReport(
        data=data, audit=audit, splits=split_counts(audit.images), output=None if output is None else Path(output)
    )


def _recorded(sets: CocoSet) -> dict[str, Any]:
    return {"made_by": MADE_BY, "files": [{"name": path.name, "sha256": digest} for path, digest in sets.files]}


def _refuse_another(output: Path, sets: CocoSet) -> None:
    """Refuse a folder with files of these names that are not an audit of the same files."""
    if output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output names a folder", path=output)
    if not any((output / name).exists() for name in AUDIT_NAMES):
        return
    try:
        before = json.loads((output / JSON_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    same = isinstance(before, Mapping) and all(before.get(key) == value for key, value in _recorded(sets).items())
    if not same:
        raise ResultsError("holds the audit of something else: choose another --output", path=output)
