from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nucleate.errors import ResultsError
from nucleate.files import folder_lock

HOLD = """
import sys, pathlib
from nucleate.files import folder_lock
with folder_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ResultsError, match="another nucleate process"), folder_lock(tmp_path):
            pass
        process.kill()
        process.wait()
    with folder_lock(tmp_path):
        pass


def test_the_folder_is_made(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_folders_place_is_a_results_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(ResultsError, match="can't be written"), folder_lock(tmp_path / "a"):
        pass
