"""One COCO JSON file, parsed and checked entry by entry."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, Rle, decode_rles, encode_polygons, rle_from_counts, rle_problem
from nucleate.core.stain import StainNormalisation
from nucleate.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image of a data set.

    Attributes:
        image_id: COCO's id.
        file_name: relative to the images folder, forward slashes.
        frame: size in pixels, and um a pixel where known.
        organ: with its species (`human liver`), None when unknown.
        species: `human` or `mouse`, None when unknown.
        source: the data set that it comes from, "" when unknown.
        stain: the normalisation that its pixels went through, None for none.
        magnification: factor from the source image's pixels to these.
    """

    image_id: int
    file_name: str
    frame: Frame
    organ: str | None = None
    species: str | None = None
    source: str = ""
    stain: StainNormalisation | None = None
    magnification: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CocoAnnotation:
    """One annotated nucleus as the file holds it.

    Attributes:
        annotation_id: COCO's id.
        category_id: one of the file's categories.
        segmentation: (K, 2) polygon corners, or a run-length code.
        box_xyxy: from the file's bbox; None where it gives none.
        is_crowd: a region of many nuclei, which counts for neither side in an evaluation.
        label_id: the nucleus' number in its source; the annotation's id where the file says none.
        score: 1.0 for manual annotations.
    """

    annotation_id: int
    category_id: int
    segmentation: tuple[NDArray[np.float64], ...] | Rle
    box_xyxy: tuple[float, float, float, float] | None
    is_crowd: bool
    label_id: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CocoFile:
    """A parsed file: what is sound, and a line for everything that isn't.

    Attributes:
        records: images in file order.
        categories: (id, name), by rising id.
        annotations: by image id, in file order; every image has an entry.
        problems: one line each, naming the entry.
    """

    records: tuple[ImageRecord, ...]
    categories: tuple[tuple[int, str], ...]
    annotations: Mapping[int, tuple[CocoAnnotation, ...]]
    problems: tuple[str, ...]


def parse_coco(path: Path) -> CocoFile:
    """Return the content of a COCO JSON file; unsound entries are left out and named in `problems`.

    Raises:
        DataError: the file is missing, no JSON, or lacks `images`, `annotations` or `categories`.
    """
    raw = load_coco_json(path)
    problems: list[str] = []
    categories = _categories(raw["categories"], problems)
    records = _records(raw["images"], problems)
    frames = {record.image_id: record.frame for record in records}
    category_ids = {category_id for category_id, _ in categories}
    annotations: dict[int, list[CocoAnnotation]] = {image_id: [] for image_id in frames}
    seen: set[int] = set()
    for position, entry in enumerate(raw["annotations"]):
        name = f"annotations[{position}]"
        try:
            image_id, annotation = _annotation(entry, frames, category_ids, position)
            name = f"annotation {annotation.annotation_id}"
            if annotation.annotation_id in seen:
                raise DataError("this id is used twice: ids must differ")
        except DataError as error:
            identity = entry.get("id") if isinstance(entry, dict) else None
            problems.append(f"{name if identity is None else f'annotation {identity}'}: {error.message}")
            continue
        seen.add(annotation.annotation_id)
        annotations[image_id].append(annotation)
    return CocoFile(
        records=tuple(records),
        categories=categories,
        annotations={image_id: tuple(entries) for image_id, entries in annotations.items()},
        problems=tuple(problems),
    )


def load_coco_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a COCO file with its three lists.

    Raises:
        DataError: the file is missing, no JSON, or lacks one of the lists.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", path=path) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", path=path) from error
    missing = [
        key
        for key in ("images", "annotations", "categories")
        if not (isinstance(raw, dict) and isinstance(raw.get(key), list))
    ]
    if missing:
        raise DataError(f"no COCO annotations: the list {missing[0]!r} is not there", path=path)
    return dict(raw)


def decode_annotations(frame: Frame, annotations: tuple[CocoAnnotation, ...]) -> Masks:
    """Return one mask an annotation, as pycocotools rasterises it."""
    codes = [
        entry.segmentation if isinstance(entry.segmentation, Rle) else encode_polygons(frame, entry.segmentation)
        for entry in annotations
    ]
    return decode_rles(frame, codes)


def _categories(entries: list[Any], problems: list[str]) -> tuple[tuple[int, str], ...]:
    found: dict[int, str] = {}
    for position, entry in enumerate(entries):
        identity = entry.get("id") if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if not _is_int(identity) or not isinstance(name, str) or not name:
            problems.append(f"categories[{position}]: an integer id and a name are needed")
        elif identity in found:
            problems.append(f"category {identity}: this id is used twice: ids must differ")
        else:
            found[identity] = name
    return tuple(sorted(found.items()))


def _records(entries: list[Any], problems: list[str]) -> list[ImageRecord]:
    records: list[ImageRecord] = []
    seen: set[int] = set()
    for position, entry in enumerate(entries):
        try:
            record = _record(entry)
            if record.image_id in seen:
                raise DataError(f"id {record.image_id} is used twice: ids must differ")
        except (DataError, ConfigError) as error:
            problems.append(f"images[{position}]: {error}")
            continue
        seen.add(record.image_id)
        records.append(record)
    return records


