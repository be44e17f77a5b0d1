"""An audit as files: `audit.json`, `audit.html` and `statistics.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nucleate.data.audit.pages import audit_to_html, statistics_to_html
from nucleate.data.audit.report import JSON_NAME, Audit
from nucleate.data.audit.statistics import dataset_statistics
from nucleate.files import write_json, write_text

HTML_NAME, STATISTICS_NAME = "audit.html", "statistics.html"
AUDIT_NAMES = (JSON_NAME, HTML_NAME, STATISTICS_NAME)


def write_audit(
    folder: Path, audit: Audit, *, name: str, facts: Sequence[tuple[str, str]] = (), recorded: Mapping[str, Any]
) -> None:
    """Write an audit's three files into a folder, which is made if needed.

    Args:
        folder: for the files.
        audit: of a data set.
        name: of the data set, for the pages' titles.
        facts: more names and values for the head of `audit.html`.
        recorded: what `audit.json` holds besides the audit.

    Raises:
        ResultsError: the folder can't be written.
    """
    write_json(folder / JSON_NAME, {**recorded, **audit.to_dict()}, indent=1)
    write_text(folder / HTML_NAME, audit_to_html(audit, title=f"Audit of {name}", facts=facts))
    statistics = dataset_statistics(audit.images)
    write_text(folder / STATISTICS_NAME, statistics_to_html(audit, statistics, title=f"Statistics of {name}"))
