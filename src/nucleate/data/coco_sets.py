"""The COCO files of one data set, each a split of it, and their images: what `check` looks over."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from nucleate.data.coco_file import CocoFile, ImageRecord, parse_coco
from nucleate.data.dataset import available_splits, default_images_dir
from nucleate.data.sources.coco import is_coco
from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ListedImage:
    """One image of a data set.

    Attributes:
        record: of the file.
        file: that it is annotated in.
        path: where it should lie.
        splits: that it is in.
    """

    record: ImageRecord
    file: CocoFile
    path: Path
    splits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CocoSet:
    """A data set of one or more COCO files.

    Attributes:
        images: each image file once, in file order.
        problems: a line an unsound entry.
        files: the files and their sha256.
    """

    images: tuple[ListedImage, ...]
    problems: tuple[str, ...]
    files: tuple[tuple[Path, str], ...]


def read_coco_sets(path: Path, *, images_dir: Path | None = None) -> CocoSet:
    """Return a data set without its pixels.

    Args:
        path: a folder that `prepare` made, a COCO JSON file, or a folder of such files (or with a folder
            `annotations` of them), which then are splits called as the files are.
        images_dir: of the images; by default the folder `images` beside the annotations, else the file's own.

    Raises:
        DataError: no COCO file, one that is no JSON or lacks a list, or no folder of images.
    """
    if images_dir is not None and not images_dir.is_dir():
        raise DataError("no such folder: --images names the folder of the images", path=images_dir)
    splits = available_splits(path) if path.is_dir() else ()
    if "all" in splits:
        return _prepared(path, [split for split in splits if split != "all"], images_dir)
    files = _files(path)
    images: dict[Path, ListedImage] = {}
    problems: list[str] = []
    for file in files:
        parsed = parse_coco(file)
        prefix = f"{file.name}: " if len(files) > 1 else ""
        problems += [f"{prefix}{problem}" for problem in parsed.problems]
        folder = images_dir or default_images_dir(file)
        for record in parsed.records:
            image_path = folder / record.file_name
            before = images.get(image_path)
            names = (file.stem,) if len(files) > 1 else ()
            if before is None:
                images[image_path] = ListedImage(record=record, file=parsed, path=image_path, splits=names)
            elif before.file is parsed:
                problems.append(f"{prefix}image {record.image_id}: the file {record.file_name!r} is listed twice")
            else:
                images[image_path] = replace(before, splits=before.splits + names)
    return CocoSet(images=tuple(images.values()), problems=tuple(problems), files=_digests(files))


def _prepared(folder: Path, splits: list[str], images_dir: Path | None) -> CocoSet:
    """Return a prepared folder: its all.json, and the names that are in its splits."""
    paths = {split: folder / "annotations" / f"{split}.json" for split in ("all", *splits)}
    parsed = parse_coco(paths["all"])
    members: dict[str, tuple[str, ...]] = {}
    problems = list(parsed.problems)
    known = {record.file_name for record in parsed.records}
    for split in splits:
        for record in parse_coco(paths[split]).records:
            if record.file_name not in known:
                problems.append(f"{split}.json: {record.file_name!r} is not in all.json")
            members[record.file_name] = (*members.get(record.file_name, ()), split)
    images_dir = images_dir or default_images_dir(paths["all"])
    images = tuple(
        ListedImage(
            record=record,
            file=parsed,
            path=images_dir / record.file_name,
            splits=members.get(record.file_name, ()),
        )
        for record in parsed.records
    )
    return CocoSet(images=images, problems=tuple(problems), files=_digests(list(paths.values())))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError("no such file or folder", path=path)
    candidates = [*path.glob("*.json"), *(path / "annotations").glob("*.json")]
    files = sorted(file for file in candidates if is_coco(file))
    if not files:
        raise DataError("no COCO JSON file in it: `nucleate prepare` makes one of other formats", path=path)
    return files


def _digests(files: list[Path]) -> tuple[tuple[Path, str], ...]:
    return tuple((file, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)
