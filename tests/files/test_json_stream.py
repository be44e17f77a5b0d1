"""Long JSON lists are read item by item."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from nucleate.errors import DataError
from nucleate.files import json_stream
from nucleate.files.json_stream import read_items

ABOUT = {"type": "a", "about": {"text": 'says "items": [1]'}}
ITEMS = [{"n": 1}, [2, 3], "four ]", 5.5, None]


@pytest.mark.parametrize("characters", [1, 7, 1000])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_what_stands_before_a_list_comes_first_and_then_its_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, characters: int, name: str
) -> None:
    """A list's name within a text before it was taken for the list."""
    monkeypatch.setattr(json_stream, "CHUNK_CHARS", characters)
    content = json.dumps({**ABOUT, "items": ITEMS}, indent=1).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(read_items(tmp_path / name, "items")) == [ABOUT, *ITEMS]


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"a": 1}', '{"items": 3}', '{"items": [1', '{"items": [1 2]}', '{"a" 1}', "\xff"]
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="no JSON with a list of 'items' that can be read") as caught:
        list(read_items(tmp_path / "a.json", "items"))
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(read_items(tmp_path / "a.json", "items"))
    packed = gzip.compress(json.dumps({"items": list(range(5000))}).encode())
    (tmp_path / "a.json.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="that can be read"):
        list(read_items(tmp_path / "a.json.gz", "items"))
