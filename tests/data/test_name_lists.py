from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.data.name_lists import names_of, read_name_list, unique_file_names
from nucleate.data.splits import SplitItem, SplitPlan, make_split
from nucleate.errors import ConfigError, DataError


def test_the_packaged_list_holds_532_names() -> None:
    names = read_name_list("nuinsseg-532").names
    assert len(set(names)) == 532
    assert names[0] == "human_bladder_01.png"


@pytest.mark.shared_data
def test_the_packaged_list_is_the_shared_release(shared_data: Path) -> None:
    """Its synthetic twin is `test_the_packaged_list_holds_532_names`."""
    found = {path.name for path in (shared_data / "nuinsseg").glob("*/tissue images/*.png")}
    assert set(read_name_list("nuinsseg-532").names) == found


def test_a_text_file_holds_a_name_a_line_and_comments(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# ours\na.png\n\n  b  \n", encoding="utf-8")
    assert read_name_list(str(tmp_path / "a.txt")).names == ("a.png", "b")


def test_a_json_list_of_names_is_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["a", "b"]')
    listed = read_name_list(str(tmp_path / "a.json"))
    assert (listed.names, listed.split) == (("a", "b"), None)


def test_a_folds_file_brings_its_split(tmp_path: Path) -> None:
    items = [SplitItem(key=f"{x}.png", file_name=f"{x}.png", stratum="s", group=f"{x}.png") for x in "abcdef"]
    lists = make_split(items, SplitPlan(folds=3))
    (tmp_path / "k.json").write_text(json.dumps(lists.to_dict()))
    listed = read_name_list(str(tmp_path / "k.json"))
    assert listed.split == lists
    assert sorted(listed.names) == [item.file_name for item in items]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "# nothing\n", "names no image"),
        ("a.json", "[1]", "a list of names"),
        ("a.json", "{", "not JSON"),
        ("a.json", '{"train": 3}', "train"),
    ],
)
def test_files_that_hold_no_names_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_name_list(str(tmp_path / name))


def test_a_binary_file_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match="no list of names"):
        read_name_list(str(tmp_path / "a.txt"))


def test_an_unknown_list_names_those_in_the_package() -> None:
    with pytest.raises(ConfigError, match="nuinsseg-532"):
        read_name_list("gone.txt")


def test_an_image_answers_to_path_name_and_stem() -> None:
    names = names_of("human liver/tissue images/a.tif", "liver_a.png")
    assert names == {"human liver/tissue images/a.tif", "a.tif", "a", "liver_a.png", "liver_a"}


def test_a_name_of_its_own_is_kept_and_shared_ones_get_their_folders_then_their_source() -> None:
    keys = [("one", "x/a.png"), ("one", "y/A.tif"), ("one", "z/b.jpg"), ("two", "x/a.png")]
    assert unique_file_names(keys) == ["one_x_a.png", "y_A.png", "b.png", "two_x_a.png"]


def test_names_that_no_folder_tells_apart_are_numbered() -> None:
    assert unique_file_names([("s", "a.png"), ("s", "a.tif")]) == ["s_a_2.png", "s_a_3.png"]


def test_names_are_legal_on_every_system() -> None:
    assert unique_file_names([("s", "a:b?.png"), ("s", "con.png"), ("s", "dots. .png")]) == [
        "a_b_.png",
        "_con.png",
        "dots.png",
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["s", "t"]), st.text(alphabet="aA_/.", min_size=1, max_size=6).map(lambda x: f"q{x}q.png")
        ),
        unique=True,
    )
)
def test_no_two_images_share_a_name(keys: list[tuple[str, str]]) -> None:
    names = unique_file_names(keys)
    assert len({name.lower() for name in names}) == len(keys)