def _record(entry: Any) -> ImageRecord:
    if not isinstance(entry, dict):
        raise DataError("an object is needed")
    image_id, file_name = entry.get("id"), entry.get("file_name")
    if not _is_int(image_id):
        raise DataError(f"id {image_id!r}: an integer is needed")
    if not isinstance(file_name, str) or not file_name:
        raise DataError(f"file_name {file_name!r}: a name is needed")
    posix = file_name.replace("\\", "/")
    if PurePosixPath(posix).is_absolute() or ".." in PurePosixPath(posix).parts or ":" in posix[:2]:
        raise DataError(f"file_name {file_name!r} leaves the images folder: give a path relative to it")
    if not _is_int(entry.get("width")) or not _is_int(entry.get("height")):
        raise DataError(f"width {entry.get('width')!r}, height {entry.get('height')!r}: integers are needed")
    mpp = entry.get("mpp")
    if mpp is not None and not _is_number(mpp):
        raise DataError(f"mpp {mpp!r}: a number or null is needed")
    stain = entry.get("stain")
    if stain is not None and not isinstance(stain, dict):
        raise DataError(f"stain {stain!r}: an object or null is needed")
    magnification = entry.get("magnification", 1.0)
    if not _is_number(magnification) or magnification <= 0:
        raise DataError(f"magnification {magnification!r}: a positive number is needed")
    return ImageRecord(
        image_id=image_id,
        file_name=posix,
        frame=Frame(height_px=entry["height"], width_px=entry["width"], mpp=None if mpp is None else float(mpp)),
        organ=_text(entry, "organ"),
        species=_text(entry, "species"),
        source=_text(entry, "source") or "",
        stain=None if stain is None else StainNormalisation.from_dict(stain),
        magnification=float(magnification),
    )


def _annotation(
    entry: Any, frames: Mapping[int, Frame], category_ids: set[int], position: int
) -> tuple[int, CocoAnnotation]:
    if not isinstance(entry, dict):
        raise DataError("an object is needed")
    # Only few writers leave the id out; its place in the file is as good a name.
    annotation_id = entry.get("id", position + 1)
    if not _is_int(annotation_id):
        raise DataError(f"id {annotation_id!r}: an integer is needed")
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not _is_int(image_id) or image_id not in frames:
        raise DataError(f"image_id {image_id!r} is no image of the file")
    if not _is_int(category_id) or category_id not in category_ids:
        raise DataError(f"category_id {category_id!r} is no category of the file: {sorted(category_ids)}")
    score, label_id = entry.get("score", 1.0), entry.get("label_id", annotation_id)
    if not _is_number(score) or not 0 <= score <= 1:
        raise DataError(f"score {score!r}: a number from 0 to 1 is needed")
    if not _is_int(label_id):
        raise DataError(f"label_id {label_id!r}: an integer is needed")
    return image_id, CocoAnnotation(
        annotation_id=annotation_id,
        category_id=category_id,
        segmentation=_segmentation(entry.get("segmentation"), frames[image_id]),
        box_xyxy=_box(entry.get("bbox")),
        is_crowd=bool(entry.get("iscrowd", 0)),
        label_id=label_id,
        score=float(score),
    )


def _segmentation(value: Any, frame: Frame) -> tuple[NDArray[np.float64], ...] | Rle:
    if isinstance(value, dict):
        size, counts = value.get("size"), value.get("counts")
        if size != list(frame.shape):
            raise DataError(f"segmentation of size {size!r} in an image of (height, width) {list(frame.shape)}")
        if isinstance(counts, str):
            code = Rle(size_hw=frame.shape, counts=counts)
            problem = rle_problem(code, frame)
            if problem is not None:
                raise DataError(f"segmentation: {problem}")
            return code
        if isinstance(counts, list):
            return rle_from_counts(frame, counts)
        raise DataError("segmentation.counts must be a list or a string")
    if not isinstance(value, list) or not value:
        raise DataError("no segmentation: a list of polygons or a run-length code is needed, a box is not enough")
    return tuple(_ring(ring, frame) for ring in value)


def _ring(ring: Any, frame: Frame) -> NDArray[np.float64]:
    if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2:
        found = f"{len(ring)} numbers" if isinstance(ring, list) else repr(ring)[:40]
        raise DataError(f"a polygon is x, y of at least 3 corners, found {found}")
    if not all(_is_number(number) for number in ring):
        raise DataError("a polygon has a coordinate that is not a number")
    corners_xy = np.array(ring, np.float64).reshape(-1, 2)
    # pycocotools walks along every edge, so that one corner far away would take all memory.
    side_px = max(frame.shape)
    if corners_xy.min() < -side_px or corners_xy.max() > 2 * side_px:
        raise DataError(f"a polygon reaches far out of the image of {frame.width_px} x {frame.height_px}")
    return corners_xy


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(number) for number in value):
        raise DataError(f"bbox {value!r}: x, y, width, height are needed")
    x, y, width, height = (float(number) for number in value)
    if width <= 0 or height <= 0:
        raise DataError(f"bbox {value!r} has no area: width and height must be positive")
    return x, y, x + width, y + height


def _text(entry: Mapping[str, Any], key: str) -> str | None:
    value = entry.get(key)
    if value is None or isinstance(value, str):
        return value
    raise DataError(f"{key} {value!r}: a text or null is needed")


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
