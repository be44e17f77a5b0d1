"""What every kind of source gives: images by name, and the nuclei of one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, masks_from_label_map
from nucleate.core.stain import StainNormalisation
from nucleate.errors import DataError
from nucleate.files import read_label_map

SourceFormat = Literal["nuinsseg", "label-images", "coco"]

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jp2", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tga"}
)
NUCLEUS = "nucleus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Something of a source that is not in the data set.

    Attributes:
        reason: the same words for the same kind, so that they can be counted.
        item: image, and nucleus where it is one.
    """

    reason: str
    item: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """One annotated image of a source.

    Attributes:
        key: its path relative to the source, forward slashes, original spelling; unique in the source.
        path: where it lies.
        annotation: where its label image lies, or its id in a COCO file.
        organ: with its species, None when unknown.
        species: None when unknown.
        mpp: um a pixel, None when unknown.
        origin: the data set that an earlier preparation named, "" for this source's own name.
        stain: the normalisation that it already went through.
        magnification: what it was already resized by.
    """

    key: str
    path: Path
    annotation: Path | int
    organ: str | None = None
    species: str | None = None
    mpp: float | None = None
    origin: str = ""
    stain: StainNormalisation | None = None
    magnification: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceNuclei:
    """The nuclei of one source image.

    Attributes:
        masks: N masks in the image's frame; they may overlap where the source's do.
        label_ids: (N,) numbers in the source.
        class_indices: (N,) 0-based, of the source's `class_names`.
        scores: (N,) in [0, 1].
        dropped: what was left out while reading.
    """

    masks: Masks
    label_ids: NDArray[np.int64]
    class_indices: NDArray[np.int64]
    scores: NDArray[np.float64]
    dropped: tuple[Dropped, ...] = ()


class Source(Protocol):
    """A folder or file of annotated images in one of the formats."""

    @property
    def name(self) -> str:
        """Return the name that its images carry as `source`."""

    @property
    def format(self) -> SourceFormat:
        """Return which format was read."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes, by index."""

    @property
    def images(self) -> tuple[SourceImage, ...]:
        """Return the annotated images, sorted by key."""

    @property
    def left_out(self) -> tuple[Dropped, ...]:
        """Return what can't be used, found before any pixel was read."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the data set should know."""

    @property
    def annotation_file(self) -> Path | None:
        """Return the one file that holds all annotations, None where each image has its own."""

    def read_nuclei(self, image: SourceImage, frame: Frame) -> SourceNuclei:
        """Return one image's nuclei.

        Raises:
            DataError: its annotation is unreadable or of another size than the image.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSource:
    """A source whose annotations are label images; fits `Source`."""

    name: str
    format: SourceFormat
    images: tuple[SourceImage, ...]
    left_out: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = (NUCLEUS,)
    annotation_file: Path | None = None

    def read_nuclei(self, image: SourceImage, frame: Frame) -> SourceNuclei:
        """Return one nucleus an id of the image's label image, by rising id.

        Raises:
            DataError: the label image is unreadable, no label image, or of another size than the image.
        """
        if isinstance(image.annotation, int):
            raise TypeError(f"{image.key} has no label image")
        label_map = read_label_map(image.annotation)
        if label_map.shape != frame.shape:
            height_px, width_px = label_map.shape
            raise DataError(
                f"the label image is {width_px} x {height_px} pixels, its image"
                f" {frame.width_px} x {frame.height_px}: they must be equal",
                path=image.annotation,
            )
        masks, ids = masks_from_label_map(label_map, mpp=frame.mpp)
        return SourceNuclei(
            masks=masks,
            label_ids=ids,
            class_indices=np.zeros(len(ids), np.int64),
            scores=np.ones(len(ids), np.float64),
        )


def source_digest(source: Source) -> str:
    """Return 16 hexadecimal digits that change with a source's file names, file sizes and COCO annotations."""
    digest = hashlib.sha256(source.format.encode())
    if source.annotation_file is not None:
        digest.update(source.annotation_file.read_bytes())
    for image in source.images:
        label_bytes = image.annotation.stat().st_size if isinstance(image.annotation, Path) else 0
        digest.update(f"{image.key}\0{image.path.stat().st_size}\0{label_bytes}\n".encode())
    for dropped in source.left_out:
        digest.update(f"{dropped.reason}\0{dropped.item}\n".encode())
    return digest.hexdigest()[:16]


def image_files(folder: Path, *, deep: bool) -> list[Path]:
    """Return a folder's image files, by suffix and sorted; hidden files (macOS leaves `._NAME.png`) are no images.

    Args:
        folder: it need not exist.
        deep: look into subfolders too.
    """
    if not folder.is_dir():
        return []
    found: Iterable[Path] = folder.rglob("*") if deep else folder.iterdir()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def folder_name(path: Path) -> str:
    """Return a folder's own name, also of `.` and `..`."""
    return path.name if path.name not in ("", "..") else path.resolve().name
