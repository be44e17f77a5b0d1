from __future__ import annotations

from pathlib import Path

import pytest

from nucleate.data.staging import staged_folder, strangers_in
from nucleate.errors import ResultsError
from nucleate.files import folder_lock


def build(output: Path, text: str = "new") -> None:
    with staged_folder(output) as folder:
        (folder / "a.txt").write_text(text)


def test_the_folder_appears_whole_with_nothing_beside_it(tmp_path: Path) -> None:
    build(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a.txt").read_text() == "new"


def test_an_old_folder_is_replaced(tmp_path: Path) -> None:
    build(tmp_path / "out", "old")
    build(tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_the_old_folder_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    build(tmp_path / "out", "old")

    def interrupted() -> None:
        with staged_folder(tmp_path / "out") as folder:
            (folder / "a.txt").write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a.txt").read_text() == "old"


def test_what_a_crash_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".out.part" / "new").mkdir(parents=True)
    (tmp_path / ".out.part" / "new" / "crashed.txt").write_text("x")
    build(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt"]


def test_a_second_builder_of_the_same_folder_is_refused(tmp_path: Path) -> None:
    with folder_lock(tmp_path / ".out.part"), pytest.raises(ResultsError, match="another nucleate process"):
        build(tmp_path / "out")


def test_a_failing_swap_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "out", "old")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("no space")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ResultsError, match="no space"):
        build(tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == "old"


def test_unknown_names_in_a_folder_are_listed(tmp_path: Path) -> None:
    build(tmp_path / "out")
    assert strangers_in(tmp_path / "out", {"a.txt"}) == []
    assert strangers_in(tmp_path / "out", ()) == ["a.txt"]
    assert strangers_in(tmp_path / "gone", ()) == []
