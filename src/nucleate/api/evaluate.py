"""`nucleate evaluate`: a run, a model or a results file against annotations."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from nucleate.api.loading import LoadedModel, load_model
from nucleate.api.scaling import DatasetScales, ScaleRequest
from nucleate.api.scoring import DEFAULT_SETTINGS, EvaluateSettings, scoring_rules, vague_areas
from nucleate.core import Instances
from nucleate.core.stain import StainNormalisation
from nucleate.data import CocoDataset, Split, available_splits, read_dataset
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.evaluation import (
    Evaluation,
    EvaluationSettings,
    FoundPredictions,
    check_same_conditions,
    detectron2_scores,
    evaluate_predictions,
    read_results_file,
    worst_and_best,
    write_pictures,
    write_report,
)
from nucleate.export import write_coco_results
from nucleate.files import folder_lock
from nucleate.inference import InferenceSettings, TilingSettings, predict_dataset
from nucleate.models.star_convex.onnx_engine import EngineSettings

logger = logging.getLogger(__name__)

RESULTS_PATH = Path("inference", "coco_instances_results.json")


_WHOLE: Split = "all"
_DEFAULT_SPLITS: tuple[Split, ...] = ("test", "val", _WHOLE)


def evaluate(
    predictions: Path,
    annotations: Path | None = None,
    *,
    on: Split | None = None,
    output: Path | None = None,
    device: str | None = None,
    settings: EvaluateSettings = DEFAULT_SETTINGS,
) -> Evaluation:
    """Score predictions against annotations: AP as Detectron2 prints it, PQ, AJI and Dice with intervals, by organ.

    A run also gets its inference/coco_instances_results.json, and Detectron2's evaluation line in its metrics.json
    and TensorBoard.

    Args:
        predictions: a run folder, a model's name, or a COCO results file.
        annotations: a data set that `prepare` made, or a COCO file; unset takes the one that the run learned from.
        on: the split; unset takes test where there is one, else val, else all.
        output: folder for report.html, report.md, evaluation.json and pictures; unset writes none.
        device: cpu, cuda or mps; unset takes the best there is.
        settings: score threshold, rules.

    Raises:
        ConfigError: no such model, or no data set given where none is recorded.
        DataError: predictions and annotations don't fit.
        ResultsError: the output holds another evaluation, or another process writes there.
    """
    predictions = Path(predictions)
    part = None if annotations is None else read_part(annotations, on, settings)
    if predictions.is_file() or predictions.suffix == ".json":
        if part is None:
            raise ConfigError("a results file names no data set: give the annotations as the second argument")
        conditions = _conditions_of_file(predictions, part, settings)
        _check_output(output, part, conditions, settings)
        found = read_results_file(predictions, part.dataset, part.whole)
        evaluation = score_part(part, found, conditions, settings)
    else:
        engine = EngineSettings(precision=settings.precision)
        model = load_model(predictions, device, engine=engine, accurate=settings.accurate)
        part = part or read_part(_training_data(model), on, settings)
        conditions = _conditions_of_model(model, part, settings)
        _check_output(output, part, conditions, settings)
        found = _segment(model, part.dataset, settings)
        evaluation = score_part(part, found, conditions, settings)
        # A model's name is no folder: only runs keep a record.
        if predictions.is_dir():
            _record(predictions, part.dataset, found, evaluation)
    if output is not None:
        _write(output, part.dataset, found, evaluation)
    return evaluation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredPart:
    """The split to score, and the whole data set that it comes from."""

    dataset: CocoDataset
    whole: CocoDataset
    split: Split


def read_part(path: Path, on: Split | None, settings: EvaluateSettings) -> ScoredPart:
    """Return a split, by default test where there is one, else val, else all.

    Raises:
        DataError: there is no such split, or no image in it.
    """
    splits = available_splits(path)
    split = next((name for name in _DEFAULT_SPLITS if name in splits), _WHOLE) if on is None else on
    dataset = read_dataset(path, split=split, images_dir=settings.images)
    if not dataset.records:
        raise DataError("no image to score", path=dataset.annotations_path)
    if split == _WHOLE or _WHOLE not in splits:
        return ScoredPart(dataset=dataset, whole=dataset, split=split)
    return ScoredPart(dataset=dataset, whole=read_dataset(path, images_dir=settings.images), split=split)


def _training_data(model: LoadedModel) -> Path:
    if model.card.data is None:
        raise ConfigError(f"{model.card.name!r} records no data set: give the annotations as the second argument")
    path = Path(model.card.data.path)
    if not path.exists():
        raise ConfigError(f"the data set that it learned from is not at {path}: give it as the second argument")
    return path


def _conditions_of_file(path: Path, part: ScoredPart, settings: EvaluateSettings) -> EvaluationSettings:
    if not path.is_file():
        raise DataError("no such results file", path=path)
    return replace(
        scoring_rules(settings, part.dataset, part.split),
        score_threshold=0.5 if settings.score is None else settings.score,
        score_threshold_from="default for results files" if settings.score is None else "given",
        model=path.name,
        model_fingerprint=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    )


def _conditions_of_model(model: LoadedModel, part: ScoredPart, settings: EvaluateSettings) -> EvaluationSettings:
    card = model.card
    return replace(
        scoring_rules(settings, part.dataset, part.split),
        score_threshold=card.score_threshold if settings.score is None else settings.score,
        score_threshold_from=f"stored with the model, {card.score_threshold_from}"
        if settings.score is None
        else "given",
        model=card.name,
        model_fingerprint=model.segmenter.fingerprint,
    )


def _check_output(
    output: Path | None, part: ScoredPart, conditions: EvaluationSettings, settings: EvaluateSettings
) -> None:
    if output is None:
        return
    if output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output is a folder", path=output)
    if not settings.fresh:
        check_same_conditions(output, conditions, part.dataset.fingerprint)


def score_part(
    part: ScoredPart, found: FoundPredictions, conditions: EvaluationSettings, settings: EvaluateSettings
) -> Evaluation:
    """Return the scores of a split, with the notes that reading the predictions left.

    Raises:
        DataError: predictions and annotations don't fit, or an image has no vague area.
    """
    evaluation = evaluate_predictions(part.dataset, found.predictions, conditions, vague=vague_areas(settings))
    return replace(evaluation, notes=(*found.notes, *evaluation.notes))


def _segment(model: LoadedModel, dataset: CocoDataset, settings: EvaluateSettings) -> FoundPredictions:
    """Return the model's detections with every score that it gives, classes in the data set's order."""
    stain, notes = _stain_to_apply(model, dataset)
    inference = InferenceSettings(
        score_threshold=0.0,
        stain=stain,
        tiling=TilingSettings(tile_px=model.card.tile_px),
        batch_images=settings.batch_images,
    )
    request = ScaleRequest(diameter_px=settings.diameter, mpp=settings.mpp)
    scales = DatasetScales(model, request, resized_by=dataset.magnification, stain=stain)
    class_map, class_notes = _class_map(model.card.class_names, dataset.class_names)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("segmenting", total=len(dataset))
        found = predict_dataset(
            model.segmenter,
            dataset,
            inference,
            magnification_of=scales.magnification_of,
            on_image=lambda: progress.advance(task),
        )
    predictions = [replace(image, instances=_with_classes(image.instances, class_map)) for image in found]
    return FoundPredictions(predictions=tuple(predictions), notes=(*notes, *class_notes, *scales.notes()))


def _stain_to_apply(model: LoadedModel, dataset: CocoDataset) -> tuple[StainNormalisation | None, tuple[str, ...]]:
    """Return the model's normalisation unless the data set's images went through it already."""
    learned, applied = model.card.stain, dataset.stain
    if learned == applied:
        return None, ()
    if applied is None:
        return learned, ()
    other = "without normalisation" if learned is None else f"with another {learned.method}"
    note = f"The data set's images are normalised ({applied.method}), the model learned from images {other}"
    return learned, (note,)


def _class_map(model_names: Sequence[str], data_names: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return for each class of the model the data set's class index; classes that it lacks come after its own.

    By name where any name is common, else by place: a head of 6 classes often says nothing but their numbers.
    """
    common = set(model_names) & set(data_names)
    places = np.arange(len(model_names))
    if not common:
        pairs = ", ".join(f"{ours} = {theirs}" for ours, theirs in zip(model_names, data_names, strict=False))
        return places, (f"The model's class names are not the data set's and were taken by place: {pairs}",)
    indices = [
        data_names.index(name) if name in common else len(data_names) + place for place, name in enumerate(model_names)
    ]
    return np.array(indices, np.int64), ()


