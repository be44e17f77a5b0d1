"""Which image belongs to which annotation file: one stem, beside each other or in parallel folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nucleate.data.sources.source import (
    Dropped,
    FileSource,
    NucleiReader,
    SourceFormat,
    SourceImage,
    annotation_path,
    folder_name,
    image_files,
)
from nucleate.errors import DataError, first_and_count

IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "tissue images", "raw"})
# What may hold pictures of the images' stems that are no images.
PICTURE_FOLDERS = frozenset({"overlay", "overlays", "preview", "previews", "thumbnails"})
# The same of files beside the images: Cellpose writes them.
PICTURE_ENDINGS = ("_masks", "_flows", "_cp_outlines", "_cp_output")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedFormat:
    """A format of one annotation file (or folder) an image.

    Attributes:
        name: of the format.
        looked_for: what shows it, for people.
        annotation: what a file is called in messages.
        find: the annotation files below a path, or a file itself, with the stem of the image that each belongs to;
            {} where the path holds no such files.
        reader: of one image's nuclei.
        notes: what a user of every such source should know.
        mpp: um a pixel that an annotation file tells, None where it doesn't.
    """

    name: SourceFormat
    looked_for: str
    annotation: str
    find: Callable[[Path], dict[Path, str]]
    reader: NucleiReader
    notes: tuple[str, ...] = ()
    mpp: Callable[[Path], float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Images with their annotation files, and what has no partner."""

    images: tuple[SourceImage, ...]
    left_out: tuple[Dropped, ...]


def read_paired(
    paired: PairedFormat, path: Path, *, labels: Path | None = None, images_dir: Path | None = None
) -> FileSource:
    """Return the images of a folder that have annotations of a format.

    Args:
        paired: the format.
        path: a folder with images and annotations beside each other or in parallel folders, or one annotation file.
        labels: the folder of the annotations, where it lies elsewhere.
        images_dir: the folder of the images, where it lies elsewhere.

    Raises:
        DataError: a folder is missing, no pair is found, or two files claim one image.
    """
    if labels is not None and not labels.is_dir():
        raise DataError("no such folder: --labels names the folder of the annotations", path=labels)
    pairs = pair_images(path, paired.find(labels or path), images_dir=images_dir, name=paired.annotation)
    images = pairs.images
    if paired.mpp is not None:
        images = tuple(replace(image, mpp=paired.mpp(annotation_path(image))) for image in images)
    return FileSource(
        name=path.stem if path.is_file() else folder_name(path),
        format=paired.name,
        images=images,
        reader=paired.reader,
        left_out=pairs.left_out,
        notes=paired.notes,
        class_names=(),
    )


def pair_images(
    path: Path, annotations: Mapping[Path, str], *, images_dir: Path | None = None, name: str = "annotation"
) -> Pairs:
    """Return the images that have an annotation file of their stem.

    Of several images of one stem, that beside the file counts, then that in a folder called images, then that
    whose folders are most alike.

    Args:
        path: the source: a folder, or one annotation file beside its image.
        annotations: files (or folders) and the stem of the image that each belongs to.
        images_dir: looked into alone for images, by default `path`.
        name: what an annotation is called in messages.

    Raises:
        DataError: no pair at all, two images or two annotation files for one, or no folder of images.
    """
    root = images_dir or (path if path.is_dir() else path.parent)
    if not root.is_dir():
        raise DataError("no such folder: --images names the folder of the images", path=root)
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for file in image_files(root, deep=path.is_dir() or images_dir is not None):
        is_picture = file.parent.name.lower() in PICTURE_FOLDERS or file.stem.endswith(PICTURE_ENDINGS)
        if file not in annotations and not is_picture:
            by_stem[file.stem.removesuffix(".ome")].append(file)
    problems: list[str] = []
    partner: dict[Path, Path] = {}
    left_out: list[Dropped] = []
    for annotation, stem in annotations.items():
        found = _likeliest(by_stem.get(stem, []), annotation)
        if not found:
            left_out.append(Dropped(reason=f"{name} without an image", item=_relative(annotation, path)))
        elif len(found) > 1:
            problems.append(f"{_relative(annotation, path)}: {len(found)} images are called {stem!r}: which is meant?")
        elif found[0] in partner:
            other = _relative(partner[found[0]], path)
            problems.append(f"{_relative(annotation, path)} and {other} belong to one image: which is meant?")
        else:
            partner[found[0]] = annotation
    if problems:
        raise DataError(first_and_count(problems, "the folder"), path=path)
    if not partner:
        count = sum(len(files) for files in by_stem.values())
        raise DataError(
            f"no image with a {name} of the same stem: {count} images, {len(annotations)} of these", path=path
        )
    folders = {image.parent for image in partner}
    lonely = [file for files in by_stem.values() for file in files if file not in partner and file.parent in folders]
    if path.is_dir():
        left_out += [Dropped(reason=f"image without a {name}", item=_relative(file, root)) for file in lonely]
    images = [
        SourceImage(key=_relative(image, root), path=image, annotation=annotation)
        for image, annotation in partner.items()
    ]
    return Pairs(images=tuple(sorted(images, key=lambda image: image.key)), left_out=tuple(left_out))


def _likeliest(images: list[Path], annotation: Path) -> list[Path]:
    def shared_folders(image: Path) -> int:
        return len(set(image.parent.parts) & set(annotation.parent.parts))

    beside = [image for image in images if image.parent == annotation.parent]
    if len(images) < 2 or len(beside) == 1:
        return beside or images
    named = [image for image in images if IMAGE_FOLDERS & {part.lower() for part in image.parent.parts}] or images
    most = max(shared_folders(image) for image in named)
    return [image for image in named if shared_folders(image) == most]


def _relative(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name
