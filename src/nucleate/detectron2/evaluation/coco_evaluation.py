"""COCOEvaluator: bbox and segm average precision, its results files and its tables."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from nucleate.core import Frame, Masks
from nucleate.core import Instances as Nuclei
from nucleate.detectron2.data.registered import registered_dataset
from nucleate.detectron2.errors import NotBuiltError
from nucleate.detectron2.evaluation.evaluator import DatasetEvaluator
from nucleate.detectron2.structures import Instances
from nucleate.errors import DataError
from nucleate.evaluation import AveragePrecision, AveragePrecisionScorer, PrecisionTable, of_known_classes
from nucleate.evaluation.average_precision import DETECTRON2_MAX_DETECTIONS
from nucleate.evaluation.detectron2_text import named_scores, table_messages
from nucleate.export import ImagePredictions
from nucleate.export.coco_results import coco_records, write_records
from nucleate.files import write_path

_log = logging.getLogger("nucleate.d2.evaluation.coco_evaluation")
_TASKS = ("bbox", "segm")


class COCOEvaluator(DatasetEvaluator):
    """Scores boxes and masks as COCO does, with Detectron2's sizes (a mask's own area) and its 100 detections.

    Args:
        dataset_name: a registered data set.
        tasks: "bbox", "segm"; None for both.
        distributed: nothing else than one process is built, so it changes nothing.
        output_dir: folder of coco_instances_results.json and instances_predictions.pth; None writes none.
        max_dets_per_image: detections of an image (and class) that count, 100 where None; dense fields hold more.

    Raises:
        NotBuiltError: another task.
        UnknownDatasetError: nobody registered the name.
        DataError: unsound annotations.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,  # noqa: ARG002, FBT001, FBT002
        output_dir: str | os.PathLike[str] | None = None,
        *,
        max_dets_per_image: int | None = None,
    ) -> None:
        self._tasks = tuple(_TASKS if tasks is None else tasks)
        unknown = [task for task in self._tasks if task not in _TASKS]
        if unknown:
            raise NotBuiltError(f"this task is not built; built: {', '.join(_TASKS)}", item=str(unknown[0]))
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._limit = DETECTRON2_MAX_DETECTIONS if max_dets_per_image is None else max_dets_per_image
        with TemporaryDirectory() as temporary:
            self._registered = registered_dataset([dataset_name], self._output_dir or Path(temporary))
            self._annotations = self._registered.dataset.coco()
        if len(self._registered.ids) < len(self._registered.dataset):
            raise DataError("two images have one image_id: predictions can't be told apart", item=dataset_name)
        self._frames = {record.image_id: record.frame for record in self._registered.dataset.records}
        self._predictions: list[ImagePredictions] = []

    def reset(self) -> None:
        """Forget all predictions."""
        self._predictions = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch.

        Args:
            inputs: dicts with `image_id`.
            outputs: dicts with `instances`.

        Raises:
            DataError: an image that the data set does not have, or instances of another size.
        """
        for image, answer in zip(inputs, outputs, strict=True):
            image_id = self._registered.ids.get(image["image_id"])
            if image_id is None:
                raise DataError("no image of the data set", item=f"image_id {image['image_id']!r}")
            nuclei = nuclei_of(answer["instances"])
            if nuclei.frame.shape != self._frames[image_id].shape:
                raise DataError(
                    f"instances of an image of {nuclei.frame.shape}, the data set says {self._frames[image_id].shape}",
                    item=f"image_id {image['image_id']!r}",
                )
            name = str(image.get("file_name", ""))
            self._predictions.append(ImagePredictions(image_id=image_id, file_name=name, instances=nuclei))

    def evaluate(self, img_ids: Sequence[Any] | None = None) -> Mapping[str, Mapping[str, float]]:
        """Return task -> name -> percent (AP, AP50, AP75, APs, APm, APl, AP-<class>), and log the tables.

        Args:
            img_ids: only these images count; None for all.
        """
        if not self._predictions:
            _log.warning("[COCOEvaluator] Did not receive valid predictions.")
            return {}
        _log.info("Preparing results for COCO format ...")
        category_ids = self._registered.dataset.category_ids
        known = [of_known_classes(image, len(category_ids)) for image in self._predictions]
        strangers = sum(len(image.instances) for image in self._predictions) - sum(
            len(each.instances) for each in known
        )
        if strangers:
            _log.warning("%d detections of classes that the data set does not have are left out", strangers)
        records = [_without_name(each) for image in known for each in coco_records(image, category_ids)]
        if self._output_dir is not None:
            self._write(self._output_dir, records)
        if not records:
            _log.warning("No predictions from the model!")
            names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
            return OrderedDict((task, dict.fromkeys(names, float("nan"))) for task in self._tasks)
        _log.info("Evaluating predictions with unofficial COCO API...")
        chosen = self._frames if img_ids is None else [self._registered.ids[each] for each in img_ids]
        results = self._score(records, list(chosen))
        for name, message in table_messages(results):
            logging.getLogger(f"nucleate.{name}").info("%s", message)
        return OrderedDict((each.kind, named_scores(each)) for each in results)

    def _score(self, records: list[dict[str, Any]], image_ids: list[int]) -> list[AveragePrecision]:
        if self._limit != DETECTRON2_MAX_DETECTIONS:
            records = _best(records, self._limit)
        table: PrecisionTable = AveragePrecisionScorer(self._annotations, records, image_ids=image_ids).score()
        if self._limit == DETECTRON2_MAX_DETECTIONS:
            by_kind = {"bbox": table.bbox, "segm": table.segm}
        else:
            by_kind = {"bbox": table.bbox_uncapped, "segm": table.segm_uncapped}
        return [by_kind[task] for task in self._tasks]

    def _write(self, folder: Path, records: list[dict[str, Any]]) -> None:
        path = folder / "coco_instances_results.json"
        _log.info("Saving results to %s", path)
        write_records(path, (json.dumps(each, allow_nan=False) for each in records))
        places = {category_id: index for index, category_id in enumerate(self._registered.dataset.category_ids)}
        by_image: dict[int, list[dict[str, Any]]] = {each.image_id: [] for each in self._predictions}
        for each in records:
            by_image[each["image_id"]].append({**each, "category_id": places[each["category_id"]]})
        with write_path(folder / "instances_predictions.pth") as temporary:
            torch.save([{"image_id": number, "instances": found} for number, found in by_image.items()], temporary)


def nuclei_of(instances: Instances) -> Nuclei:
    """Return predicted instances as the engine's, on the CPU."""
    found = instances.to("cpu")
    height, width = found.image_size
    frame = Frame(height_px=height, width_px=width)
    return Nuclei(
        frame=frame,
        boxes_xyxy=found.pred_boxes.tensor.numpy(),
        masks=Masks.from_full(frame, (mask.numpy() for mask in found.pred_masks)),
        class_indices=found.pred_classes.numpy(),
        scores=found.scores.numpy(),
    )


def _without_name(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "file_name"}


def _best(records: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Return the best-scored records of each image and class, as COCO's maxDets counts them."""
    seen: Counter[tuple[int, int]] = Counter()
    kept = []
    for record in sorted(records, key=lambda each: -each["score"]):
        place = record["image_id"], record["category_id"]
        seen[place] += 1
        if seen[place] <= limit:
            kept.append(record)
    return kept
