"""One training from data set to run folder: the task made, the network started, the loop run, the card written."""

from __future__ import annotations

import logging
import math
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

import torch
from numpy.typing import NDArray

from nucleate.data import CocoDataset
from nucleate.errors import ResultsError, TrainingError
from nucleate.evaluation import EvaluationSettings, choose_score_threshold, detectron2_messages, detectron2_scores
from nucleate.evaluation import evaluate_predictions as score_predictions
from nucleate.export import write_coco_results
from nucleate.files import write_image
from nucleate.models.run_card import DataSummary, RunCard, current_versions
from nucleate.training.curves import write_curves
from nucleate.training.events import METRICS_NAME, PQ_NAME, EventLog, read_metrics
from nucleate.training.loop import LoopHooks, Stretch, run_loop
from nucleate.training.mask_rcnn.settings import MaskRCNNRecipeSettings
from nucleate.training.mask_rcnn.task import MaskRCNNTask
from nucleate.training.pictures import contact_sheet
from nucleate.training.run_folder import CONFIG_NAME, last_checkpoint, read_state
from nucleate.training.settings import plain_settings
from nucleate.training.star_convex.task import StarConvexTask
from nucleate.training.task import Task, TrainingRequest
from nucleate.training.trainee import Batch, Trainee
from nucleate.training.validation_strip import Moment, ValidationStrip, cut_strips, write_strip

_log = logging.getLogger(__name__)
_AUGMENTED_SAMPLES = 16
FINISHED = "finished_iterations"
"""The card's setting that a training writes last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a training left.

    Attributes:
        card: the run's card.
        iterations: done in all.
        final_losses: of the last line of metrics.json, by name.
        scores: of the last evaluation on the validation split, by Detectron2's names; empty without one.
    """

    card: RunCard
    iterations: int
    final_losses: Mapping[str, float]
    scores: Mapping[str, float]


def run_training(
    request: TrainingRequest, on_start: Callable[[int, int], None], on_iteration: Callable[[int, float], None]
) -> TrainingResult:
    """Train and leave a run folder.

    Args:
        request: what.
        on_start: called with the first iteration and their number, for a progress bar.
        on_iteration: called with the number of iterations done and the total loss.

    Raises:
        ConfigError: settings that don't fit each other or the data.
        DataError: unreadable data.
        ResultsError: the folder holds another run.
        TrainingError: nothing to resume, or the training diverged.
    """
    _check_folder(request)
    if request.recipe.settings.threads:
        torch.set_num_threads(request.recipe.settings.threads)
    if isinstance(request.recipe.settings, MaskRCNNRecipeSettings):
        return _Session(request, MaskRCNNTask(request)).run(on_start, on_iteration)
    return _Session(request, StarConvexTask(request)).run(on_start, on_iteration)


def _check_folder(request: TrainingRequest) -> None:
    folder = request.output
    if request.resume:
        if last_checkpoint(folder) is None:
            raise TrainingError("no last_checkpoint here to resume from: leave --resume out", path=folder)
    elif (folder / CONFIG_NAME).exists() or (folder / METRICS_NAME).exists():
        raise ResultsError("holds a run already: go on with --resume, or choose another --output", path=folder)


def is_finished(folder: Path, iterations: int) -> bool:
    """Return whether a run folder holds a training of so many iterations, its last evaluation included."""
    return RunCard.read(folder).settings.get(FINISHED) == iterations


def _last_losses(folder: Path) -> dict[str, float]:
    trained = [line for line in read_metrics(folder) if "total_loss" in line]
    return trained[-1] if trained else {"total_loss": math.nan}


