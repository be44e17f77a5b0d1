"""The folds of a prepared data set, each with its own images to train on, to choose by and to score once."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from nucleate.data.dataset import CocoDataset, read_dataset
from nucleate.data.splits import SplitItem, SplitLists, SplitPlan, make_split
from nucleate.errors import ConfigError, DataError

_USUAL_SEED = 19
_SEED = re.compile(r"seed(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldSplit:
    """The images of one fold.

    Attributes:
        name: of the folds, `kfold-5-seed19`.
        fold: its number, from 0.
        train: file names of what is learned from.
        val: of what chooses threshold and checkpoint; may be empty.
        test: of what is scored once.
    """

    name: str
    fold: int
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        parts = {"train": self.train, "val": self.val, "test": self.test}
        for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
            both = sorted(set(parts[first]) & set(parts[second]))
            if both:
                raise DataError(f"{len(both)} images are in {first} and in {second}, first {both[0]!r}", item=self.name)


def read_folds(folder: Path, name: str) -> tuple[FoldSplit, ...]:
    """Return the folds that `prepare --folds` left in `folds/NAME.json`.

    The file holds the validation images of the fold that it was prepared for; those of the others are drawn as
    `prepare --fold K` would draw them. Where the file was made for another data set (`prepare --only`), a tenth of the
    images is drawn, each by itself.

    Args:
        folder: that `prepare` made.
        name: the file's, with or without `.json`.

    Raises:
        ConfigError: no such folds, or groups that are not known here.
        DataError: the file is unsound, or names images that the data set lacks.
    """
    path = folder / "folds" / f"{name.removesuffix('.json')}.json"
    if not path.is_file():
        there = sorted(each.stem for each in (folder / "folds").glob("*.json"))
        known = f"there are: {', '.join(there)}" if there else "prepare the data with --folds"
        raise ConfigError(f"no folds {name!r} in {folder / 'folds'}; {known}")
    try:
        given = SplitLists.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, AttributeError) as error:
        raise DataError("is no file of folds", path=path) from error
    except DataError as error:
        raise DataError(error.message, path=path, item=error.item) from error
    if len(given.folds) < 2:
        raise ConfigError("holds a split and no folds: prepare the data with --folds", path=path)
    dataset = read_dataset(folder)
    missing = sorted({each for fold in given.folds for each in fold} - {each.file_name for each in dataset.records})
    if missing:
        raise DataError(f"{len(missing)} images are not in the data set, first {missing[0]!r}", path=path)
    return tuple(_split(dataset, given, fold) for fold in range(len(given.folds)))


def _split(dataset: CocoDataset, given: SplitLists, fold: int) -> FoldSplit:
    if fold == given.fold:
        lists = given
    else:
        items = _items(dataset, given)
        stratified = given.name.startswith("stratified-")
        plan = SplitPlan(folds=len(given.folds), fold=fold, seed=_seed(given.name), stratified=stratified)
        lists = make_split(items, plan)
        if [set(each) for each in lists.folds] != [set(each) for each in given.folds]:
            lists = _drawn(items, given, fold)
    return FoldSplit(name=given.name, fold=fold, train=lists.train, val=lists.val, test=lists.test)


def _drawn(items: list[SplitItem], given: SplitLists, fold: int) -> SplitLists:
    """Return the fold as it is given and a tenth of the rest, where the folds are not of this data set's own making."""
    if "-by-" in given.name and not given.groups:
        raise ConfigError(
            f"{given.name} keeps groups together that are not known here: prepare the data with --folds and --group-by"
        )
    in_folds = {name for names in given.folds for name in names}
    tested = set(given.folds[fold])
    rest = [item for item in items if item.file_name in in_folds - tested]
    drawn = make_split(rest, SplitPlan(share=0.9, seed=_seed(given.name)))
    return SplitLists(
        name=given.name, fold=fold, folds=given.folds, train=drawn.train, val=drawn.val, test=given.folds[fold]
    )


def _items(dataset: CocoDataset, given: SplitLists) -> list[SplitItem]:
    groups = dict(given.groups)
    source_paths = {str(each["file_name"]): each.get("source_path") for each in dataset.coco()["images"]}
    items = []
    for record in dataset.records:
        key = str(source_paths.get(record.file_name) or record.file_name)
        group = groups.get(record.file_name, key)
        stratum = record.organ or record.source
        items.append(SplitItem(key=key, file_name=record.file_name, stratum=stratum, group=group))
    return items


def _seed(name: str) -> int:
    found = _SEED.search(name)
    return int(found[1]) if found else _USUAL_SEED
