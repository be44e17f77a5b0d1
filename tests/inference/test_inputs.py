from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleate.errors import DataError
from nucleate.inference import collect_inputs


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path)


def names(inputs: list[object]) -> list[str]:
    return [item.name for item in inputs]  # type: ignore[attr-defined]


def test_folder_gives_its_images_recursively_and_sorted(tmp_path: Path) -> None:
    write(tmp_path / "b.png", tmp_path / "a" / "c.TIF", tmp_path / "a" / "a.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    assert names([*collect_inputs(tmp_path)]) == ["a", "c", "b"]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / ".a.png", tmp_path / ".hidden" / "b.png", tmp_path / "c.png")
    assert names([*collect_inputs(tmp_path)]) == ["c"]


def test_pattern_is_expanded_by_us(tmp_path: Path) -> None:
    write(tmp_path / "a1.png", tmp_path / "a2.png", tmp_path / "b.png")
    assert names([*collect_inputs(str(tmp_path / "a*.png"))]) == ["a1", "a2"]


def test_pattern_takes_images_only_and_searches_matched_folders(tmp_path: Path) -> None:
    write(tmp_path / "set1" / "a.png", tmp_path / "setb.png")
    (tmp_path / "set.txt").write_text("no image")
    assert names([*collect_inputs(str(tmp_path / "set*"))]) == ["a", "setb"]


def test_double_star_descends(tmp_path: Path) -> None:
    write(tmp_path / "x" / "y" / "a.png")
    assert names([*collect_inputs(str(tmp_path / "**" / "*.png"))]) == ["a"]


def test_existing_name_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    write(tmp_path / "fat [white]" / "a[1].png")
    assert names([*collect_inputs([tmp_path / "fat [white]", tmp_path / "fat [white]" / "a[1].png"])]) == ["a[1]"]


def test_arguments_keep_their_order_and_each_image_comes_once(tmp_path: Path) -> None:
    write(tmp_path / "a.png", tmp_path / "b.png")
    assert names([*collect_inputs([tmp_path / "b.png", tmp_path, tmp_path / "." / "b.png"])]) == ["b", "a"]


def test_file_that_is_named_may_have_any_suffix(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.dat")
    assert names([*collect_inputs(tmp_path / "a.dat")]) == ["a"]


def test_same_stem_in_two_folders_keeps_the_relative_path(tmp_path: Path) -> None:
    write(tmp_path / "liver" / "01.png", tmp_path / "fat" / "01.png", tmp_path / "fat" / "02.png")
    inputs = collect_inputs([tmp_path / "liver", tmp_path / "fat"])
    assert names([*inputs]) == ["liver/01", "fat/01", "02"]
    assert [item.file for item in inputs] == ["liver/01.png", "fat/01.png", "02.png"]


def test_stems_that_differ_in_case_alone_collide(tmp_path: Path) -> None:
    write(tmp_path / "x" / "A.png", tmp_path / "y" / "a.png")
    assert names([*collect_inputs(tmp_path)]) == ["x/A", "y/a"]


def test_same_stem_with_two_suffixes_keeps_the_suffix(tmp_path: Path) -> None:
    write(tmp_path / "a.png", tmp_path / "a.jpg")
    assert names([*collect_inputs(tmp_path)]) == ["a.jpg", "a.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no two names that differ in case alone")
def test_names_that_differ_in_case_alone_in_one_folder_are_numbered(tmp_path: Path) -> None:
    write(tmp_path / "A.png", tmp_path / "a.png")
    found = names([*collect_inputs(tmp_path)])
    assert len({name.casefold() for name in found}) == len(found)


def test_output_inside_an_input_folder_is_not_searched(tmp_path: Path) -> None:
    write(tmp_path / "a.png", tmp_path / "out" / "b.png")
    assert names([*collect_inputs(tmp_path, leave_out=tmp_path / "out")]) == ["a"]
    assert names([*collect_inputs(str(tmp_path / "**" / "*.png"), leave_out=tmp_path / "out")]) == ["a"]


@pytest.mark.parametrize(
    ("source", "said"),
    [("missing.png", "no such file or folder"), ("*.png", "no image matches"), (".", "no image in this folder")],
)
def test_source_without_an_image_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=said) as error:
        collect_inputs(source)
    assert "\n" not in str(error.value)


def test_all_sources_without_an_image_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"and 2 more"):
        collect_inputs([tmp_path / "a", tmp_path / "b", tmp_path / "c"])


def test_no_source_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to segment"):
        collect_inputs([])


def test_arrays_are_numbered() -> None:
    grey = np.zeros((4, 5), np.uint8)
    inputs = collect_inputs([grey, grey])
    assert names([*inputs]) == ["array_1", "array_2"]
    assert inputs[0].read().shape == (4, 5, 3)


def test_single_array_needs_no_list() -> None:
    assert names([*collect_inputs(np.zeros((4, 5, 3), np.uint8))]) == ["array"]


def test_array_and_file_of_one_name_stay_apart(tmp_path: Path) -> None:
    write(tmp_path / "array.png")
    inputs = collect_inputs([np.zeros((4, 5), np.uint8), tmp_path / "array.png"])
    assert names([*inputs]) == ["array", "array.png"]


def test_array_of_unknown_range_is_refused_with_its_name() -> None:
    with pytest.raises(DataError, match="array_2: pixels of type float64 from 9 to 9"):
        collect_inputs([np.zeros((4, 5), np.uint8), np.full((4, 5), 9.0)])


def test_checksum_tells_arrays_of_other_shape_apart() -> None:
    first, second = collect_inputs([np.zeros((4, 6), np.uint8), np.zeros((6, 4), np.uint8)])
    assert first.sha256() != second.sha256()


def test_checksum_of_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    (item,) = collect_inputs(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="can't be read"):
        item.sha256()


def test_um_per_pixel_comes_from_whoever_gave_the_image_else_from_its_file(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.png", dpi=(50_800, 50_800))
    (item,) = collect_inputs(tmp_path / "a.png")
    assert item.mpp is None
    assert item.read_mpp() == pytest.approx(0.5, rel=1e-3)
    assert replace(item, mpp=0.3).read_mpp() == 0.3
    (array,) = collect_inputs(np.zeros((4, 5), np.uint8))
    assert array.read_mpp() is None
