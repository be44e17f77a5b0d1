from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nucleate.api import PrepareSettings, prepare
from nucleate.data import FoldSplit, read_dataset, read_folds
from nucleate.errors import ConfigError, DataError
from tests.synthetic import write_label_folder

NAME = "kfold-3-seed19"


def prepared(folder: Path, **options: Any) -> Path:
    write_label_folder(folder / "source", count=9, height_px=48, width_px=48, nuclei=1)
    output: Path = folder / "data"
    prepare([folder / "source"], output=output, settings=PrepareSettings(**{"folds": 3, **options}))
    return output


def lists(split: FoldSplit) -> dict[str, list[str]]:
    return {"train": list(split.train), "val": list(split.val), "test": list(split.test)}


def change(data: Path, name: str = NAME, **values: Any) -> None:
    path = data / "folds" / f"{NAME}.json"
    content = json.loads(path.read_text())
    (data / "folds" / f"{name}.json").write_text(json.dumps({**content, "name": name, **values}))


@pytest.mark.parametrize("options", [{}, {"stratify": True}, {"group_by": r"pattern:_0([0-9])"}])
def test_every_fold_is_what_prepare_makes_of_it(tmp_path: Path, options: dict[str, Any]) -> None:
    data = prepared(tmp_path, fold=1, **options)
    (name,) = [path.stem for path in (data / "folds").iterdir()]
    folds = read_folds(data, name)
    for number in range(3):
        again = tmp_path / f"fold {number}"
        prepare([tmp_path / "source"], output=again, settings=PrepareSettings(folds=3, fold=number, **options))
        content = json.loads((again / "folds" / f"{name}.json").read_text())
        assert lists(folds[number]) == {part: content[part] for part in ("train", "val", "test")}


def test_the_folds_test_every_image_once_and_share_none(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    folds = read_folds(data, f"{NAME}.json")
    everything = {record.file_name for record in read_dataset(data).records}
    assert sorted(name for fold in folds for name in fold.test) == sorted(everything)
    for fold in folds:
        assert {*fold.train, *fold.val, *fold.test} == everything
        assert fold.val


def test_folds_of_another_data_set_get_a_tenth_to_choose_by(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    names = sorted(record.file_name for record in read_dataset(data).records)
    change(data, "mine", fold=None, folds=[names[:4], names[4:8]])
    first, second = read_folds(data, "mine")
    assert first.test == tuple(names[:4])
    assert {*first.train, *first.val} == set(names[4:8])
    assert {*second.train, *second.val} == set(names[:4])
    assert len(first.val) == len(second.val) == 1


def test_folds_that_keep_unknown_groups_together_are_refused(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    names = sorted(record.file_name for record in read_dataset(data).records)
    change(data, "kfold-2-seed19-by-pattern", fold=0, folds=[names[:4], names[4:]])
    with pytest.raises(ConfigError, match="keeps groups together"):
        read_folds(data, "kfold-2-seed19-by-pattern")


def test_unknown_folds_name_those_that_are_there(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    with pytest.raises(ConfigError, match=f"no folds 'kfold-5'.*there are: {NAME}"):
        read_folds(data, "kfold-5")
    with pytest.raises(ConfigError, match="prepare the data with --folds"):
        read_folds(tmp_path, "kfold-5")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"folds": []}, "holds a split and no folds"),
        ({"train": 3}, "a list of file names is needed"),
        ({"folds": [["a.png"], ["b.png"]]}, "2 images are not in the data set, first 'a.png'"),
    ],
)
def test_unsound_folds_are_one_line(tmp_path: Path, values: dict[str, Any], complaint: str) -> None:
    data = prepared(tmp_path)
    change(data, **values)
    with pytest.raises((ConfigError, DataError), match=complaint):
        read_folds(data, NAME)
    (data / "folds" / f"{NAME}.json").write_text("no json")
    with pytest.raises(DataError, match="no file of folds"):
        read_folds(data, NAME)


def test_an_image_on_two_sides_is_refused() -> None:
    with pytest.raises(DataError, match="1 images are in train and in test, first 'a.png'"):
        FoldSplit(name="mine", fold=0, train=("a.png",), val=(), test=("a.png",))


def test_a_part_of_a_data_set_has_its_own_content(tmp_path: Path) -> None:
    data = read_dataset(prepared(tmp_path))
    chosen = [data.records[4].file_name, data.records[1].file_name]
    part = data.subset(chosen)
    assert [record.file_name for record in part.records] == chosen[::-1]
    assert part.nuclei == sum(len(entries) for entries in part.entries.values()) == 2
    document = part.coco()
    assert [image["file_name"] for image in document["images"]] == chosen[::-1]
    assert len(document["annotations"]) == 2
    assert part.fingerprint != data.fingerprint
    assert part.subset(chosen[:1]).records == data.records[4:5]
