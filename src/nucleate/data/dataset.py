"""A data set that was prepared, or one COCO file: records first, pixels and masks when they are asked for."""

from __future__ import annotations

import hashlib
import json
import logging
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Instances
from nucleate.core.stain import StainNormalisation
from nucleate.data.coco_file import (
    CocoAnnotation,
    CocoFile,
    ImageRecord,
    decode_annotations,
    load_coco_json,
    parse_coco,
)
from nucleate.errors import ConfigError, DataError, first_and_count
from nucleate.files import json_text, read_rgb

Split = Literal["train", "val", "test", "all"]
SPLITS: tuple[Split, ...] = ("train", "val", "test", "all")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Annotations:
    """The annotated nuclei of one image.

    Attributes:
        instances: masks, boxes and classes; class indices count the data set's `class_names`.
        label_ids: (N,) numbers in the source.
        is_crowd: (N,) regions of many nuclei, which count for neither side in an evaluation.
    """

    instances: Instances
    label_ids: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CocoDataset:
    """Images and their annotated nuclei.

    Attributes:
        annotations_path: the JSON file.
        images_dir: the folder that the records' file names are relative to.
        class_names: by rising category id.
        category_ids: COCO's ids of the same classes.
        records: images in file order.
        entries: annotations by image id, undecoded; use `annotations`.
        content: the JSON of a data set that was made of another's part or from files of another format; None reads
            `annotations_path`.
    """

    annotations_path: Path
    images_dir: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    records: tuple[ImageRecord, ...]
    entries: Mapping[int, tuple[CocoAnnotation, ...]] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def nuclei(self) -> int:
        """Return the number of annotations, crowds included."""
        return sum(len(self.entries[record.image_id]) for record in self.records)

    @property
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with the annotations and with the images' names and file sizes."""
        digest = hashlib.sha256(self.annotations_path.read_bytes() if self.content is None else self.content)
        for record in self.records:
            path = self.image_path(record)
            size_bytes = path.stat().st_size if path.is_file() else -1
            digest.update(f"{record.file_name}\0{size_bytes}\n".encode())
        return digest.hexdigest()[:16]

    @property
    def stain(self) -> StainNormalisation | None:
        """Return the normalisation that the images went through (pale ones stay as they are), None for none."""
        return next((record.stain for record in self.records if record.stain is not None), None)

    @property
    def magnification(self) -> float:
        """Return the median factor from the source images' pixels to the data set's; 1 for a set of no image."""
        return statistics.median([record.magnification for record in self.records] or [1.0])

    def image_path(self, record: ImageRecord) -> Path:
        """Return where an image lies; it need not exist."""
        return self.images_dir / record.file_name

    def read_image(self, record: ImageRecord) -> NDArray[np.uint8]:
        """Return an image as (H, W, 3) RGB.

        Raises:
            DataError: it is missing, unreadable, or of another size than its record.
        """
        path = self.image_path(record)
        image = read_rgb(path)
        if image.shape[:2] != record.frame.shape:
            raise DataError(
                f"the image is {image.shape[1]} x {image.shape[0]} pixels,"
                f" its record says {record.frame.width_px} x {record.frame.height_px}",
                path=path,
            )
        return image

    def annotations(self, record: ImageRecord) -> Annotations:
        """Return the nuclei of one image, masks decoded now; boxes are the file's, or the masks' where it has none."""
        entries = self.entries[record.image_id]
        masks = decode_annotations(record.frame, entries)
        fitted = masks.windows_xyxy
        boxes = [fitted[index] if entry.box_xyxy is None else entry.box_xyxy for index, entry in enumerate(entries)]
        instances = Instances(
            frame=record.frame,
            boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
            masks=masks,
            class_indices=np.array([self.category_ids.index(entry.category_id) for entry in entries], np.int64),
            scores=np.array([entry.score for entry in entries], np.float32),
        )
        return Annotations(
            instances=instances,
            label_ids=np.array([entry.label_id for entry in entries], np.int64),
            is_crowd=np.array([entry.is_crowd for entry in entries], np.bool_),
        )

    def subset(self, file_names: Collection[str]) -> CocoDataset:
        """Return the data set of the named images alone, in the order of the records, with a content of its own."""
        wanted = set(file_names)
        records = tuple(record for record in self.records if record.file_name in wanted)
        ids = {record.image_id for record in records}
        document = self.coco()
        document["images"] = [each for each in document["images"] if each["id"] in ids]
        document["annotations"] = [each for each in document["annotations"] if each["image_id"] in ids]
        return replace(
            self,
            records=records,
            entries={image_id: self.entries[image_id] for image_id in ids},
            content=json_text(document).encode("utf-8"),
        )

    def coco(self) -> dict[str, Any]:
        """Return the parsed JSON object, for COCO's own evaluation; a new one at every call."""
        if self.content is not None:
            return dict(json.loads(self.content))
        return load_coco_json(self.annotations_path)


def read_dataset(path: Path, *, split: Split = "all", images_dir: Path | None = None) -> CocoDataset:
    """Return a data set.

    Args:
        path: a folder that `prepare` made, or one COCO JSON file.
        split: of the folder; a single file has none but "all".
        images_dir: by default the folder `images` beside `annotations`, else the one that holds the file.

    Raises:
        DataError: no data set, not this split, or a file with unsound entries (all are logged, the first is named).
        ConfigError: a split of a single file.
    """
    path = Path(path)
    file_path = _annotations_path(path, split)
    parsed = parse_coco(file_path)
    if parsed.problems:
        for problem in parsed.problems:
            logger.info("%s: %s", file_path, problem)
        raise DataError(first_and_count(list(parsed.problems), "the log"), path=file_path)
    return _dataset(file_path, parsed, images_dir or default_images_dir(file_path))


def available_splits(path: Path) -> tuple[str, ...]:
    """Return which of train, val, test and all a data set folder or COCO file has, in this order."""
    path = Path(path)
    if path.is_file():
        return ("all",)
    return tuple(split for split in SPLITS if (path / "annotations" / f"{split}.json").is_file())


def _annotations_path(path: Path, split: Split) -> Path:
    if path.is_file():
        if split != "all":
            raise ConfigError(f"a single file has no split {split!r}: give the folder that `prepare` made", path=path)
        return path
    splits = available_splits(path)
    if not splits:
        what = "no annotations/all.json in it" if path.is_dir() else "no such file or folder"
        raise DataError(f"{what}: give a folder that `nucleate prepare` made, or a COCO JSON file", path=path)
    if split not in splits:
        raise DataError(
            f"no split {split!r} here, only {', '.join(splits)}: prepare it with --split or --folds", path=path
        )
    return path / "annotations" / f"{split}.json"


def default_images_dir(file_path: Path) -> Path:
    """Return the folder `images` beside `annotations` or beside a COCO file, else the file's own folder."""
    beside = file_path.parent.parent / "images"
    if file_path.parent.name == "annotations" and beside.is_dir():
        return beside
    inside = file_path.parent / "images"
    return inside if inside.is_dir() else file_path.parent


def _dataset(file_path: Path, parsed: CocoFile, images_dir: Path) -> CocoDataset:
    return CocoDataset(
        annotations_path=file_path,
        images_dir=images_dir,
        class_names=tuple(name for _, name in parsed.categories),
        category_ids=tuple(category_id for category_id, _ in parsed.categories),
        records=parsed.records,
        entries=parsed.annotations,
    )
