"""Folds and shares of images: seeded, sorted, with groups kept together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleate.errors import ConfigError, DataError

VALIDATION_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitItem:
    """What a split needs to know of an image.

    Attributes:
        key: the source path that the order is decided by.
        file_name: in the data set.
        stratum: organ, or the source where no organ is known; shares take equally from each.
        group: images of one group stay together; the key itself where nothing is grouped.
    """

    key: str
    file_name: str
    stratum: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """Which split to make.

    Attributes:
        share: of the images for training, the rest for validation; None without.
        folds: number of folds; None without.
        fold: the one for testing.
        seed: of numpy's RandomState.
        grouping: words for the name, "" without groups.
        stratified: every fold has its share of every stratum.
    """

    share: float | None = None
    folds: int | None = None
    fold: int = 0
    seed: int = 19
    grouping: str = ""
    stratified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLists:
    """File names by split, each in the order of the images' keys.

    Attributes:
        name: `kfold-5-seed19`, `share-0.8-seed19` and the like.
        fold: the one in `test`, None without folds.
        folds: every fold's test images.
        train: file names.
        val: file names.
        test: file names.
        grouping: what the images were grouped by, "" for nothing.
        groups: (file name, group), where they were.
    """

    name: str
    fold: int | None
    folds: tuple[tuple[str, ...], ...]
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    grouping: str = ""
    groups: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values that folds/NAME.json holds."""
        grouped = {"grouping": self.grouping, "groups": dict(self.groups)} if self.grouping else {}
        return {
            "name": self.name,
            "fold": self.fold,
            **grouped,
            "train": list(self.train),
            "val": list(self.val),
            "test": list(self.test),
            "folds": [list(fold) for fold in self.folds],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SplitLists:
        """Return what `to_dict` gave.

        Raises:
            DataError: a list is missing or holds something else than texts.
        """
        lists: dict[str, tuple[str, ...]] = {}
        for key in ("train", "val", "test"):
            names = value.get(key)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise DataError("a list of file names is needed", item=key)
            lists[key] = tuple(names)
        fold, name = value.get("fold"), value.get("name")
        folds, grouping, groups = value.get("folds"), value.get("grouping"), value.get("groups")
        return cls(
            name=name if isinstance(name, str) else "given",
            fold=fold if isinstance(fold, int) else None,
            folds=tuple(tuple(map(str, names)) for names in folds) if isinstance(folds, list) else (),
            grouping=grouping if isinstance(grouping, str) else "",
            groups=tuple((str(name), str(group)) for name, group in groups.items()) if isinstance(groups, dict) else (),
            **lists,
        )


def make_split(items: Sequence[SplitItem], plan: SplitPlan) -> SplitLists:
    """Return the lists of a plan; the items' own order does not matter.

    With folds: the fold is `test`, a tenth of the rest, stratified, is `val`. With a share: `train` and `val`.
    With neither: everything is `train`.

    Raises:
        ConfigError: more folds than images or groups.
    """
    ordered = sorted(items, key=lambda item: item.key)
    suffix = f"seed{plan.seed}" + (f"-by-{plan.grouping}" if plan.grouping else "")
    if plan.folds is not None:
        make = _stratified_folds if plan.stratified else _group_folds
        folds = [_of_groups(ordered, groups) for groups in make(ordered, plan.folds, plan.seed)]
        tested = {item.key for item in folds[plan.fold]}
        rest = [item for item in ordered if item.key not in tested]
        return _lists(
            f"{'stratified-' if plan.stratified else ''}kfold-{plan.folds}-{suffix}",
            (_drawn(rest, VALIDATION_SHARE, plan.seed), folds[plan.fold], rest),
            fold=plan.fold,
            folds=folds,
        )
    if plan.share is not None:
        val = _drawn(ordered, 1 - plan.share, plan.seed)
        return _lists(f"share-{plan.share:g}-{suffix}", (val, [], ordered), fold=None, folds=[])
    return _lists("all", ([], [], ordered), fold=None, folds=[])


def kfold_indices(count: int, folds: int, *, seed: int) -> list[NDArray[np.int64]]:
    """Return each fold's sorted test indices, as scikit-learn's KFold(folds, shuffle=True, random_state=seed).

    Args:
        count: number of things.
        folds: 2 to count.
        seed: of numpy's RandomState, whose shuffle is the same in every version of numpy.

    Raises:
        ConfigError: folds out of range.
    """
    _check_folds(folds, count)
    order = np.arange(count)
    np.random.RandomState(seed).shuffle(order)
    sizes = np.full(folds, count // folds)
    sizes[: count % folds] += 1
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def _check_folds(folds: int, count: int) -> None:
    if count < 2:
        raise ConfigError(f"{folds} folds of {count} image or group: at least 2 are needed")
    if not 2 <= folds <= count:
        raise ConfigError(f"{folds} folds of {count} images or groups: give 2 to {count}")


def _stratified_folds(items: Sequence[SplitItem], folds: int, seed: int) -> list[set[str]]:
    """Return groups by fold: the largest first, each to the fold that has least of its strata, then fewest images.

    Single images are spread to within one, of each stratum and of all.
    """
    names = sorted({item.group for item in items})
    _check_folds(folds, len(names))
    strata = sorted({item.stratum for item in items})
    counts = {name: np.zeros(len(strata)) for name in names}
    for item in items:
        counts[item.group][strata.index(item.stratum)] += 1
    shuffled = [names[index] for index in np.random.RandomState(seed).permutation(len(names))]
    totals = sum(counts.values(), start=np.zeros(len(strata)))
    held = np.zeros((folds, len(strata)))
    chosen: list[set[str]] = [set() for _ in range(folds)]
    # Stratum by stratum, so that what is left of each after full rounds goes to the smallest folds.
    for name in sorted(shuffled, key=lambda each: (-float(counts[each].sum()), int(counts[each].argmax()))):
        # By how much the folds' squared shares of the strata would rise; rounded, so that equal ones are equal.
        rise = np.round((((held + counts[name]) ** 2 - held**2) / totals**2).sum(axis=1), 12)
        fold = int(np.lexsort((held.sum(axis=1), rise))[0])
        held[fold] += counts[name]
        chosen[fold].add(name)
    return chosen


def _group_folds(items: Sequence[SplitItem], folds: int, seed: int) -> list[set[str]]:
    groups = list(dict.fromkeys(item.group for item in items))
    grouped = len(groups) < len(items)
    names = sorted(groups) if grouped else groups
    return [{names[index] for index in part} for part in kfold_indices(len(names), folds, seed=seed)]


def _of_groups(items: Sequence[SplitItem], groups: set[str]) -> list[SplitItem]:
    return [item for item in items if item.group in groups]


def _drawn(items: Sequence[SplitItem], share: float, seed: int) -> list[SplitItem]:
    """Return a share of the items, spread over the strata, or whole groups that come nearest to it."""
    target = round(share * len(items))
    if len(items) > 1:
        target = min(max(target, 1), len(items) - 1)
    random = np.random.RandomState(seed)
    if len({item.group for item in items}) < len(items):
        return _of_groups(items, _groups_near(items, target, random))
    # Systematic sampling: strata one after the other, shuffled inside, every n-th taken, so that each stratum
    # gives its share to within one image.
    by_stratum: list[SplitItem] = []
    for stratum in sorted({item.stratum for item in items}):
        members = [item for item in items if item.stratum == stratum]
        by_stratum.extend(members[index] for index in random.permutation(len(members)))
    start = random.random_sample()
    chosen = {by_stratum[int((index + start) * len(items) / target)].key for index in range(target)}
    return [item for item in items if item.key in chosen]


def _groups_near(items: Sequence[SplitItem], target: int, random: np.random.RandomState) -> set[str]:
    names = sorted({item.group for item in items})
    sizes = {name: sum(item.group == name for item in items) for name in names}
    chosen: set[str] = set()
    taken = 0
    for index in random.permutation(len(names))[:-1]:
        size = sizes[names[index]]
        if abs(taken + size - target) < abs(taken - target):
            chosen.add(names[index])
            taken += size
    # A validation set without an image would select nothing: the smallest group then goes there.
    if not chosen and len(names) > 1:
        chosen.add(min(names, key=lambda name: (sizes[name], name)))
    return chosen


def _lists(
    name: str,
    parts: tuple[list[SplitItem], list[SplitItem], list[SplitItem]],
    *,
    fold: int | None,
    folds: list[list[SplitItem]],
) -> SplitLists:
    val, test, rest = parts
    held = {item.key for item in val}
    return SplitLists(
        name=name,
        fold=fold,
        folds=tuple(tuple(item.file_name for item in part) for part in folds),
        train=tuple(item.file_name for item in rest if item.key not in held),
        val=tuple(item.file_name for item in val),
        test=tuple(item.file_name for item in test),
    )