class _Session(Generic[Batch]):
    """The parts of one training, made in the order that they need each other."""

    def __init__(self, request: TrainingRequest, task: Task[Batch]) -> None:
        self._request = request
        self._task = task
        threshold = request.recipe.settings.score_threshold
        self._threshold = (threshold, "the recipe's setting; no validation split chose")
        self._scores: dict[str, float] = {}

    def run(self, on_start: Callable[[int, int], None], on_iteration: Callable[[int, float], None]) -> TrainingResult:
        task, course, folder = self._task, self._task.course, self._request.output
        torch.manual_seed(course.seed)
        trainee = task.build()
        first_iteration, origin = self._start(trainee)
        card = self._write_start(origin)
        cut_strips(folder, first_iteration)
        on_start(first_iteration, course.iterations)
        with EventLog(folder, first_iteration=first_iteration, last_iteration=course.iterations) as events:
            events.put_picture("augmented", first_iteration, self._write_samples())
            evaluate = None
            if task.validation is not None:
                evaluate = self._evaluation_hook(trainee, task.validation, events)
            hooks = LoopHooks(on_iteration=on_iteration, evaluate=evaluate)
            stretch = Stretch(folder=folder, first_iteration=first_iteration, course=course)
            run_loop(trainee, task.batches(first_iteration), stretch, events, hooks)
            losses = events.latest() or _last_losses(folder)
        write_curves(folder)
        card = replace(task.describe(card), score_threshold=self._threshold[0], score_threshold_from=self._threshold[1])
        card = replace(card, settings={**card.settings, FINISHED: course.iterations})
        card.write(folder)
        return TrainingResult(card=card, iterations=course.iterations, final_losses=losses, scores=self._scores)

    def _start(self, trainee: Trainee[Batch]) -> tuple[int, str]:
        """Return the first iteration and where the first weights of all came from."""
        folder = self._request.output
        if not self._request.resume:
            return 0, self._task.start(trainee)
        path = last_checkpoint(folder)
        assert path is not None
        state = read_state(path)
        first_iteration, course = state.iteration + 1, self._task.course
        # Killed after the last step, before the last evaluation: that alone is left to do.
        if first_iteration > course.iterations or is_finished(folder, course.iterations):
            raise TrainingError(
                f"{first_iteration} iterations are done: raise SOLVER.MAX_ITER (now {course.iterations})", path=folder
            )
        trainee.load(state)
        _log.info("resumed after %d iterations", first_iteration)
        return first_iteration, RunCard.read(folder).settings.get("weights", "")

    def _write_start(self, origin: str) -> RunCard:
        task, folder = self._task, self._request.output
        task.write_config(folder)
        card = self._card(origin)
        card.write(folder)
        _log.info(
            "%d images, %d nuclei to train on; %s",
            len(task.record_indices),
            task.train.nuclei,
            f"{len(task.validation)} to validate" if task.validation else "none to validate",
        )
        return card

    def _card(self, origin: str) -> RunCard:
        recipe, task = self._request.recipe, self._task
        settings: dict[str, Any] = {
            "command": shlex.join(["nucleate", *sys.argv[1:]]),
            "weights": origin,
            **plain_settings(recipe.settings),
        }
        if self._request.fold is not None:
            settings["fold"] = {"name": self._request.fold.name, "number": self._request.fold.fold}
        card = RunCard(
            name=self._request.output.name,
            recipe=recipe.name,
            class_names=task.train.class_names,
            score_threshold=self._threshold[0],
            score_threshold_from=self._threshold[1],
            magnification=task.train.magnification,
            stain=task.train.stain,
            data=DataSummary(
                path=self._request.data.as_posix(),
                fingerprint=task.train.fingerprint,
                images=len(task.record_indices),
                nuclei=task.train.nuclei,
            ),
            settings=settings,
            versions=current_versions(),
        )
        return task.describe(card)

    def _write_samples(self) -> NDArray[Any]:
        sheet = contact_sheet(*self._task.samples(_AUGMENTED_SAMPLES))
        write_image(self._request.output / "pictures" / "augmented.png", sheet)
        return sheet

    def _validation_text(self, dataset: CocoDataset) -> str:
        """Return how many images of which sources chose, and which of these training never saw."""
        counts = Counter(record.source or "" for record in dataset.records)
        learned = {self._task.train.records[index].source or "" for index in self._task.record_indices}
        parts = [
            f"{count} {source}{'' if source in learned else ', never trained on'}"
            for source, count in sorted(counts.items())
            if source
        ]
        return f"{len(dataset)} validation images" + (f" ({'; '.join(parts)})" if parts else "")

    def _evaluation_hook(
        self, trainee: Trainee[Batch], dataset: CocoDataset, events: EventLog
    ) -> Callable[[int], None]:
        strip = ValidationStrip(dataset)

        def evaluate(iterations: int) -> None:
            if iterations == self._task.course.iterations:
                self._task.tune(trainee.kept, dataset)
            predictions = self._task.predict(trainee.kept, dataset)
            threshold = choose_score_threshold(dataset, predictions)
            evaluation = score_predictions(dataset, predictions, EvaluationSettings(score_threshold=threshold))
            results = self._request.output / "inference" / "coco_instances_results.json"
            write_coco_results(results, predictions, category_ids=dataset.category_ids)
            for name, message in detectron2_messages(evaluation):
                logging.getLogger(f"nucleate.{name}").info("%s", message)
            pq = evaluation.overall.scores.pq
            _log.info("validation: PQ %.2f at score threshold %.2f, chosen here by PQ", pq, threshold)
            self._threshold = (threshold, f"best mean PQ ({pq:.2f}) on {self._validation_text(dataset)}")
            self._scores = {**detectron2_scores(evaluation), PQ_NAME: pq}
            events.put_evaluation(iterations, self._scores)
            picture = strip.draw(predictions, Moment(iterations=iterations, pq=pq, score_threshold=threshold))
            write_strip(self._request.output, iterations, picture)
            events.put_picture("validation", iterations, picture)
            write_curves(self._request.output)

        return evaluate
