"""The splits of a prepared data set: made by the settings, or those that came with a list of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nucleate.data.assembly import PreparedImage
from nucleate.data.grouping import Groupable, Grouping, groups_of, unused_names
from nucleate.data.name_lists import NameList, names_of
from nucleate.data.splits import SplitItem, SplitLists, SplitPlan, make_split


def split_images(
    images: Sequence[PreparedImage],
    *,
    plan: SplitPlan,
    grouping: Grouping | None,
    listed: NameList | None,
) -> tuple[SplitLists, list[str]]:
    """Return the split and what a user of it should know.

    Args:
        images: of the data set.
        plan: what is asked for.
        grouping: None for none.
        listed: the list that chose the images; its own split holds unless another is asked for.

    Raises:
        ConfigError: more folds than images or groups.
        DataError: an image without a group.
    """
    if listed is not None and listed.split is not None and plan.share is None and plan.folds is None:
        return _given_split(images, listed.split), []
    groupable = [
        Groupable(
            key=image.key, file_name=image.record.file_name, organ=image.record.organ, species=image.record.species
        )
        for image in images
    ]
    groups = groups_of(groupable, grouping)
    items = [
        SplitItem(
            key=image.key,
            file_name=image.record.file_name,
            stratum=image.record.organ or image.record.source,
            group=group,
        )
        for image, group in zip(images, groups, strict=True)
    ]
    lists = make_split(items, replace(plan, grouping="" if grouping is None else grouping.kind))
    notes = []
    unused = unused_names(groupable, grouping)
    if unused:
        notes.append(f"--group-by: {len(unused)} names of its table are no images here, first {unused[0]!r}")
    if not lists.val and (plan.share is not None or plan.folds is not None):
        notes.append("there is no validation set: the images that are left for training are of one group")
    if grouping is not None:
        pairs = sorted((item.file_name, item.group) for item in items)
        lists = replace(lists, grouping=grouping.text, groups=tuple(pairs))
    return lists, notes


def _given_split(images: Sequence[PreparedImage], given: SplitLists) -> SplitLists:
    def here(names: Sequence[str]) -> tuple[str, ...]:
        wanted = set(names)
        return tuple(image.record.file_name for image in images if names_of(image.key, image.record.file_name) & wanted)

    return SplitLists(
        name=given.name,
        fold=given.fold,
        folds=tuple(here(fold) for fold in given.folds),
        train=here(given.train),
        val=here(given.val),
        test=here(given.test),
    )
