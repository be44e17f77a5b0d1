"""What every kind of source gives: images by name, and the nuclei of one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, masks_from_label_map
from nucleate.core.stain import StainNormalisation
from nucleate.errors import DataError
from nucleate.files import image_mode, open_npy, read_rgb, read_stored_labels, rgb_from_array

SourceFormat = Literal[
    "nuinsseg",
    "label-images",
    "coco",
    "imagej",
    "aperio-xml",
    "geojson",
    "nucleus-masks",
    "binary-masks",
    "yolo",
    "cellpose",
    "hovernet",
    "pannuke",
]

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
class Mended:
    """Something of a source that is in the data set, but not as the source has it.

    Attributes:
        reason: the same words for the same kind, so that they can be counted.
        item: image and nucleus.
    """

    reason: str
    item: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """One annotated image of a source.

    Attributes:
        key: its path relative to the source, forward slashes, original spelling; unique in the source.
        path: where it lies.
        annotation: the file or folder of its annotations, or its id in a COCO file.
        organ: with its species, None when unknown.
        species: None when unknown.
        mpp: um a pixel, None when unknown.
        origin: the data set that an earlier preparation named, "" for this source's own name.
        stain: the normalisation that it already went through.
        magnification: what it was already resized by.
        page: of a NPY file with many images (N, H, W, 3); None for an image file.
        vague_mask: image of the areas where nobody can say what is a nucleus (not 0), None for none.
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
    page: int | None = None
    vague_mask: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceNuclei:
    """The nuclei of one source image.

    Attributes:
        masks: N masks in the image's frame; they may overlap where the source's do.
        label_ids: (N,) numbers in the source.
        class_indices: (N,) 0-based, of `class_names`.
        scores: (N,) in [0, 1].
        class_names: of this image alone; other images may have others, in another order.
        dropped: what was left out while reading.
        mended: what was taken in another form than the source's.
    """

    masks: Masks
    label_ids: NDArray[np.int64]
    class_indices: NDArray[np.int64]
    scores: NDArray[np.float64]
    class_names: tuple[str, ...] = (NUCLEUS,)
    dropped: tuple[Dropped, ...] = ()
    mended: tuple[Mended, ...] = ()


# An image, with its annotations' place, and the frame of its pixels.
NucleiReader = Callable[[SourceImage, Frame], SourceNuclei]


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
        """Return the classes that are known beforehand, in their order; () where only the annotations tell."""

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
class FileSource:
    """A source in which each image has annotations of its own; fits `Source`."""

    name: str
    format: SourceFormat
    images: tuple[SourceImage, ...]
    reader: NucleiReader
    left_out: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = (NUCLEUS,)
    annotation_file: Path | None = None

    def read_nuclei(self, image: SourceImage, frame: Frame) -> SourceNuclei:
        """Return one image's nuclei.

        Raises:
            DataError: its annotation is unreadable or of another size than the image.
        """
        return self.reader(image, frame)


def read_pixels(image: SourceImage) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) RGB; floats of a NPY file are values of 0 to 255, as PanNuke's.

    Raises:
        DataError: it is unreadable or no image.
    """
    if image.page is None:
        return read_rgb(image.path)
    pixels = np.asarray(open_npy(image.path)[image.page])
    if pixels.dtype.kind == "f":
        if not (pixels.min(initial=0) >= 0 and pixels.max(initial=0) <= 255):
            raise DataError(f"image {image.page}: values of 0 to 255 are needed", path=image.path)
        pixels = np.rint(pixels).astype(np.uint8)
    return rgb_from_array(pixels, image.path)


def stored_mode(image: SourceImage) -> str:
    """Return how an image is stored, in words (see `image_mode`).

    Raises:
        DataError: it is unreadable.
    """
    if image.page is None:
        return image_mode(image.path)
    return f"array of {open_npy(image.path).dtype}"


def annotation_path(image: SourceImage) -> Path:
    """Return where an image's own annotations lie."""
    if isinstance(image.annotation, int):
        raise TypeError(f"{image.key} has no annotation file")
    return image.annotation


def check_same_size(shape: tuple[int, ...], frame: Frame, what: str, path: Path) -> None:
    """Refuse a mask of another size than its image.

    Args:
        shape: (height_px, width_px) of the mask.
        frame: of the image.
        what: the mask's name in the message.
        path: the mask's file.

    Raises:
        DataError: they differ; it says both sizes.
    """
    if tuple(shape) != frame.shape:
        sides = " x ".join(str(side) for side in reversed(shape))
        raise DataError(
            f"the {what} is {sides} pixels, its image {frame.width_px} x {frame.height_px}: they must be equal",
            path=path,
        )


def nuclei_from_label_map(label_map: NDArray[np.integer], frame: Frame) -> SourceNuclei:
    """Return one nucleus an id of a label map of the frame's size, by rising id."""
    masks, ids = masks_from_label_map(label_map, mpp=frame.mpp)
    return SourceNuclei(
        masks=masks,
        label_ids=ids,
        class_indices=np.zeros(len(ids), np.int64),
        scores=np.ones(len(ids), np.float64),
    )


def read_label_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return one nucleus an id of the image's label image, by rising id.

    Raises:
        DataError: the label image is unreadable, no label image, or of another size than the image.
    """
    path = annotation_path(image)
    label_map = read_stored_labels(path)
    check_same_size(label_map.shape, frame, "label image", path)
    return nuclei_from_label_map(label_map, frame)


def source_digest(source: Source) -> str:
    """Return 16 hexadecimal digits that change with a source's file names, file sizes and COCO annotations."""
    digest = hashlib.sha256(source.format.encode())
    if source.annotation_file is not None:
        digest.update(source.annotation_file.read_bytes())
    for image in source.images:
        digest.update(f"{image.key}\0{image.path.stat().st_size}\0{_annotation_bytes(image)}\n".encode())
    for dropped in source.left_out:
        digest.update(f"{dropped.reason}\0{dropped.item}\n".encode())
    return digest.hexdigest()[:16]


def _annotation_bytes(image: SourceImage) -> int:
    if isinstance(image.annotation, int):
        return 0
    if image.annotation.is_dir():
        return sum(file.stat().st_size for file in image.annotation.iterdir() if file.is_file())
    return image.annotation.stat().st_size


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
