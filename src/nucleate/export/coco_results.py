"""COCO's results list (coco_instances_results.json), as Detectron2's COCOEvaluator writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nucleate.core import Frame, Instances, Rle, decode_rles, encode_rles, rle_problem
from nucleate.errors import DataError
from nucleate.files import write_path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImagePredictions:
    """What a model found in one image.

    Attributes:
        image_id: the data set's; outside a data set the place in input order, from 1.
        file_name: posix path of the image; empty where the results file does not say.
        instances: the nuclei, class_indices counting from 0.
    """

    image_id: int
    file_name: str
    instances: Instances


def coco_records(predictions: ImagePredictions, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return one image's records: image_id, file_name, category_id, bbox (x, y, width, height), score, segmentation.

    Raises:
        DataError: a class has no category id.
    """
    instances = predictions.instances
    if len(instances) and int(instances.class_indices.max()) >= len(category_ids):
        raise DataError(
            f"class {int(instances.class_indices.max())} where {len(category_ids)} categories have an id",
            item=predictions.file_name,
        )
    # Detectron2 subtracts in float32, and so its files have these digits.
    sizes = instances.boxes_xyxy[:, 2:] - instances.boxes_xyxy[:, :2]
    boxes_xywh = np.concatenate([instances.boxes_xyxy[:, :2], sizes], axis=1).tolist()
    return [
        {
            "image_id": predictions.image_id,
            "file_name": predictions.file_name,
            "category_id": int(category_ids[class_index]),
            "bbox": box,
            "score": score,
            "segmentation": code.to_coco(),
        }
        for class_index, box, score, code in zip(
            instances.class_indices.tolist(),
            boxes_xywh,
            instances.scores.tolist(),
            encode_rles(instances.masks),
            strict=True,
        )
    ]


def write_coco_results(path: Path, predictions: Iterable[ImagePredictions], *, category_ids: Sequence[int]) -> None:
    """Write a results list, one record a line; equal predictions give equal bytes.

    Args:
        path: the file.
        predictions: images in the order they shall have in the file.
        category_ids: the category id of each class index.
    """
    records = (record for image in predictions for record in coco_records(image, category_ids))
    write_records(path, (json.dumps(record, allow_nan=False, ensure_ascii=False) for record in records))


def write_records(path: Path, lines: Iterable[str]) -> None:
    """Write JSON objects, one a string, as one JSON list with a line for each; the objects may be a stream."""
    with write_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as text:
        separator = "["
        for line in lines:
            text.write(f"{separator}\n{line}")
            separator = ","
        text.write("[]\n" if separator == "[" else "\n]\n")


def read_coco_results(path: Path, frames: Mapping[int, Frame], category_ids: Sequence[int]) -> list[ImagePredictions]:
    """Read a results list, ours or Detectron2's.

    Args:
        path: the file.
        frames: the grid of each image by image_id.
        category_ids: the category id of each class index.

    Returns:
        One value a frame, in the frames' order, images without detections included; an image's detections by
        falling score, equal scores in file order.

    Raises:
        DataError: the file is missing, no JSON list, or has records that fit neither images nor categories.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", path=path) from error
    except ValueError as error:
        raise DataError(f"no JSON: {error}", path=path) from error
    if not isinstance(records, list):
        raise DataError("a results file is a JSON list of detections; for annotations give a data set", path=path)
    class_of = {category_id: index for index, category_id in enumerate(category_ids)}
    found: dict[int, list[_Detection]] = {image_id: [] for image_id in frames}
    names: dict[int, str] = {}
    problems: list[str] = []
    for number, record in enumerate(records):
        try:
            detection = _parse(record, frames, class_of)
        except ValueError as error:
            problems.append(f"record {number}: {error}")
            continue
        found[detection.image_id].append(detection)
        names.setdefault(detection.image_id, str(record.get("file_name", "")))
    if problems:
        more = f" (and {len(problems) - 1} more such records)" if len(problems) > 1 else ""
        raise DataError(problems[0] + more, path=path)
    return [
        ImagePredictions(
            image_id=image_id,
            file_name=names.get(image_id, ""),
            instances=_instances(frame, sorted(found[image_id], key=lambda detection: -detection.score)),
        )
        for image_id, frame in frames.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Detection:
    image_id: int
    class_index: int
    score: float
    box_xywh: tuple[float, float, float, float] | None
    code: Rle


def _parse(record: Any, frames: Mapping[int, Frame], class_of: Mapping[int, int]) -> _Detection:
    if not isinstance(record, dict):
        raise ValueError(f"a {type(record).__name__} where a detection (a JSON object) belongs")  # noqa: TRY004
    missing = [key for key in ("image_id", "category_id", "score", "segmentation") if key not in record]
    if missing:
        hint = ": boxes alone can't be scored as masks" if missing == ["segmentation"] else ""
        raise ValueError(f"no {', '.join(missing)}{hint}")
    image_id, category_id, score = record["image_id"], record["category_id"], record["score"]
    if not isinstance(image_id, int) or image_id not in frames:
        raise ValueError(f"image_id {image_id!r} is not in the annotations")
    if not isinstance(category_id, int) or category_id not in class_of:
        raise ValueError(f"category_id {category_id!r} is not one of {sorted(class_of)}")
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ValueError(f"score {score!r} lies outside 0 to 1")
    segmentation = record["segmentation"]
    if not (
        isinstance(segmentation, dict)
        and isinstance(segmentation.get("counts"), str)
        and isinstance(segmentation.get("size"), list)
    ):
        raise ValueError("segmentation is no compressed RLE ({'size': [height, width], 'counts': '...'})")  # noqa: TRY004
    code = Rle(size_hw=tuple(segmentation["size"]), counts=segmentation["counts"])
    problem = rle_problem(code, frames[image_id])
    if problem:
        raise ValueError(f"segmentation: {problem}")
    return _Detection(
        image_id=image_id,
        class_index=class_of[category_id],
        score=float(score),
        box_xywh=_parse_box(record.get("bbox")),
        code=code,
    )


def _parse_box(bbox: Any) -> tuple[float, float, float, float] | None:
    if bbox is None:
        return None
    numbers = isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(value, int | float) for value in bbox)
    if not numbers or not all(math.isfinite(value) for value in bbox):
        raise ValueError(f"bbox {bbox!r} is not four numbers: x, y, width, height")
    x, y, width, height = bbox
    return x, y, width, height


def _instances(frame: Frame, detections: Sequence[_Detection]) -> Instances:
    masks = decode_rles(frame, [detection.code for detection in detections])
    boxes_xyxy = masks.windows_xyxy.astype(np.float64)
    for index, detection in enumerate(detections):
        if detection.box_xywh is not None:
            x, y, width, height = detection.box_xywh
            boxes_xyxy[index] = (x, y, x + width, y + height)
    return Instances(
        frame=frame,
        boxes_xyxy=boxes_xyxy.astype(np.float32),
        masks=masks,
        class_indices=np.array([detection.class_index for detection in detections], np.int64),
        scores=np.array([detection.score for detection in detections], np.float32),
    )
