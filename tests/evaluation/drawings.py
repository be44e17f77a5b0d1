"""Label maps drawn as the definitions write them: 20 rows x 40 columns, [rows, columns], half-open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks, encode_rles, masks_from_label_map
from nucleate.data import CocoDataset, read_dataset
from nucleate.evaluation import Overlaps, label_map_overlaps
from nucleate.export import ImagePredictions

SHAPE = (20, 40)
Box = tuple[int, int, int, int]


def draw(*boxes: Box, ids: Sequence[int] | None = None, shape: tuple[int, int] = SHAPE) -> NDArray[np.int64]:
    """Return a map of boxes (top, bottom, left, right) with ids 1, 2, ..."""
    label_map = np.zeros(shape, np.int64)
    for number, (top, bottom, left, right) in zip(ids or range(1, len(boxes) + 1), boxes, strict=True):
        label_map[top:bottom, left:right] = number
    return label_map


def overlaps_of(annotated: Sequence[Box], predicted: Sequence[Box]) -> Overlaps:
    return label_map_overlaps(draw(*annotated), draw(*predicted))


def masks_of(boxes: Sequence[Box], shape: tuple[int, int] = SHAPE) -> Masks:
    frame = Frame(height_px=shape[0], width_px=shape[1])
    return Masks.from_full(frame, [draw(box, shape=shape) > 0 for box in boxes])


def predict(
    image_id: int, boxes: Sequence[Box], scores: Sequence[float], classes: Sequence[int] | None = None
) -> ImagePredictions:
    instances = Instances.from_masks(
        masks_of(boxes),
        scores=np.array(scores, np.float32),
        class_indices=np.array(classes if classes is not None else [0] * len(boxes), np.int64),
    )
    return ImagePredictions(image_id=image_id, file_name=f"image_{image_id}.png", instances=instances)


def write_dataset(
    folder: Path,
    images: Sequence[Sequence[Box]],
    *,
    organs: Sequence[str | None] | None = None,
    species: Sequence[str] | None = None,
    classes: Sequence[str] = ("nucleus",),
) -> CocoDataset:
    """Write one COCO file of images 1, 2, ... with a nucleus a box (classes in turn), and read it."""
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, boxes in enumerate(images):
        record = {"id": index + 1, "file_name": f"image_{index + 1}.png", "height": SHAPE[0], "width": SHAPE[1]}
        known = {} if organs is None else {"organ": organs[index]}
        records.append({**record, **known, **({} if species is None else {"species": species[index]})})
        masks = masks_of(boxes)
        for place, (code, area, box) in enumerate(
            zip(encode_rles(masks), masks.areas_px().tolist(), boxes, strict=True)
        ):
            top, bottom, left, right = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": 1 + place % len(classes),
                    "iscrowd": 0,
                    "area": area,
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": code.to_coco(),
                }
            )
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(classes)]
    path = folder / "annotations.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": records, "annotations": annotations, "categories": categories}))
    return read_dataset(path)


def instances_of(label_map: NDArray[Any], scores: Sequence[float] | None = None) -> Instances:
    masks, _ = masks_from_label_map(label_map)
    return Instances.from_masks(masks, scores=None if scores is None else np.array(scores, np.float32))
