"""`nucleate evaluate`: a run, a model or a results file against annotations."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from nucleate.api.loading import LoadedModel, load_model
from nucleate.api.predictions import (
    SlideFiles,
    fingerprint,
    read_annotations,
    read_predictions,
    slide_files,
)
from nucleate.api.scaling import DatasetScales, ScaleRequest
from nucleate.api.scored_part import ScoredPart, read_part
from nucleate.api.scoring import DEFAULT_SETTINGS, EvaluateSettings, ScoringSettings, scoring_rules, vague_areas
from nucleate.core import Instances
from nucleate.core.stain import StainNormalisation
from nucleate.data import CocoDataset, Split
from nucleate.errors import ConfigError, ResultsError
from nucleate.evaluation import (
    Evaluation,
    EvaluationSettings,
    FoundPredictions,
    check_same_conditions,
    detectron2_scores,
    evaluate_predictions,
    evaluate_slide,
    worst_and_best,
    write_pictures,
    write_report,
)
from nucleate.export import write_coco_results
from nucleate.export.results_folder import COCO_NAME
from nucleate.files import folder_lock
from nucleate.inference import InferenceSettings, TilingSettings, predict_dataset
from nucleate.models.star_convex.onnx_engine import EngineSettings
from nucleate.readers import detect_format

logger = logging.getLogger(__name__)

RESULTS_PATH = Path("inference", "coco_instances_results.json")


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
        predictions: a run folder, a model's name, a results folder of `segment`, or nuclei of any program: COCO
            (results list or annotations), a folder of label images (PNG, TIFF, NPY), GeoJSON or GeoParquet (a file or
            a folder of one an image).
        annotations: a data set that `prepare` made, a COCO file, or any of the other formats, whose images pair by
            their names without suffix; unset takes the data set that the run learned from.
        on: the split; unset takes test where there is one, else val, else all.
        output: folder for report.html, report.md, evaluation.json, pictures, and the detections themselves, which
            `compare` takes; unset writes none.
        device: cpu, cuda or mps; unset takes the best there is.
        settings: score threshold, rules.

    Raises:
        ConfigError: no such model, or no data set given where none is recorded.
        DataError: predictions and annotations don't fit.
        ResultsError: the output holds another evaluation, or another process writes there.
    """
    predictions = Path(predictions)
    files = None if annotations is None else slide_files(predictions, Path(annotations))
    if files is not None:
        return _evaluate_slide(files, output, settings)
    annotated = None if annotations is None else read_annotations(Path(annotations), on, settings)
    if detect_format(predictions) is not None or predictions.suffix == ".json":
        if annotated is None:
            raise ConfigError("a results file names no data set: give the annotations as the second argument")
        read = read_predictions(predictions, annotated)
        part, found = read.part, read.found
        conditions = read.conditions(scoring_rules(settings, part.dataset, part.split), settings)
        _check_output(output, part, conditions, settings)
        evaluation = score_part(part, found, conditions, settings)
    else:
        engine = EngineSettings(precision=settings.precision)
        model = load_model(predictions, device, engine=engine, accurate=settings.accurate)
        part = read_part(_training_data(model), on, settings) if annotated is None else annotated.for_model()
        part = replace(part, notes=(*part.notes, *_seen_notes(model, part)))
        conditions = conditions_of_model(model, part, settings)
        _check_output(output, part, conditions, settings)
        found = segment_dataset(model, part.dataset, settings)
        evaluation = score_part(part, found, conditions, settings)
        # A model's name is no folder: only runs keep a record.
        if predictions.is_dir():
            _record(predictions, part.dataset, found, evaluation)
    if output is not None:
        write_evaluation(output, part.dataset, found, evaluation)
    return evaluation


def _evaluate_slide(files: SlideFiles, output: Path | None, settings: EvaluateSettings) -> Evaluation:
    conditions = files.conditions(settings)
    data_fingerprint = fingerprint(files.annotated.path)
    if output is not None:
        _check_folder(output)
        if not settings.fresh:
            check_same_conditions(output, conditions, data_fingerprint)
    evaluation = evaluate_slide(files.annotated, files.predicted, conditions, data_fingerprint=data_fingerprint)
    if output is not None:
        with folder_lock(output):
            write_report(output, evaluation)
    return evaluation


