from __future__ import annotations

from pathlib import Path

import pytest

from nucleate.data.grouping import Groupable, groups_of, read_grouping, unused_names
from nucleate.errors import ConfigError, DataError


def images(*keys: str, organ: str | None = None, species: str | None = None) -> list[Groupable]:
    return [Groupable(key=key, file_name=key.replace("/", "_"), organ=organ, species=species) for key in keys]


def write_table(folder: Path, text: str) -> str:
    path = folder / "groups.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_nothing_groups_each_image_by_itself() -> None:
    assert groups_of(images("a/1.png", "a/2.png"), None) == ["a/1.png", "a/2.png"]
    assert unused_names(images("a/1.png"), None) == []


def test_organ_and_species_are_what_the_source_tells() -> None:
    liver = images("human liver/1.png", organ="human liver", species="human")
    assert groups_of(liver, read_grouping("organ")) == ["human liver"]
    assert groups_of(liver, read_grouping("species")) == ["human"]


@pytest.mark.parametrize(
    ("pattern", "group"),
    [(r"(\d\d)_", "07"), (r"^p\d+", "p07"), (r"_(\d)\.png$", "3"), (r"(?P<patient>p\d+)_(\d)", "p07")],
)
def test_a_pattern_groups_by_its_first_bracket_in_the_file_name(pattern: str, group: str) -> None:
    assert groups_of(images("99_folder/p07_3.png"), read_grouping(f"pattern:{pattern}")) == [group]


@pytest.mark.parametrize("given", ["organ", "species", r"pattern:slide(\d+)", r"pattern:(x)?b", "pattern:"])
def test_images_without_a_group_are_counted_and_the_first_named(given: str) -> None:
    with pytest.raises(DataError, match=r"a/b\.png: --group-by .* of 2 of 2 images"):
        groups_of(images("a/b.png", "a/bc.png"), read_grouping(given))


def test_a_table_names_images_by_path_file_name_or_stem(tmp_path: Path) -> None:
    text = "\ufeffgroup,image,note\np1,a\\1.png,x\np1,a_2.png,\np2,3.png,\np2,4,\n"
    grouping = read_grouping(write_table(tmp_path, text))
    assert groups_of(images("a/1.png", "a/2.png", "b/3.png", "b/4.png"), grouping) == ["p1", "p1", "p2", "p2"]
    assert unused_names(images("a/1.png"), grouping) == ["a_2.png", "3.png", "4"]
    assert len(grouping.digest) == 16
    assert read_grouping("organ").digest == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image,patient\na.png,1\n", "no column 'group'"),
        ("", "no column 'image'"),
        ("image,group\n", "the table is empty"),
        ("image,group\na.png,\n", "line 2: an image and a group are needed"),
        ("image,group\na.png\n", "line 2: an image and a group are needed"),
        ("image,group\na.png,1\na.png,2\n", r"line 3: a\.png is in '1' and in '2'"),
    ],
)
def test_an_unsound_table_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_grouping(write_table(tmp_path, text))


def test_what_is_no_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_grouping(str(tmp_path / "gone.csv"))
    (tmp_path / "bytes.csv").write_bytes(b"image,group\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="no table"):
        read_grouping(str(tmp_path / "bytes.csv"))
    monkeypatch.setattr("nucleate.data.grouping.MOST_TABLE_BYTES", 3)
    with pytest.raises(DataError, match="more than 3 bytes"):
        read_grouping(str(tmp_path / "bytes.csv"))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("a/1.png,p1\n", r"a/2\.png: no row of .*groups\.csv names it \(and 1 more"),
        ("1.png,p1\n2.png,p1\n", r"1\.png of .*groups\.csv stands for 2 images: give their paths"),
        ("a/1.png,p1\na_1.png,p2\na/2.png,p1\nb/1.png,p1\n", r"a/1\.png: .*into different groups"),
    ],
)
def test_images_that_a_table_does_not_settle_are_named(tmp_path: Path, rows: str, problem: str) -> None:
    grouping = read_grouping(write_table(tmp_path, "image,group\n" + rows))
    with pytest.raises(DataError, match=problem):
        groups_of(images("a/1.png", "a/2.png", "b/1.png"), grouping)


@pytest.mark.parametrize("given", ["patient", "pattern:(", "groups.txt", ""])
def test_other_words_are_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="--group-by"):
        read_grouping(given)
