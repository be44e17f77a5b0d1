"""What shall be segmented: files, folders, patterns and arrays become one ordered list with unique names."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nucleate.errors import DataError
from nucleate.files import image_mpp, read_rgb
from nucleate.inference.arrays import ImageArray, Pixels, is_pixels

# What a folder or pattern is searched for; a file that is named itself may have any suffix.
IMAGE_SUFFIXES = frozenset({".bmp", ".jp2", ".jpeg", ".jpg", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"})
# Of DICOM a slide is many files: name one of them.
SLIDE_SUFFIXES = frozenset({".bif", ".czi", ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".vms", ".vmu"})
_SEARCHED = IMAGE_SUFFIXES | SLIDE_SUFFIXES
_RESULTS_SUFFIX = ".nucleate"
_HASH_BLOCK_BYTES = 2**20

if TYPE_CHECKING:
    Source = str | Path | Pixels | ImageArray
else:
    # The command line reads this type: of these it can give names alone, and makes options of a dataclass's fields.
    Source = str | Path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageInput:
    """One image to segment.

    Attributes:
        name: stem of its result files, posix; holds folders where another input has the same stem.
        file: how tables name it: `name` with the suffix.
        path: where to read it; None for an array.
        array: the image in memory; None for a file.
        mpp: um a pixel where whoever gave the image said so; None leaves it to the file (see `read_mpp`).
    """

    name: str
    file: str
    path: Path | None = None
    array: ImageArray | None = field(default=None, repr=False)
    mpp: float | None = None

    @property
    def source(self) -> str:
        """Return what tells this input from others: the absolute path, or an array's name."""
        return self.name if self.path is None else self.path.resolve().as_posix()

    def read(self) -> NDArray[np.uint8]:
        """Return the (H, W, 3) pixels.

        Raises:
            DataError: the file is unreadable, or an array's values have no known range.
        """
        if self.array is None:
            assert self.path is not None
            return read_rgb(self.path)
        try:
            return self.array.read()
        except DataError as error:
            raise DataError(error.message, item=self.name) from error

    def read_mpp(self) -> float | None:
        """Return the um/px that came with the image or that its file states credibly, None where neither is so."""
        return image_mpp(self.path) if self.mpp is None and self.path is not None else self.mpp

    def sha256(self) -> str:
        """Return the checksum of the file's bytes, or of the array as RGB.

        Raises:
            DataError: as `read` does.
        """
        digest = hashlib.sha256()
        if self.array is not None:
            pixels_rgb = self.read()
            digest.update(repr(pixels_rgb.shape).encode())
            digest.update(pixels_rgb.tobytes())
            return digest.hexdigest()
        assert self.path is not None
        try:
            with self.path.open("rb") as content:
                while block := content.read(_HASH_BLOCK_BYTES):
                    digest.update(block)
        except OSError as error:
            raise DataError(f"can't be read: {error.strerror or error}", path=self.path) from error
        return digest.hexdigest()


def collect_inputs(sources: Iterable[Source] | Source, *, leave_out: Path | None = None) -> list[ImageInput]:
    """Return the images in the order of the sources, each once; a folder's or pattern's images sorted by path.

    Args:
        sources: files, folders (searched recursively, hidden ones left out), patterns with *, ?, [] and **
            (expanded here, since Windows shells don't), images in memory (see `ImageArray`). Images in memory without
            a name are called `array`, or `array_1` and so on where there are several.
        leave_out: a folder whose files are not taken: the output, which may lie inside an input folder.

    Raises:
        DataError: a source matches nothing (the first is named, and how many more), or an array is no image.
    """
    listed = _listed(sources)
    if not listed:
        raise DataError("nothing to segment: give files, folders, patterns or arrays")
    problems: list[str] = []
    inputs: list[ImageInput] = []
    seen: set[str] = set()
    unnamed = sum(not isinstance(source, str | Path) and _own_name(source) is None for source in listed)
    numbered = itertools.count(1)
    for source in listed:
        if not isinstance(source, str | Path):
            name = _own_name(source) or ("array" if unnamed == 1 else f"array_{next(numbered):0{len(str(unnamed))}d}")
            inputs.append(_array_input(source, name))
            continue
        found = _expand(source, leave_out)
        if not found:
            problems.append(_nothing_matches(source))
        for path in found:
            key = os.path.normcase(path.resolve())
            if key not in seen:
                seen.add(key)
                inputs.append(ImageInput(name=path.stem, file=path.name, path=path))
    if problems:
        more = f" (and {len(problems) - 1} more inputs without an image)" if len(problems) > 1 else ""
        raise DataError(problems[0] + more)
    return _with_unique_names(inputs)