def _with_classes(instances: Instances, class_map: NDArray[np.int64]) -> Instances:
    return replace(instances, class_indices=class_map[instances.class_indices])


def _record(run_folder: Path, dataset: CocoDataset, found: FoundPredictions, evaluation: Evaluation) -> None:
    """Leave in a run what Detectron2's evaluator leaves: the results file, a line of metrics.json, TensorBoard."""
    from nucleate.training.events import append_evaluation, read_metrics

    most = max((int(image.instances.class_indices.max(initial=-1)) for image in found.predictions), default=-1) + 1
    known = list(dataset.category_ids)
    # Classes that the data set lacks get ids above its own, so that no detection is left out of the file.
    extra = range(max(known, default=0) + 1, max(known, default=0) + 1 + max(0, most - len(known)))
    with folder_lock(run_folder):
        write_coco_results(run_folder / RESULTS_PATH, found.predictions, category_ids=[*known, *extra])
        trained = [int(line["iteration"]) + 1 for line in read_metrics(run_folder) if "total_loss" in line]
        append_evaluation(run_folder, detectron2_scores(evaluation), max(trained, default=0))


def _write(output: Path, dataset: CocoDataset, found: FoundPredictions, evaluation: Evaluation) -> None:
    with folder_lock(output):
        missing = write_pictures(output, dataset, found.predictions, evaluation.settings.score_threshold)
        worst, best = worst_and_best(dataset, found.predictions, evaluation)
        write_report(output, evaluation, worst=worst, best=best)
    if missing:
        logger.warning(
            "%d images are not in %s: no side-by-side pictures of them (--images names their folder)",
            missing,
            dataset.images_dir,
        )
