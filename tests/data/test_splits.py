from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.data.sources import open_source
from nucleate.data.splits import SplitItem, SplitLists, SplitPlan, kfold_indices, make_split
from nucleate.errors import ConfigError, DataError


def items(count: int, organs: int = 3, by_organ: bool = False) -> list[SplitItem]:
    made = []
    for index in range(count):
        organ = f"organ {index % organs}"
        key = f"{organ}/{index:03d}.png"
        made.append(SplitItem(key=key, file_name=f"{index:03d}.png", stratum=organ, group=organ if by_organ else key))
    return made


# Printed by scikit-learn 1.9.1's KFold(n, shuffle=True, random_state=seed).split, test indices fold by fold.
FROZEN = {
    (10, 5, 19): [[1, 7], [6, 9], [4, 8], [0, 3], [2, 5]],
    (23, 4, 0): [[1, 10, 11, 14, 20, 21], [6, 8, 13, 16, 17, 22], [2, 4, 5, 7, 9, 18], [0, 3, 12, 15, 19]],
}


@pytest.mark.parametrize(("count", "folds", "seed"), FROZEN)
def test_folds_are_those_of_scikit_learn(count: int, folds: int, seed: int) -> None:
    assert [part.tolist() for part in kfold_indices(count, folds, seed=seed)] == FROZEN[count, folds, seed]


@given(st.integers(2, 60), st.data())
def test_every_image_is_tested_in_exactly_one_fold(count: int, data: st.DataObject) -> None:
    folds = data.draw(st.integers(2, count))
    parts = kfold_indices(count, folds, seed=data.draw(st.integers(0, 2**32 - 1)))
    assert sorted(index for part in parts for index in part.tolist()) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("folds", [1, 6])
def test_more_folds_than_images_are_refused(folds: int) -> None:
    with pytest.raises(ConfigError, match="give 2 to 5"):
        kfold_indices(5, folds, seed=0)


@pytest.mark.parametrize("plan", [SplitPlan(folds=5, fold=2), SplitPlan(share=0.8), SplitPlan()])
@pytest.mark.parametrize("by_organ", [False, True])
def test_train_val_and_test_share_no_image_and_hold_all(plan: SplitPlan, by_organ: bool) -> None:
    lists = make_split(items(60, organs=7, by_organ=by_organ), plan)
    assert sorted(lists.train + lists.val + lists.test) == [f"{index:03d}.png" for index in range(60)]


def test_the_order_of_the_items_does_not_matter() -> None:
    plan = SplitPlan(folds=3, fold=1)
    assert make_split(items(30), plan) == make_split(items(30)[::-1], plan)


def test_another_seed_gives_another_split() -> None:
    assert make_split(items(30), SplitPlan(share=0.8)) != make_split(items(30), SplitPlan(share=0.8, seed=20))


def test_a_fold_is_tested_and_a_tenth_of_the_rest_validates() -> None:
    lists = make_split(items(100), SplitPlan(folds=5, fold=3))
    assert lists.name == "kfold-5-seed19"
    assert (len(lists.test), len(lists.val), len(lists.train)) == (20, 8, 72)
    assert lists.test == lists.folds[3]


def test_a_share_is_stratified_to_within_one_image() -> None:
    lists = make_split(items(100, organs=4), SplitPlan(share=0.8))
    organs = Counter(int(name[:3]) % 4 for name in lists.val)
    assert len(lists.val) == 20
    assert set(organs.values()) <= {4, 5, 6}
    assert lists.name == "share-0.8-seed19"


@pytest.mark.parametrize("plan", [SplitPlan(folds=4, fold=0, grouping="organ"), SplitPlan(share=0.8, grouping="organ")])
def test_groups_stay_together(plan: SplitPlan) -> None:
    lists = make_split(items(60, organs=8, by_organ=True), plan)
    owners = [{int(name[:3]) % 8 for name in part} for part in (lists.train, lists.val, lists.test)]
    assert not owners[0] & owners[1]
    assert not (owners[0] | owners[1]) & owners[2]
    assert lists.val
    assert lists.name.endswith("-by-organ")


def test_two_groups_of_one_size_leave_one_to_validate() -> None:
    lists = make_split(items(20, organs=2, by_organ=True), SplitPlan(share=0.9))
    assert (len(lists.train), len(lists.val)) == (10, 10)