def _listed(sources: Iterable[Source] | Source) -> list[Source]:
    if isinstance(sources, str | Path | ImageArray) or is_pixels(sources):
        return [sources]
    # Of these a list would hold the keys: dicts, groups of zarr.
    if hasattr(sources, "keys") or not isinstance(sources, Iterable):
        raise DataError(
            f"{type(sources).__name__} is no image: give files, folders, patterns, Pillow images, arrays of numpy, "
            "zarr or dask, or a list of them"
        )
    return list(sources)


def _own_name(source: Pixels | ImageArray) -> str | None:
    return source.name if isinstance(source, ImageArray) else None


def _array_input(source: Pixels | ImageArray, name: str) -> ImageInput:
    try:
        array = source if isinstance(source, ImageArray) else ImageArray(source)
    except DataError as error:
        raise DataError(error.message, item=name) from error
    image = ImageInput(name=name, file=name, array=array, mpp=array.mpp)
    if isinstance(array.pixels, np.ndarray):
        # Its values are at hand, so what is wrong with them is told before a model is loaded.
        image.read()
    return image


def _expand(source: str | Path, leave_out: Path | None) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        return _images_below(path, leave_out)
    if not glob.has_magic(str(source)):
        return []
    found: list[Path] = []
    for match in sorted(Path(match) for match in glob.glob(str(path), recursive=True)):  # noqa: PTH207 - absolute too
        if match.is_dir():
            found += _images_below(match, leave_out)
        elif match.suffix.lower() in _SEARCHED and not _is_below(match, leave_out):
            found.append(match)
    return found


def _images_below(folder: Path, leave_out: Path | None) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") or part.endswith(_RESULTS_SUFFIX) for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in _SEARCHED and path.is_file() and not _is_below(path, leave_out):
            found.append(path)
    return sorted(found)


def _is_below(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def _nothing_matches(source: str | Path) -> str:
    path = Path(source).expanduser()
    if path.is_dir():
        return f"{source}: no image in this folder ({', '.join(sorted(_SEARCHED))})"
    if glob.has_magic(str(source)):
        return f"{source}: no image matches this pattern"
    return f"{source}: no such file or folder"


def _with_unique_names(inputs: Sequence[ImageInput]) -> list[ImageInput]:
    """Return the inputs with their relative path in the name where stems collide, the suffix too where that does.

    Names that differ in case alone collide: Windows and macOS keep one of such files. An array whose name is taken
    gets a number behind it.
    """
    named = list(inputs)
    colliding = _colliding(named)
    if colliding:
        parents = [path.resolve().parent for item in named if (path := item.path) is not None]
        anchors = {parent.anchor for parent in parents}
        root = Path(os.path.commonpath(parents)) if len(anchors) == 1 else None
        for index in colliding:
            path = named[index].path
            if path is None:
                continue
            whole = path.resolve()
            relative = whole.relative_to(root) if root else whole.relative_to(whole.anchor)
            named[index] = replace(named[index], name=relative.with_suffix("").as_posix(), file=relative.as_posix())
    for index in _colliding(named):
        named[index] = replace(named[index], name=named[index].file)
    # An array has no path that tells it from a file of its name in the tables.
    files = {item.file.casefold() for item in named if item.path is not None}
    taken: set[str] = set()
    everybody = {item.name.casefold() for item in named}
    for index, item in enumerate(named):
        occupied = taken if item.path is not None else taken | files
        name = item.name
        if name.casefold() in occupied:
            name = next(
                numbered
                for number in itertools.count(2)
                if (numbered := f"{item.name}_{number}").casefold() not in occupied | everybody
            )
            named[index] = replace(item, name=name, file=item.file if item.path is not None else name)
        taken.add(name.casefold())
    return named


def _colliding(inputs: Sequence[ImageInput]) -> list[int]:
    names = [item.name.casefold() for item in inputs]
    counts = Counter(names)
    return [index for index, name in enumerate(names) if counts[name] > 1]
