"""Folders of images with label images: `images` + `labels`, a folder named for them, or pairs beside each other."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from nucleate.data.sources.source import Dropped, FileSource, SourceImage, folder_name, image_files, read_label_nuclei
from nucleate.errors import DataError, first_and_count
from nucleate.files import NPY_SUFFIX, has_one_channel

IMAGES_FOLDER, LABELS_FOLDER = "images", "labels"

Stems = dict[str, Path]


def has_label_images(path: Path) -> bool:
    """Return whether a folder has `images` and `labels`, or two image files of one stem beside each other."""
    if (path / IMAGES_FOLDER).is_dir() and (path / LABELS_FOLDER).is_dir():
        # Other formats keep their files in folders of these names too.
        return bool(_label_files(path / LABELS_FOLDER, deep=True)) or not any((path / LABELS_FOLDER).iterdir())
    stems = [image_stem(file) for file in [*image_files(path, deep=False), *_arrays(path, deep=False)]]
    return len(stems) > len(set(stems))


def read_label_images(path: Path, *, labels: Path | None = None) -> FileSource:
    """Return the images of a folder that have a label image of the same stem.

    Args:
        path: holds `images` and `labels`, or images (in subfolders too) for `labels`, or pairs such as
            `a.png` and `a.tif` of which one has a single channel.
        labels: the folder of label images, in the same subfolders as the images.

    Raises:
        DataError: a folder is missing, no pair is found, or two files claim the same stem.
    """
    problems: list[str] = []
    if labels is not None and not labels.is_dir():
        raise DataError("no such folder: --labels names the folder of the label images", path=labels)
    inside = path / IMAGES_FOLDER
    if labels is None and not (inside.is_dir() and (path / LABELS_FOLDER).is_dir()):
        image_stems, label_stems = _pairs(path, problems)
    else:
        images_dir = inside if inside.is_dir() else path
        labels_dir = labels or path / LABELS_FOLDER
        image_stems = _stems(images_dir, image_files(images_dir, deep=True), problems)
        label_stems = _stems(labels_dir, _label_files(labels_dir, deep=True), problems)
        if labels is not None and labels.resolve().is_relative_to(images_dir.resolve()):
            hidden = set(label_stems.values())
            image_stems = {stem: file for stem, file in image_stems.items() if file not in hidden}
    if problems:
        raise DataError(first_and_count(problems, "the folder"), path=path)
    images = tuple(
        SourceImage(key=image.relative_to(path).as_posix(), path=image, annotation=label_stems[stem])
        for stem, image in image_stems.items()
        if stem in label_stems
    )
    if not images:
        raise DataError(
            f"no image with a label image of the same stem: {len(image_stems)} images, {len(label_stems)} label images",
            path=path,
        )
    left_out = [
        Dropped(reason="image without a label image", item=image.relative_to(path).as_posix())
        for stem, image in image_stems.items()
        if stem not in label_stems
    ] + [
        Dropped(reason="label image without an image", item=label.name)
        for stem, label in label_stems.items()
        if stem not in image_stems
    ]
    return FileSource(
        name=folder_name(path),
        format="label-images",
        images=tuple(sorted(images, key=lambda image: image.key)),
        reader=read_label_nuclei,
        left_out=tuple(left_out),
    )


def image_stem(file: Path) -> str:
    """Return a file's name without its suffix, .ome.tif being one."""
    return file.stem.removesuffix(".ome")


def _label_files(folder: Path, *, deep: bool) -> list[Path]:
    return sorted([*image_files(folder, deep=deep), *_arrays(folder, deep=deep)])


def _arrays(folder: Path, *, deep: bool) -> list[Path]:
    """Return a folder's NPY files; Cellpose's and PanNuke's are no label images."""
    pattern = "**/*.npy" if deep else "*.npy"
    return sorted(
        file
        for file in folder.glob(pattern)
        if not file.name.startswith(".")
        and not file.stem.endswith("_seg")
        and file.name not in ("images.npy", "masks.npy", "types.npy")
    )


def _stems(folder: Path, files: list[Path], problems: list[str]) -> Stems:
    """Return files by relative path without suffix; two files of one stem are a problem."""
    found: Stems = {}
    for file in files:
        stem = (file.relative_to(folder).parent / image_stem(file)).as_posix()
        if stem in found:
            problems.append(f"{found[stem].name} and {file.name} have the same stem: which one is meant?")
        found[stem] = file
    return found


def _pairs(folder: Path, problems: list[str]) -> tuple[Stems, Stems]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in _label_files(folder, deep=False):
        groups[image_stem(file)].append(file)
    images: Stems = {}
    labels: Stems = {}
    for stem, files in groups.items():
        flat = [file for file in files if len(files) > 1 and _is_flat(file)]
        coloured = [file for file in files if file not in flat]
        if len(coloured) == 1:
            images[stem] = coloured[0]
        if len(coloured) == 1 and flat:
            labels[stem] = flat[0]
        if len(coloured) != 1 or len(flat) > 1:
            names = ", ".join(file.name for file in files)
            problems.append(f"{names}: one colour image and one label image (a single channel) are needed a stem")
    return images, labels


def _is_flat(file: Path) -> bool:
    return file.suffix.lower() == NPY_SUFFIX or has_one_channel(file)
