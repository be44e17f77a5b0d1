"""Which images stay together in folds and shares: those of an organ, a species, a pattern's match, a table's group."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from nucleate.errors import ConfigError, DataError, first_and_count

PATTERN_PREFIX = "pattern:"
IMAGE_COLUMN, GROUP_COLUMN = "image", "group"
MOST_TABLE_BYTES = 2**28

GroupingKind = Literal["organ", "species", "pattern", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groupable:
    """What a grouping needs to know of an image.

    Attributes:
        key: its path in the source.
        file_name: in the data set.
        organ: None when unknown.
        species: None when unknown.
    """

    key: str
    file_name: str
    organ: str | None
    species: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """How images are grouped.

    Attributes:
        kind: by what.
        text: the setting, as it was given.
        table: group by image name, for a table.
    """

    kind: GroupingKind
    text: str
    table: Mapping[str, str] | None = None

    @property
    def digest(self) -> str:
        """Return 16 hexadecimal digits that change with the table's content, "" without a table."""
        if self.table is None:
            return ""
        return hashlib.sha256(repr(sorted(self.table.items())).encode()).hexdigest()[:16]


def grouping_kind(given: str) -> GroupingKind:
    """Return what a setting groups by; the file of a table need not be there.

    Raises:
        ConfigError: it is none of the kinds, or no regular expression.
    """
    if given in ("organ", "species"):
        return "organ" if given == "organ" else "species"
    if given.startswith(PATTERN_PREFIX):
        try:
            re.compile(given.removeprefix(PATTERN_PREFIX))
        except re.error as error:
            raise ConfigError(f"--group-by {given!r}: no regular expression: {error}") from error
        return "pattern"
    if Path(given).suffix.lower() == ".csv":
        return "table"
    raise ConfigError(
        f"--group-by {given!r}: give organ, species, {PATTERN_PREFIX}REGEX for the file name, or a FILE.csv with the"
        f" columns {IMAGE_COLUMN} and {GROUP_COLUMN}"
    )


def read_grouping(given: str) -> Grouping:
    """Return a grouping, its table read.

    Raises:
        ConfigError: see `grouping_kind`.
        DataError: the table is missing, damaged, lacks a column or a group, or names an image twice.
    """
    kind = grouping_kind(given)
    return Grouping(kind=kind, text=given, table=_read_table(Path(given)) if kind == "table" else None)


def groups_of(images: Sequence[Groupable], grouping: Grouping | None) -> list[str]:
    """Return each image's group; its own key where nothing is grouped.

    A pattern sees the file name; its first bracket, else its whole match, is the group. A table names an image by its
    path in the source, its file name or its stem.

    Raises:
        DataError: an image has no group, or a table's name stands for several images.
    """
    if grouping is None:
        return [image.key for image in images]
    if grouping.table is not None:
        return _by_table(images, grouping.table, grouping.text)
    found = [_group(image, grouping) for image in images]
    lonely = [image.key for image, group in zip(images, found, strict=True) if group is None]
    if lonely:
        why = (
            "its pattern matches nothing in the file name"
            if grouping.kind == "pattern"
            else f"no {grouping.kind} is known"
        )
        raise DataError(
            f"--group-by {grouping.text}: {why}, of {len(lonely)} of {len(images)} images, first", path=lonely[0]
        )
    return [group for group in found if group is not None]


def unused_names(images: Sequence[Groupable], grouping: Grouping | None) -> list[str]:
    """Return the names of a table that no image has."""
    if grouping is None or grouping.table is None:
        return []
    known = {name for image in images for name in _names(image)}
    return [name for name in grouping.table if name not in known]


def _group(image: Groupable, grouping: Grouping) -> str | None:
    if grouping.kind != "pattern":
        return image.organ if grouping.kind == "organ" else image.species
    match = re.search(grouping.text.removeprefix(PATTERN_PREFIX), PurePosixPath(image.key).name)
    if match is None:
        return None
    found = match.group(1) if match.re.groups else match.group(0)
    # A bracket that took no part in the match names no group.
    return found or None


def _names(image: Groupable) -> tuple[str, ...]:
    """Return the names that a table may call an image by, the surest first."""
    original, own = PurePosixPath(image.key), PurePosixPath(image.file_name)
    return tuple(dict.fromkeys((image.key, image.file_name, own.stem, original.name, original.stem)))


def _by_table(images: Sequence[Groupable], table: Mapping[str, str], text: str) -> list[str]:
    owners = Counter(name for image in images for name in _names(image))
    groups: list[str] = []
    problems: list[str] = []
    for image in images:
        named = [name for name in _names(image) if name in table]
        sure = [name for name in named if name in (image.key, image.file_name) or owners[name] == 1]
        if not named:
            problems.append(f"{image.key}: no row of {text} names it")
        elif not sure:
            problems.append(f"{named[0]} of {text} stands for {owners[named[0]]} images: give their paths")
        elif len({table[name] for name in sure}) > 1:
            problems.append(f"{image.key}: {' and '.join(sure)} of {text} put it into different groups")
        else:
            groups.append(table[sure[0]])
    if problems:
        raise DataError(f"--group-by: {first_and_count(problems, text)}")
    return groups


def _read_table(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise DataError("no such file: --group-by names a table of images and groups", path=path)
    if path.stat().st_size > MOST_TABLE_BYTES:
        raise DataError(f"more than {MOST_TABLE_BYTES} bytes: no table of groups", path=path)
    table: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            missing = [name for name in (IMAGE_COLUMN, GROUP_COLUMN) if name not in columns]
            if missing:
                raise DataError(
                    f"no column {missing[0]!r}: its first line names {', '.join(columns) or 'none'}", path=path
                )
            for row in rows:
                image = (row[IMAGE_COLUMN] or "").strip().replace("\\", "/")
                group = (row[GROUP_COLUMN] or "").strip()
                item = f"line {rows.line_num}"
                if not image or not group:
                    raise DataError("an image and a group are needed", path=path, item=item)
                if table.get(image, group) != group:
                    raise DataError(f"{image} is in {table[image]!r} and in {group!r}", path=path, item=item)
                table[image] = group
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"no table: {error}", path=path) from error
    if not table:
        raise DataError("the table is empty", path=path)
    return table
