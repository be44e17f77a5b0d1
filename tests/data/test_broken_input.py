from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nucleate.api import prepare
from nucleate.data.sources.detection import LOOKED_FOR
from tests.data.broken_inputs import CASES, picture, put, roi_bytes, zipped


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run all cases in one process of its own: its memory and its stderr are the command's."""
    root = tmp_path_factory.mktemp("broken")
    command = [sys.executable, "-m", "tests.data.broken_inputs", str(root)]
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_is_one_line_and_exit_code_2_and_leaves_nothing(name: str, outcomes: dict[str, Any]) -> None:
    outcome = outcomes[name]
    lines = outcome["said"].strip().splitlines()
    assert outcome["code"] == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("nucleate: ")
    assert CASES[name][2] in lines[0]
    assert outcome["written"] == []


def test_all_of_them_together_take_less_than_a_gibibyte(outcomes: dict[str, Any]) -> None:
    peaks = {name: outcome["peak_mib"] for name, outcome in outcomes.items()}
    assert max(peaks.values()) < 1024, peaks


def test_every_format_has_a_broken_file() -> None:
    assert {kind for kind, _, _ in CASES.values()} == set(LOOKED_FOR)


def test_names_in_a_zip_lead_nowhere(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "deep" / "a.png")
    names = {"../../../evil.roi": roi_bytes(), "/evil.roi": roi_bytes(), "C:\\evil.roi": roi_bytes()}
    put(tmp_path / "in" / "deep", "a.zip", zipped(names))
    report = prepare([tmp_path / "in"], output=tmp_path / "out")
    assert report.nuclei == 3
    assert not list(tmp_path.rglob("*evil*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
