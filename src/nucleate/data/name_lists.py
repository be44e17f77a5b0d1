"""Names: what images are called in a data set, and lists that choose among them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from nucleate.data.splits import SplitLists
from nucleate.errors import ConfigError, DataError

# The names of the images of NuInsSeg's training folds 1 to 4, so that everybody with the full release gets them.
PACKAGED_LISTS = ("nuinsseg-532",)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameList:
    """A list that chooses images.

    Attributes:
        names: file names, stems, or paths relative to the source.
        split: the split that the list came with, None for a plain list.
    """

    names: tuple[str, ...]
    split: SplitLists | None = None

    def missing(self, available: Sequence[Collection[str]]) -> list[str]:
        """Return the names that no image answers to; each image gives the names that it goes by."""
        known = {name for names in available for name in names}
        return [name for name in dict.fromkeys(self.names) if name not in known]


def read_name_list(given: str) -> NameList:
    """Return a packaged list by its name, a text file of names (one a line, # comments), or a folds/NAME.json.

    Raises:
        ConfigError: neither a file nor a packaged list.
        DataError: the file is no list of names, or it is empty.
    """
    path = Path(given)
    if given in PACKAGED_LISTS:
        text = resources.files("nucleate.data").joinpath("lists", f"{given}.txt").read_text(encoding="utf-8")
        return NameList(names=_lines(text))
    if not path.is_file():
        raise ConfigError(f"--only {given}: no such file, and the lists in the package are {', '.join(PACKAGED_LISTS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"no list of names: {error}", path=path) from error
    listed = _json_list(text, path) if path.suffix.lower() == ".json" else NameList(names=_lines(text))
    if not listed.names:
        raise DataError("the list names no image", path=path)
    return listed


def names_of(key: str, file_name: str) -> set[str]:
    """Return the names that a list may call an image by: path, file names, stems."""
    original = PurePosixPath(key)
    return {key, file_name, PurePosixPath(file_name).stem, original.name, original.stem}


def unique_file_names(keys: Sequence[tuple[str, str]]) -> list[str]:
    """Return a PNG file name for each image, unique without regard to case and legal on every system.

    Args:
        keys: (source name, key). A name that two images share is preceded by its folders, then by its source,
            then numbered.
    """
    candidates = [_candidates(source, key) for source, key in keys]
    chosen = [""] * len(keys)
    open_indices = list(range(len(keys)))
    for level in range(3):
        counts: dict[str, int] = {}
        for index in open_indices:
            name = candidates[index][level].lower()
            counts[name] = counts.get(name, 0) + 1
        taken = {name.lower() for name in chosen if name}
        for index in open_indices:
            name = candidates[index][level]
            if counts[name.lower()] == 1 and name.lower() not in taken:
                chosen[index] = name
        open_indices = [index for index in open_indices if not chosen[index]]
    taken = {name.lower() for name in chosen if name}
    for index in open_indices:
        stem, number = candidates[index][2].removesuffix(".png"), 2
        while f"{stem}_{number}.png".lower() in taken:
            number += 1
        chosen[index] = f"{stem}_{number}.png"
        taken.add(chosen[index].lower())
    return chosen


def _candidates(source: str, key: str) -> tuple[str, str, str]:
    path = PurePosixPath(key).with_suffix("")
    folders = "_".join(_legal(part) for part in path.parts)
    return f"{_legal(path.name)}.png", f"{folders}.png", f"{_legal(source)}_{folders}.png"


def _legal(part: str) -> str:
    cleaned = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", part).rstrip(" .")
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)", cleaned)
    return f"_{cleaned}" if reserved or not cleaned else cleaned


def _lines(text: str) -> tuple[str, ...]:
    stripped = (line.strip() for line in text.splitlines())
    return tuple(line for line in stripped if line and not line.startswith("#"))


def _json_list(text: str, path: Path) -> NameList:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error}", path=path) from error
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return NameList(names=tuple(value))
    if not isinstance(value, dict):
        raise DataError("a list of names, or a folds/NAME.json that `prepare` wrote, is needed", path=path)
    try:
        split = SplitLists.from_dict(value)
    except DataError as error:
        raise DataError(error.message, path=path, item=error.item) from error
    return NameList(names=split.train + split.val + split.test, split=split)