def test_without_a_plan_everything_trains() -> None:
    lists = make_split(items(4), SplitPlan())
    assert (lists.name, len(lists.train), lists.val, lists.test) == ("all", 4, (), ())


def test_a_single_image_can_be_split_into_itself() -> None:
    lists = make_split(items(1), SplitPlan(share=0.8))
    assert len(lists.train) + len(lists.val) == 1


@given(st.data())
def test_no_group_is_split_over_folds_nor_over_train_val_and_test(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=12))
    made = [
        SplitItem(
            key=f"{group}/{image}.png", file_name=f"{group}-{image}.png", stratum=f"s{group % 3}", group=f"g{group}"
        )
        for group, size in enumerate(sizes)
        for image in range(size)
    ]
    folds = data.draw(st.integers(2, len(sizes)))
    plan = SplitPlan(folds=folds, fold=data.draw(st.integers(0, folds - 1)), stratified=data.draw(st.booleans()))
    lists = make_split(made, plan)
    group_of_file = {item.file_name: item.group for item in made}
    for parts in (lists.folds, (lists.train, lists.val, lists.test)):
        owners = [{group_of_file[name] for name in part} for part in parts]
        assert sum(map(len, owners)) == len(set().union(*owners)) == len(sizes)
        assert sorted(name for part in parts for name in part) == sorted(group_of_file)


@given(st.data())
def test_stratified_folds_hold_every_stratum_to_within_one(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=6))
    made = [
        SplitItem(
            key=f"{organ}/{image:03d}.png",
            file_name=f"{organ}-{image}.png",
            stratum=f"o{organ}",
            group=f"{organ}/{image:03d}.png",
        )
        for organ, size in enumerate(sizes)
        for image in range(size)
    ]
    if len(made) < 2:
        return
    folds = data.draw(st.integers(2, min(5, len(made))))
    lists = make_split(made, SplitPlan(folds=folds, stratified=True))
    for organ in range(len(sizes)):
        counts = [sum(name.startswith(f"{organ}-") for name in fold) for fold in lists.folds]
        assert max(counts) - min(counts) <= 1
    totals = [len(fold) for fold in lists.folds]
    assert max(totals) - min(totals) <= 1
    assert lists.name == f"stratified-kfold-{folds}-seed19"


def test_stratified_folds_differ_by_seed_and_not_by_order() -> None:
    plan = SplitPlan(folds=3, stratified=True)
    assert make_split(items(30), plan) == make_split(items(30)[::-1], plan)
    assert (
        make_split(items(30), plan).folds != make_split(items(30), SplitPlan(folds=3, stratified=True, seed=20)).folds
    )


@pytest.mark.parametrize("stratified", [False, True])
def test_folds_of_a_single_group_are_refused(stratified: bool) -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        make_split(items(6, organs=1, by_organ=True), SplitPlan(folds=2, stratified=stratified))


def test_lists_survive_as_plain_values() -> None:
    lists = make_split(items(30), SplitPlan(folds=3))
    assert SplitLists.from_dict(lists.to_dict()) == lists
    assert "grouping" not in lists.to_dict()
    grouped = dataclasses.replace(lists, grouping="organ", groups=(("000.png", "organ 0"),))
    assert SplitLists.from_dict(grouped.to_dict()) == grouped


def test_lists_without_names_are_refused() -> None:
    with pytest.raises(DataError, match="val"):
        SplitLists.from_dict({"train": ["a"], "val": [3], "test": []})


@pytest.mark.shared_data
def test_the_inner_fold_0_of_nuinsseg_is_the_known_one(shared_data: Path) -> None:
    """Its synthetic twin is `test_folds_are_those_of_scikit_learn`."""
    images = open_source(shared_data / "nuinsseg").images
    known = [
        SplitItem(key=image.key, file_name=image.path.name, stratum=str(image.organ), group=image.key)
        for image in images
    ]
    lists = make_split(known, SplitPlan(folds=5, fold=0, seed=19))
    assert (len(lists.train), len(lists.val), len(lists.test)) == (383, 42, 107)
    organ_of = {image.path.name: image.organ for image in images}
    assert len({organ_of[name] for name in lists.test}) == 26
