"""Predictions of a whole data set scored by a protocol: images, organs, intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nucleate.core import Instances, label_map_from_masks
from nucleate.data import Annotations, CocoDataset, ImageRecord
from nucleate.errors import ConfigError, DataError
from nucleate.evaluation.average_precision import AveragePrecisionScorer
from nucleate.evaluation.fates import AnnotatedNuclei
from nucleate.evaluation.image_scores import Scores, image_scores, mean_detection, mean_scores
from nucleate.evaluation.intervals import mean_intervals
from nucleate.evaluation.nuceval import correct_image
from nucleate.evaluation.pannuke import PannukeImage, class_scores, pannuke_averages, pannuke_image
from nucleate.evaluation.protocols import NucevalParts
from nucleate.evaluation.rasterisation import rasterised_nuclei
from nucleate.evaluation.results import (
    INTERVAL_SCORES,
    ClassResult,
    CountErrors,
    Evaluation,
    EvaluationSettings,
    GroupResult,
    ImageResult,
    ScoreInterval,
)
from nucleate.evaluation.standard import ImagePair, of_known_classes, pair_image, pair_records
from nucleate.evaluation.tally import Tally, pooled, tally_overlaps
from nucleate.evaluation.vague_areas import VagueAreas
from nucleate.export import ImagePredictions
from nucleate.export.coco_results import coco_records

ALL_IMAGES = "all"


def evaluate_predictions(
    dataset: CocoDataset,
    predictions: Sequence[ImagePredictions],
    settings: EvaluationSettings | None = None,
    *,
    vague: VagueAreas | None = None,
) -> Evaluation:
    """Score predictions against a data set's annotations.

    AP takes every detection, as the model gave them; PQ, AJI and Dice those above the score threshold. Detections
    of classes that the data set lacks are left out of every score, counted and noted.

    Args:
        dataset: the annotations.
        predictions: one an image of the data set, in any order; images without detections included.
        settings: threshold and rules; the defaults where left out.
        vague: masks of vague areas; where the protocol uses them, and only there.

    Raises:
        ConfigError: vague areas are missing or of no use.
        DataError: an image of the data set has no predictions or several, an image is unknown, or sizes differ.
    """
    settings = settings or EvaluationSettings()
    parts = settings.protocol.parts
    uses_vague = parts is not None and parts.vague_threshold is not None
    if uses_vague and vague is None:
        raise ConfigError("a vague threshold without vague areas: give the folder of their masks")
    if vague is not None and not uses_vague:
        raise ConfigError(f"vague areas are of no use to the protocol {settings.protocol}: give nuceval a threshold")
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
    rows, tissues, nuclei, counts = [], [], [], _Counts(unknown=unknown_count)
    for record, image in zip(dataset.records, known, strict=True):
        annotations, kept = dataset.annotations(record), image.instances.above(settings.score_threshold)
        pair = pair_image(annotations, kept)
        counts = counts.plus(pair, annotations, flattened=parts is None or not parts.overlapping)
        if parts is None:
            tally = _tally(pair, record, settings)
        else:
            tally = _nuceval_tally(dataset, record, kept, settings, parts=parts, vague=vague)
        rows.append(_image_result(record, tally, settings))
        nuclei.append(AnnotatedNuclei.of_image(pair.annotated, pair.overlaps))
        tissues.append(_tissue(pair, annotations, kept, class_count=len(dataset.class_names), record=record))
    organs = sorted({record.organ for record in dataset.records if record.organ is not None})
    species = sorted({record.species for record in dataset.records if record.species is not None})
    several = len(dataset.class_names) > 1
    return Evaluation(
        settings=settings,
        data=str(dataset.annotations_path),
        data_fingerprint=dataset.fingerprint,
        overall=_group(ALL_IMAGES, rows, scorer, settings),
        organs=tuple(_group(organ, [row for row in rows if row.organ == organ], scorer, settings) for organ in organs),
        species=tuple(_group(name, [row for row in rows if row.species == name], scorer, settings) for name in species),
        classes=_classes(dataset.class_names, tissues) if several else (),
        images=tuple(rows),
        intervals=_intervals(rows, settings),
        organ_intervals=_intervals(rows, replace(settings, resample_by="organ"))
        if all(row.organ is not None for row in rows)
        else (),
        nuclei=AnnotatedNuclei.concatenate(nuclei),
        pannuke=pannuke_averages(tissues) if several or settings.protocol.name == "pannuke" else None,
        notes=counts.notes(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """What was left out or changed before scoring."""

    unknown: int = 0
    crowds: int = 0
    shared_px: int = 0
    hidden: int = 0

    def plus(self, pair: ImagePair, annotations: Annotations, *, flattened: bool) -> _Counts:
        return _Counts(
            unknown=self.unknown,
            crowds=self.crowds + int(np.count_nonzero(annotations.is_crowd)),
            shared_px=self.shared_px + (pair.shared_px if flattened else 0),
            hidden=self.hidden + (pair.hidden if flattened else 0),
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


def _tally(pair: ImagePair, record: ImageRecord, settings: EvaluationSettings) -> Tally:
    return tally_overlaps(
        pair.overlaps, centroids=pair.centroids(), limit=settings.centroid_limit, mpp=record.frame.mpp
    )


def _nuceval_tally(
    dataset: CocoDataset,
    record: ImageRecord,
    predicted: Instances,
    settings: EvaluationSettings,
    *,
    parts: NucevalParts,
    vague: VagueAreas | None,
) -> Tally:
    try:
        image = correct_image(
            rasterised_nuclei(dataset, record, parts.rasteriser),
            label_map_from_masks(predicted.masks, predicted.scores),
            vague=None if vague is None else vague.read(record),
            parts=parts,
        )
    except DataError as error:
        raise DataError(
            error.message, path=error.path or dataset.annotations_path, item=error.item or record.file_name
        ) from error
    return tally_overlaps(
        image.overlaps(),
        centroids=image.centroids(),
        limit=settings.centroid_limit,
        mpp=record.frame.mpp,
        foreground=image.foreground(),
    )


def _image_result(record: ImageRecord, tally: Tally, settings: EvaluationSettings) -> ImageResult:
    # PanNuke's users skip images without annotated nuclei, whatever is predicted there.
    skipped = settings.protocol.name == "pannuke" and not tally.annotated
    return ImageResult(
        image_id=record.image_id,
        file_name=record.file_name,
        organ=record.organ,
        source=record.source,
        species=record.species,
        tally=tally,
        scores=None if skipped else image_scores(tally, settings.empty_image),
    )


def _tissue(
    pair: ImagePair, annotations: Annotations, kept: Instances, *, class_count: int, record: ImageRecord
) -> PannukeImage:
    nuclei = annotations.instances.select(~annotations.is_crowd)
    return pannuke_image(
        pair.overlaps,
        nuclei.class_indices[pair.overlaps.annotated_ids - 1],
        kept.class_indices[pair.overlaps.predicted_ids - 1],
        class_count=class_count,
        tissue=record.organ,
    )


def _classes(names: Sequence[str], images: Sequence[PannukeImage]) -> tuple[ClassResult, ...]:
    found = [(name, *class_scores(images, index)) for index, name in enumerate(names)]
    return tuple(ClassResult(name=name, matches=matches, pq=pq) for name, matches, pq in found)


def _group(
    name: str, rows: Sequence[ImageResult], scorer: AveragePrecisionScorer, settings: EvaluationSettings
) -> GroupResult:
    image_ids = [row.image_id for row in rows]
    weights = [float(row.annotated) for row in rows] if settings.protocol.weighted else None
    tally, errors = pooled(row.tally for row in rows), [row.tally.count_error for row in rows]
    counted = [row for row in rows if row.scores is not None]
    return GroupResult(
        name=name,
        images=len(rows),
        sizes=scorer.size_counts(image_ids),
        scores=mean_scores([row.scores for row in rows], weights),
        pooled=Scores.of(tally),
        detection=mean_detection(
            [row.tally for row in counted],
            settings.empty_image,
            [float(row.annotated) for row in counted] if weights is not None else None,
        ),
        count_errors=CountErrors(mean=float(np.mean(errors)), mean_absolute=float(np.mean(np.abs(errors)))),
        tally=tally,
        precision=scorer.score(image_ids),
        intervals=_intervals(rows, replace(settings, resample_by="image")),
    )


def _intervals(rows: Sequence[ImageResult], settings: EvaluationSettings) -> tuple[ScoreInterval, ...]:
    counted = [row for row in rows if row.scores is not None]
    values = np.array([[getattr(row.scores, name) for name in INTERVAL_SCORES] for row in counted])
    weights = np.array([row.annotated for row in counted], np.float64) if settings.protocol.weighted else None
    names = settings.group_names(counted)
    found = mean_intervals(
        values.reshape(-1, len(INTERVAL_SCORES)), weights=weights, groups=names, settings=settings.resampling
    )
    return tuple(
        ScoreInterval(score=name, low=interval.low, high=interval.high)
        for name, interval in zip(INTERVAL_SCORES, found, strict=True)
    )
