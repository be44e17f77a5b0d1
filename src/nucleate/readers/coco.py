"""COCO files of any program as one side: annotation files, and results lists that name their images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucleate.core import Frame
from nucleate.data import CocoDataset, read_dataset
from nucleate.errors import DataError
from nucleate.export import read_coco_results
from nucleate.readers.side import FileFormat, Side, SideImage


def read_coco_side(path: Path) -> Side:
    """Read a COCO annotation file, or a data set that `prepare` made; crowd regions are left out.

    Raises:
        DataError: an entry is unsound.
    """
    return side_of_dataset(read_dataset(path))


def side_of_dataset(dataset: CocoDataset) -> Side:
    """Return the nuclei of a data set as a side; crowd regions are left out."""
    images, crowds = [], 0
    for record in dataset.records:
        annotations = dataset.annotations(record)
        nuclei = annotations.instances.select(~annotations.is_crowd)
        crowds += int(np.count_nonzero(annotations.is_crowd))
        images.append(
            SideImage(
                name=record.file_name,
                frame=record.frame,
                masks=nuclei.masks,
                class_names=tuple(dataset.class_names[index] for index in nuclei.class_indices.tolist()),
                scores=nuclei.scores,
            )
        )
    notes = (f"{crowds} crowd regions of {dataset.annotations_path.name} were left out",) if crowds else ()
    return Side(path=dataset.annotations_path, format="coco", images=tuple(images), notes=notes)


def read_results_side(path: Path, file_format: FileFormat) -> Side:
    """Read a COCO results list whose records name their images; their frames are those of the masks.

    Raises:
        DataError: no such list, or a record names no image.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"no JSON: {error}", path=path) from error
    names, frames, categories = _images_of(records if isinstance(records, list) else [], path)
    images = [
        SideImage(
            name=names[found.image_id],
            frame=found.instances.frame,
            masks=found.instances.masks,
            class_names=tuple(f"category {categories[index]}" for index in found.instances.class_indices.tolist()),
            scores=found.instances.scores,
        )
        for found in read_coco_results(path, frames, categories)
    ]
    return Side(path=path, format=file_format, images=tuple(images), lists_all=False)


def _images_of(records: Sequence[Mapping[str, Any]], path: Path) -> tuple[dict[int, str], dict[int, Frame], list[int]]:
    names: dict[int, str] = {}
    frames: dict[int, Frame] = {}
    categories: set[int] = set()
    for number, record in enumerate(records):
        try:
            image_id, name = record["image_id"], record.get("file_name")
            height, width = record["segmentation"]["size"]
            frame = Frame(height_px=int(height), width_px=int(width))
            categories.add(int(record["category_id"]))
        except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
            raise DataError(
                f"no detection with image_id, category_id and a compressed RLE ({error!r})",
                path=path,
                item=f"record {number}",
            ) from error
        if not isinstance(name, str) or not name:
            raise DataError(
                "a results list without file_name says nothing of its images: give COCO annotations as the other side",
                path=path,
                item=f"record {number}",
            )
        names.setdefault(image_id, name.replace("\\", "/"))
        frames.setdefault(image_id, frame)
    return names, frames, sorted(categories)
