"""COCO files registered under a name, and read as Detectron2's dicts."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from nucleate.core import Rle
from nucleate.data import CocoDataset, read_dataset
from nucleate.data.coco_file import CocoAnnotation, ImageRecord
from nucleate.detectron2.data.catalog import DatasetCatalog, DatasetDict, MetadataCatalog
from nucleate.detectron2.structures import BoxMode

__all__ = ["load_coco_json", "register_coco_instances"]

_log = logging.getLogger(__name__)


def register_coco_instances(
    name: str, metadata: dict[str, Any], json_file: str | os.PathLike[str], image_root: str | os.PathLike[str]
) -> None:
    """Register a COCO file; it is read when it is asked for.

    Args:
        name: for DATASETS.TRAIN, DATASETS.TEST and the catalogues.
        metadata: more attributes for `MetadataCatalog.get(name)`.
        json_file: the annotations.
        image_root: the folder that the file's names are relative to.

    Raises:
        AlreadyRegisteredError: the name is taken.
    """
    json_text, root_text = os.fspath(json_file), os.fspath(image_root)
    DatasetCatalog.register(name, lambda: load_coco_json(json_text, root_text, name))
    MetadataCatalog.get(name).set(json_file=json_text, image_root=root_text, evaluator_type="coco", **metadata)


def load_coco_json(
    json_file: str | os.PathLike[str], image_root: str | os.PathLike[str], dataset_name: str | None = None
) -> list[DatasetDict]:
    """Return a COCO file as Detectron2's dicts, and set its classes in the name's metadata.

    Raises:
        DataError: the file is missing or has unsound entries.
    """
    dataset = read_dataset(Path(json_file), images_dir=Path(image_root))
    describe(dataset, dataset_name)
    _log.info("Loaded %d images in COCO format from %s", len(dataset), json_file)
    return [_dataset_dict(dataset, record) for record in dataset.records]


def describe(dataset: CocoDataset, name: str | None) -> None:
    """Set the classes of a data set in the metadata of a name."""
    if name is not None:
        places = {category_id: index for index, category_id in enumerate(dataset.category_ids)}
        metadata = MetadataCatalog.get(name)
        if metadata.get("thing_classes") is None:
            metadata.thing_classes = list(dataset.class_names)
        metadata.thing_dataset_id_to_contiguous_id = places


def _dataset_dict(dataset: CocoDataset, record: ImageRecord) -> DatasetDict:
    return {
        "file_name": os.fspath(dataset.image_path(record)),
        "height": record.frame.height_px,
        "width": record.frame.width_px,
        "image_id": record.image_id,
        "annotations": [_annotation_dict(dataset, each) for each in dataset.entries[record.image_id]],
    }


def _annotation_dict(dataset: CocoDataset, entry: CocoAnnotation) -> DatasetDict:
    segmentation = entry.segmentation
    drawn: Any
    if isinstance(segmentation, Rle):
        drawn = segmentation.to_coco()
    else:
        drawn = [ring.reshape(-1).tolist() for ring in segmentation]
    content: DatasetDict = {
        "iscrowd": int(entry.is_crowd),
        "category_id": dataset.category_ids.index(entry.category_id),
        "segmentation": drawn,
        "bbox_mode": BoxMode.XYWH_ABS,
    }
    if entry.box_xyxy is not None:
        content["bbox"] = BoxMode.convert(entry.box_xyxy, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
    return content
