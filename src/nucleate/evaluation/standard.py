"""Protocol `standard`: one id a pixel on both sides, PQ at IoU > 0.5, AJI greedy with reuse, means over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Instances, label_map_from_masks
from nucleate.data import Annotations, CocoDataset, ImageRecord
from nucleate.errors import DataError
from nucleate.evaluation.average_precision import AveragePrecisionScorer
from nucleate.evaluation.image_scores import mean_scores, score_overlaps
from nucleate.evaluation.matching import Overlaps, label_map_overlaps
from nucleate.evaluation.panoptic import matched_pairs
from nucleate.evaluation.results import Evaluation, EvaluationSettings, GroupResult, ImageResult
from nucleate.export import ImagePredictions
from nucleate.export.coco_results import coco_records

ALL_IMAGES = "all"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImagePair:
    """The two label maps of one image and their overlaps.

    Attributes:
        annotated: (H, W) ids; annotation i of the data set (crowd regions left out) has id i + 1.
        predicted: (H, W) ids; detection i has id i + 1.
        overlaps: of the two.
        shared_px: annotated pixels that more than one annotated nucleus claims.
        hidden: annotated nuclei without a pixel of their own.
    """

    annotated: NDArray[np.int32]
    predicted: NDArray[np.int32]
    overlaps: Overlaps
    shared_px: int
    hidden: int


def pair_image(annotations: Annotations, predicted: Instances) -> ImagePair:
    """Return the label maps of one image.

    Where annotated nuclei overlap the later one owns the pixel, where predicted ones do the higher score.
    Since a detection only loses pixels to better ones, raising the score threshold afterwards (see
    `Overlaps.with_predicted`) gives what painting fewer detections would have given.
    """
    nuclei = annotations.instances.select(~annotations.is_crowd)
    annotated_map = label_map_from_masks(nuclei.masks, np.arange(len(nuclei), dtype=np.float64))
    predicted_map = label_map_from_masks(predicted.masks, predicted.scores)
    overlaps = label_map_overlaps(annotated_map, predicted_map)
    return ImagePair(
        annotated=annotated_map,
        predicted=predicted_map,
        overlaps=overlaps,
        shared_px=int(nuclei.masks.areas_px().sum() - overlaps.annotated_areas_px.sum()),
        hidden=len(nuclei) - overlaps.annotated_count,
    )


def evaluate_predictions(
    dataset: CocoDataset, predictions: Sequence[ImagePredictions], settings: EvaluationSettings | None = None
) -> Evaluation:
    """Score predictions against a data set's annotations.

    AP takes every detection, as the model gave them; PQ, AJI and Dice those above the score threshold. Detections
    of classes that the data set lacks are left out of every score, counted and noted.

    Args:
        dataset: the annotations.
        predictions: one an image of the data set, in any order; images without detections included.
        settings: threshold and rules; the defaults where left out.

    Raises:
        DataError: an image of the data set has no predictions or several, an image is unknown, or sizes differ.
    """
    settings = settings or EvaluationSettings()
    by_record = pair_records(dataset, predictions)
    known = [of_known_classes(image, len(dataset.class_names)) for image in by_record]
    unknown_count = sum(
        len(before.instances) - len(after.instances) for before, after in zip(by_record, known, strict=True)
    )
    scorer = AveragePrecisionScorer(
        dataset.coco(),
        [record for image in known for record in coco_records(image, dataset.category_ids)],
        image_ids=[record.image_id for record in dataset.records],
    )
    rows, counts = [], _Counts(unknown=unknown_count)
    for record, image in zip(dataset.records, known, strict=True):
        annotations = dataset.annotations(record)
        pair = pair_image(annotations, image.instances.above(settings.score_threshold))
        counts = counts.plus(pair, annotations)
        rows.append(_image_result(record, pair, settings))
    organs = sorted({record.organ for record in dataset.records if record.organ is not None})
    return Evaluation(
        settings=settings,
        protocol="standard",
        data=str(dataset.annotations_path),
        data_fingerprint=dataset.fingerprint,
        overall=_group(ALL_IMAGES, rows, scorer),
        organs=tuple(_group(organ, [row for row in rows if row.organ == organ], scorer) for organ in organs),
        images=tuple(rows),
        notes=counts.notes(),
    )


def pair_records(dataset: CocoDataset, predictions: Sequence[ImagePredictions]) -> list[ImagePredictions]:
    """Return the predictions in the order of the data set's records.

    Raises:
        DataError: an image of the data set has no predictions or several, an image is unknown, or sizes differ.
    """
    by_id = {image.image_id: image for image in predictions}
    if len(by_id) != len(predictions):
        raise DataError(f"{len(predictions) - len(by_id)} images have predictions twice")
    missing = [record for record in dataset.records if record.image_id not in by_id]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(dataset.records)} images have no predictions, the first is "
            f"{missing[0].file_name!r}; an image without nuclei needs an empty list",
            path=dataset.annotations_path,
        )
    unknown = sorted(by_id.keys() - {record.image_id for record in dataset.records})
    if unknown:
        raise DataError(
            f"predictions of {len(unknown)} images that the annotations lack, the first has image_id {unknown[0]}",
            path=dataset.annotations_path,
        )
    for record in dataset.records:
        frame = by_id[record.image_id].instances.frame
        if frame.shape != record.frame.shape:
            raise DataError(
                f"predictions of an image of {frame.width_px} x {frame.height_px}, the data set's has "
                f"{record.frame.width_px} x {record.frame.height_px}: score in the data set's pixels",
                path=dataset.annotations_path,
                item=record.file_name,
            )
    return [by_id[record.image_id] for record in dataset.records]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """What was left out or changed before scoring."""

    unknown: int = 0
    crowds: int = 0
    shared_px: int = 0
    hidden: int = 0

    def plus(self, pair: ImagePair, annotations: Annotations) -> _Counts:
        return _Counts(
            unknown=self.unknown,
            crowds=self.crowds + int(np.count_nonzero(annotations.is_crowd)),
            shared_px=self.shared_px + pair.shared_px,
            hidden=self.hidden + pair.hidden,
        )

    def notes(self) -> tuple[str, ...]:
        found = (
            (self.unknown, "detections of classes that the data set lacks were left out of every score"),
            (
                self.crowds,
                "crowd regions were left out; a nucleus predicted there is a false positive for PQ, not for AP",
            ),
            (self.shared_px, "pixels are annotated more than once; for PQ, AJI and Dice the later nucleus owns them"),
            (self.hidden, "annotated nuclei lie wholly under later ones and count for AP only"),
        )
        return tuple(f"{count} {text}" for count, text in found if count)


def of_known_classes(image: ImagePredictions, class_count: int) -> ImagePredictions:
    """Return the detections whose class the data set has."""
    known = image.instances.class_indices < class_count
    if known.all():
        return image
    return ImagePredictions(image_id=image.image_id, file_name=image.file_name, instances=image.instances.select(known))


def _image_result(record: ImageRecord, pair: ImagePair, settings: EvaluationSettings) -> ImageResult:
    return ImageResult(
        image_id=record.image_id,
        file_name=record.file_name,
        organ=record.organ,
        annotated=pair.overlaps.annotated_count,
        predicted=pair.overlaps.predicted_count,
        matched=int(np.count_nonzero(matched_pairs(pair.overlaps))),
        scores=score_overlaps(pair.overlaps, settings.empty_image),
    )


def _group(name: str, rows: Sequence[ImageResult], scorer: AveragePrecisionScorer) -> GroupResult:
    image_ids = [row.image_id for row in rows]
    return GroupResult(
        name=name,
        images=len(rows),
        annotated=sum(row.annotated for row in rows),
        predicted=sum(row.predicted for row in rows),
        sizes=scorer.size_counts(image_ids),
        scores=mean_scores([row.scores for row in rows]),
        precision=scorer.score(image_ids),
    )
