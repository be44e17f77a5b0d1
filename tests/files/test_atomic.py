from __future__ import annotations

import json
from pathlib import Path

import pytest

from nucleate.errors import ResultsError
from nucleate.files import write_json, write_path, write_text


def test_a_file_is_written_whole_and_its_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "µ\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "µ\n".encode()


def test_an_error_while_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def interrupted() -> None:
        with write_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_the_temporary_name_keeps_the_suffix(tmp_path: Path) -> None:
    with write_path(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"x")
        assert temporary.suffix == ".png"


def test_a_folder_that_is_a_file_is_a_results_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultsError, match="can't be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_json_is_compact_unless_indented(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1, "µ"]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{"a":[1,"µ"]}\n'
    write_json(tmp_path / "a.json", {"a": 1}, indent=1)
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())
