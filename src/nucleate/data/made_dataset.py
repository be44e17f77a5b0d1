"""A data set made in memory, of nuclei that come from files of another format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucleate.core import Instances, encode_rles
from nucleate.data.coco_file import CocoAnnotation, ImageRecord
from nucleate.data.dataset import CocoDataset
from nucleate.files import json_text


def dataset_of_instances(
    path: Path,
    images: Sequence[tuple[str, Instances]],
    *,
    class_names: Sequence[str],
    images_dir: Path,
) -> CocoDataset:
    """Return a data set with one record an image, numbered from 1, masks as run-length codes.

    Args:
        path: where the nuclei come from.
        images: file name, relative to `images_dir`, and nuclei that hold a pixel each.
        class_names: what the nuclei's class indices count.
        images_dir: the folder of the images, which need not exist.
    """
    records: list[ImageRecord] = []
    entries: dict[int, tuple[CocoAnnotation, ...]] = {}
    rows: list[dict[str, Any]] = []
    for image_id, (file_name, instances) in enumerate(images, start=1):
        records.append(ImageRecord(image_id=image_id, file_name=file_name, frame=instances.frame))
        windows = instances.masks.cropped().windows_xyxy.astype(np.float64).tolist()
        areas = instances.masks.areas_px().tolist()
        of_image = []
        for code, (x1, y1, x2, y2), area, class_index in zip(
            encode_rles(instances.masks), windows, areas, instances.class_indices.tolist(), strict=True
        ):
            annotation_id = len(rows) + 1
            of_image.append(
                CocoAnnotation(
                    annotation_id=annotation_id,
                    category_id=class_index + 1,
                    segmentation=code,
                    box_xyxy=(x1, y1, x2, y2),
                    is_crowd=False,
                    label_id=annotation_id,
                    score=1.0,
                )
            )
            rows.append(
                {
                    "id": annotation_id,
                    "image_id": image_id,
                    "category_id": class_index + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": code.to_coco(),
                }
            )
        entries[image_id] = tuple(of_image)
    document = {
        "images": [
            {
                "id": record.image_id,
                "file_name": record.file_name,
                "height": record.frame.height_px,
                "width": record.frame.width_px,
            }
            for record in records
        ],
        "annotations": rows,
        "categories": [{"id": place, "name": name} for place, name in enumerate(class_names, start=1)],
    }
    return CocoDataset(
        annotations_path=path,
        images_dir=images_dir,
        class_names=tuple(class_names),
        category_ids=tuple(range(1, len(class_names) + 1)),
        records=tuple(records),
        entries=entries,
        content=json_text(document).encode("utf-8"),
    )
