"""A COCO results file, ours or another program's, brought to a data set's images and classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from nucleate.core import Instances
from nucleate.data import CocoDataset, ImageRecord
from nucleate.errors import DataError
from nucleate.export import ImagePredictions, read_coco_results


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPredictions:
    """Predictions for a data set, and what has to be said about them.

    Attributes:
        predictions: one an image of the data set, in its order; class indices count the data set's classes, those
            that it lacks come after.
        notes: one sentence each.
    """

    predictions: tuple[ImagePredictions, ...]
    notes: tuple[str, ...] = ()


def read_results_file(path: Path, dataset: CocoDataset, whole: CocoDataset) -> FoundPredictions:
    """Read the detections of a data set's images from a results file.

    Args:
        path: a COCO results list; categories that the data set lacks are read too.
        dataset: the split to score.
        whole: all images that the file may speak of; detections in images outside of the split are left out.

    Raises:
        DataError: the file is no results list, or its images are not the data set's.
    """
    records = _raw_records(path)
    _check_file_names(records, whole, path)
    ids = {record["category_id"] for record in records if type(record.get("category_id")) is int}
    foreign = sorted(ids - set(dataset.category_ids))
    frames = {record.image_id: record.frame for record in whole.records}
    found = {image.image_id: image for image in read_coco_results(path, frames, [*dataset.category_ids, *foreign])}
    return _of_split(found, dataset)


def read_results_of_files(path: Path, dataset: CocoDataset, whole: CocoDataset) -> FoundPredictions:
    """Read the detections of `segment`, whose image ids count its inputs: images are found by their file names.

    Args:
        path: a COCO results list in which every record has a file name.
        dataset: the split to score.
        whole: all images that the file may speak of.

    Raises:
        DataError: the file is no results list, or a file name belongs to no image, or to several.
    """
    exact = {record.file_name: record for record in whole.records}
    by_name: dict[str, list[ImageRecord]] = {}
    for record in whole.records:
        by_name.setdefault(PurePosixPath(record.file_name).name, []).append(record)
    images: dict[int, ImageRecord] = {}
    for number, entry in enumerate(_raw_records(path)):
        image_id, file_name = entry.get("image_id"), entry.get("file_name")
        if not isinstance(image_id, int) or not isinstance(file_name, str) or image_id in images:
            continue
        named = by_name.get(PurePosixPath(file_name.replace("\\", "/")).name, [])
        fitting = [exact[file_name]] if file_name in exact else named
        if len(fitting) != 1:
            problem = "is no image of the annotations" if not fitting else "names several images of the annotations"
            raise DataError(f"{file_name!r} {problem}", path=path, item=f"record {number}")
        images[image_id] = fitting[0]
    ids = {entry["category_id"] for entry in _raw_records(path) if type(entry.get("category_id")) is int}
    foreign = sorted(ids - set(dataset.category_ids))
    frames = {image_id: record.frame for image_id, record in images.items()}
    found: dict[int, ImagePredictions] = {}
    for image in read_coco_results(path, frames, [*dataset.category_ids, *foreign]):
        record = images[image.image_id]
        if record.image_id in found:
            raise DataError(f"two inputs are the image {record.file_name!r} of the annotations", path=path)
        found[record.image_id] = replace(image, image_id=record.image_id)
    return _of_split(found, dataset)


def _of_split(found: Mapping[int, ImagePredictions], dataset: CocoDataset) -> FoundPredictions:
    """Return the predictions of a split's images, empty where nothing was found, and what is to be said of the rest."""
    wanted = [
        found.get(record.image_id)
        or ImagePredictions(
            image_id=record.image_id, file_name=record.file_name, instances=Instances.empty(record.frame)
        )
        for record in dataset.records
    ]
    inside = {record.image_id for record in dataset.records}
    outside = sum(len(image.instances) for image_id, image in found.items() if image_id not in inside)
    silent = sum(not len(image.instances) for image in wanted)
    notes = []
    if outside:
        notes.append(f"{outside} detections lie in images outside of the split and were left out")
    if silent:
        notes.append(f"{silent} of {len(wanted)} images have no detection in the results file")
    return FoundPredictions(predictions=tuple(wanted), notes=tuple(notes))


def _raw_records(path: Path) -> list[Mapping[str, Any]]:
    """Return the JSON objects of a list; what is wrong with the file, `read_coco_results` says."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [record for record in content if isinstance(record, dict)] if isinstance(content, list) else []


def _check_file_names(records: list[Mapping[str, Any]], whole: CocoDataset, path: Path) -> None:
    """Refuse image ids that count other images, as those of `segment` do."""
    names = {record.image_id: PurePosixPath(record.file_name).name for record in whole.records}
    for number, record in enumerate(records):
        image_id, file_name = record.get("image_id"), record.get("file_name")
        if not isinstance(image_id, int) or not isinstance(file_name, str) or image_id not in names:
            continue
        if file_name and PurePosixPath(file_name).name != names[image_id]:
            raise DataError(
                f"image_id {image_id} is {file_name!r} here and {names[image_id]!r} in the annotations: score the "
                "model or run itself (`nucleate evaluate RUN DATA`), whose results have the data set's ids",
                path=path,
                item=f"record {number}",
            )
