"""From registered names to the engine's data sets: COCO files as they are, dicts by way of a COCO file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nucleate.data import CocoDataset, read_dataset
from nucleate.detectron2.data.catalog import DatasetCatalog, DatasetDict, MetadataCatalog
from nucleate.detectron2.data.datasets import describe
from nucleate.detectron2.structures import BoxMode
from nucleate.errors import DataError
from nucleate.files import write_json


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegisteredDataset:
    """A registered data set as the engine reads it.

    Attributes:
        dataset: images and annotations.
        ids: the catalogue's image_id -> the data set's; they differ where the catalogue's are not integers.
    """

    dataset: CocoDataset
    ids: Mapping[Any, int]


def registered_dataset(names: Sequence[str], folder: Path) -> RegisteredDataset:
    """Return registered data sets as one.

    Args:
        names: at least one; several are joined, as Detectron2 joins them.
        folder: where a COCO file is written for what is not one COCO file already.

    Raises:
        UnknownDatasetError: a name is not registered.
        DataError: unsound annotations, or sets of different classes.
    """
    for name in names:
        DatasetCatalog.check(name)
    metadata = MetadataCatalog.get(names[0])
    if len(names) == 1 and metadata.get("evaluator_type") == "coco" and metadata.get("json_file"):
        dataset = read_dataset(Path(metadata.json_file), images_dir=Path(metadata.image_root))
        describe(dataset, names[0])
        return RegisteredDataset(dataset=dataset, ids={record.image_id: record.image_id for record in dataset.records})
    return _written(names, folder)


def _written(names: Sequence[str], folder: Path) -> RegisteredDataset:
    dicts = [each for name in names for each in DatasetCatalog.get(name)]
    if not dicts:
        raise DataError("the data set has no images", item=", ".join(names))
    classes = [tuple(MetadataCatalog.get(name).get("thing_classes") or ()) for name in names]
    if len(set(classes)) > 1:
        raise DataError(f"sets of different classes: {' and '.join(str(list(each)) for each in classes)}")
    category_ids = _category_ids(names[0], classes[0], dicts)
    root = _common_folder(dicts)
    own_ids = [each.get("image_id") for each in dicts]
    usable = all(type(each) is int for each in own_ids) and len(set(own_ids)) == len(own_ids)
    numbers: list[int] = [int(str(each)) for each in own_ids] if usable else list(range(1, len(dicts) + 1))
    annotations: list[dict[str, Any]] = []
    images = []
    for number, each in zip(numbers, dicts, strict=True):
        name = Path(each["file_name"]).absolute().relative_to(root).as_posix()
        images.append({"id": number, "file_name": name, "width": int(each["width"]), "height": int(each["height"])})
        for entry in each.get("annotations", ()):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, **_coco_annotation(entry, category_ids)}
            )
    named = [
        {"id": category_id, "name": classes[0][index] if classes[0] else f"class {index + 1}"}
        for index, category_id in enumerate(category_ids)
    ]
    path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', '_and_'.join(names))}_coco_format.json"
    write_json(path, {"images": images, "annotations": annotations, "categories": named})
    dataset = read_dataset(path, images_dir=root)
    return RegisteredDataset(dataset=dataset, ids=dict(zip(own_ids, numbers, strict=True)))


def _common_folder(dicts: Iterable[DatasetDict]) -> Path:
    try:
        return Path(os.path.commonpath([Path(each["file_name"]).absolute().parent for each in dicts]))
    except ValueError as error:
        raise DataError("the images lie on several drives: put them on one") from error


def _category_ids(name: str, classes: tuple[str, ...], dicts: Iterable[DatasetDict]) -> list[int]:
    places: Mapping[int, int] = MetadataCatalog.get(name).get("thing_dataset_id_to_contiguous_id") or {}
    if places:
        return [category_id for category_id, _ in sorted(places.items(), key=lambda pair: pair[1])]
    used = [int(entry["category_id"]) for each in dicts for entry in each.get("annotations", ())]
    return list(range(max(len(classes), max(used, default=-1) + 1)))


def _coco_annotation(entry: DatasetDict, category_ids: Sequence[int]) -> dict[str, Any]:
    segmentation = entry.get("segmentation")
    content: dict[str, Any] = {
        "category_id": category_ids[int(entry["category_id"])],
        "bbox": BoxMode.convert(entry["bbox"], entry.get("bbox_mode", BoxMode.XYWH_ABS), BoxMode.XYWH_ABS),
        "iscrowd": int(entry.get("iscrowd", 0)),
    }
    if isinstance(segmentation, Mapping):
        counts = segmentation["counts"]
        readable = counts.decode("ascii") if isinstance(counts, bytes) else counts
        return {**content, "segmentation": {"size": list(segmentation["size"]), "counts": readable}}
    rings = [[float(value) for value in ring] for ring in segmentation or ()]
    return {**content, "segmentation": rings, "area": sum(_ring_area_px(ring) for ring in rings)}


def _ring_area_px(ring: Sequence[float]) -> float:
    x, y = np.asarray(ring, np.float64).reshape(-1, 2).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