def _training_data(model: LoadedModel) -> Path:
    if model.card.data is None:
        raise ConfigError(f"{model.card.name!r} records no data set: give the annotations as the second argument")
    fold = model.card.settings.get("fold")
    if isinstance(fold, dict):
        raise ConfigError(
            f"{model.card.name!r} is fold {fold.get('number')} of {fold.get('name')}, and cross-validation has scored"
            " its test images; those of the data set's own splits may have trained it: give the data to score as the"
            " second argument"
        )
    path = Path(model.card.data.path)
    if not path.exists():
        raise ConfigError(f"the data set that it learned from is not at {path}: give it as the second argument")
    return path


def _seen_notes(model: LoadedModel, part: ScoredPart) -> tuple[str, ...]:
    """Return a warning where the model may have learned from the images that are scored."""
    sources = [record.source for record in part.dataset.records]
    seen = sorted({source for source in sources if source in model.card.trained_on_all_of})
    if not seen:
        return ()
    count = sum(source in seen for source in sources)
    note = (
        f"{model.card.name} learned from images of {', '.join(seen)} and held none back: scores of such images, "
        f"{count} of {len(sources)} here, are no test of it"
    )
    return (note,)


def conditions_of_model(model: LoadedModel, part: ScoredPart, settings: EvaluateSettings) -> EvaluationSettings:
    """Return the rules with the model's name, fingerprint and score threshold."""
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
    _check_folder(output)
    if not settings.fresh:
        check_same_conditions(output, conditions, part.dataset.fingerprint)


def _check_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output is a folder", path=output)


def score_part(
    part: ScoredPart, found: FoundPredictions, conditions: EvaluationSettings, settings: ScoringSettings
) -> Evaluation:
    """Return the scores of a split, with the notes that reading the predictions left.

    Raises:
        DataError: predictions and annotations don't fit, or an image has no vague area.
    """
    evaluation = evaluate_predictions(part.dataset, found.predictions, conditions, vague=vague_areas(settings))
    return replace(evaluation, notes=(*part.notes, *found.notes, *evaluation.notes))


def segment_dataset(model: LoadedModel, dataset: CocoDataset, settings: EvaluateSettings) -> FoundPredictions:
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

    with folder_lock(run_folder):
        write_coco_results(run_folder / RESULTS_PATH, found.predictions, category_ids=_category_ids(dataset, found))
        trained = [int(line["iteration"]) + 1 for line in read_metrics(run_folder) if "total_loss" in line]
        append_evaluation(run_folder, detectron2_scores(evaluation), max(trained, default=0))


def _category_ids(dataset: CocoDataset, found: FoundPredictions) -> list[int]:
    """Return the data set's ids, then more for classes that it lacks, so that no detection is left out of a file."""
    most = max((int(image.instances.class_indices.max(initial=-1)) for image in found.predictions), default=-1) + 1
    known = list(dataset.category_ids)
    first = max(known, default=0) + 1
    return [*known, *range(first, first + max(0, most - len(known)))]


def write_evaluation(output: Path, dataset: CocoDataset, found: FoundPredictions, evaluation: Evaluation) -> None:
    """Write pictures and reports into an evaluation's folder."""
    with folder_lock(output):
        missing = write_pictures(output, dataset, found.predictions, evaluation.settings.score_threshold)
        worst, best = worst_and_best(dataset, found.predictions, evaluation)
        # All that the model gave, so that `compare` needs no model.
        write_coco_results(output / COCO_NAME, found.predictions, category_ids=_category_ids(dataset, found))
        write_report(output, evaluation, worst=worst, best=best)
    if missing:
        logger.warning(
            "%d images are not in %s: no side-by-side pictures of them (--images names their folder)",
            missing,
            dataset.images_dir,
        )
