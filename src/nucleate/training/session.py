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
from nucleate.evaluation import EvaluationSettings, choose_score_threshold, detectron2_messages, detectron2_scores
from nucleate.evaluation import evaluate_predictions as score_predictions
from nucleate.export import write_coco_results
from nucleate.files import write_image
from nucleate.models.run_card import DataSummary, RunCard, current_versions
from nucleate.training.curves import write_curves
from nucleate.training.events import PQ_NAME, EventLog, NoEvents, read_metrics
from nucleate.training.loop import Evaluate, LoopHooks, Stretch, run_loop
from nucleate.training.mask_rcnn.settings import MaskRCNNRecipeSettings
from nucleate.training.mask_rcnn.task import MaskRCNNTask
from nucleate.training.pictures import contact_sheet
from nucleate.training.processes import joined_processes
from nucleate.training.resuming import check_folder, take_up, with_seed
from nucleate.training.selection import THRESHOLD_KEY, Selection, selection_metric
from nucleate.training.settings import plain_settings
from nucleate.training.splits import split_names
from nucleate.training.star_convex.task import StarConvexTask
from nucleate.training.task import Task, TrainingRequest
from nucleate.training.trainee import Batch, Trainee
from nucleate.training.validation_strip import Moment, ValidationStrip, cut_strips, write_strip

_log = logging.getLogger(__name__)
_AUGMENTED_SAMPLES = 16


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
    if request.recipe.settings.threads:
        torch.set_num_threads(request.recipe.settings.threads)
    with joined_processes(request.device) as processes:
        if processes.is_first:
            check_folder(request)
        request = with_seed(replace(request, processes=processes, device=processes.placed(request.device)))
        if isinstance(request.recipe.settings, MaskRCNNRecipeSettings):
            return _Session(request, MaskRCNNTask(request)).run(on_start, on_iteration)
        return _Session(request, StarConvexTask(request)).run(on_start, on_iteration)


def is_finished(folder: Path, iterations: int) -> bool:
    """Return whether a run folder holds a training of so many iterations, its last evaluation included."""
    return RunCard.read(folder).iterations == iterations


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
        self._metric = selection_metric(
            request.recipe.settings,
            split_names(request.recipe.config, "DATASETS.TEST"),
            has_images=task.validation is not None,
            evaluation_period=task.course.evaluation_period,
        )

    def run(self, on_start: Callable[[int, int], None], on_iteration: Callable[[int, float], None]) -> TrainingResult:
        task, course, folder, processes = self._task, self._task.course, self._request.output, self._request.processes
        torch.manual_seed(course.seed)
        trainee = task.build()
        begun = take_up(task, trainee, self._request, self._selection)
        if begun.ended:
            course = replace(course, iterations=begun.iteration)
        stretch = Stretch(folder=folder, first_iteration=begun.iteration, course=course, processes=processes)
        on_start(begun.iteration, course.iterations)
        if not processes.is_first:
            hooks = LoopHooks(on_iteration=on_iteration)
            done = run_loop(trainee, task.batches(begun.iteration), stretch, NoEvents(), hooks)
            return TrainingResult(card=self._card(begun.origin), iterations=done, final_losses={}, scores={})
        card = self._write_start(begun.origin)
        cut_strips(folder, begun.iteration)
        stopped_early = begun.ended and begun.iteration < task.course.iterations
        with EventLog(
            folder,
            first_iteration=begun.iteration,
            last_iteration=task.course.iterations,
            windows=begun.windows,
            evaluations_kept=int(stopped_early) if begun.ended else None,
        ) as events:
            events.put_picture("augmented", begun.iteration, self._write_samples())
            selection = self._selection(begun.iteration)
            evaluate = None
            if task.validation is not None:
                evaluate = self._evaluation_hook(trainee, task.validation, events, selection)
            hooks = LoopHooks(on_iteration=on_iteration, evaluate=evaluate)
            done = run_loop(trainee, task.batches(begun.iteration), stretch, events, hooks)
            losses = events.latest() or _last_losses(folder)
        write_curves(folder)
        card = replace(
            task.describe(card),
            score_threshold=self._threshold[0],
            score_threshold_from=self._threshold[1],
            iterations=done,
            best={} if selection is None else selection.record(),
        )
        card.write(folder)
        return TrainingResult(card=card, iterations=done, final_losses=losses, scores=self._scores)

    def _selection(self, iterations: int) -> Selection | None:
        """Return what was best after so many iterations, whatever a part that was cut off did later."""
        if self._metric is None:
            return None
        folder = self._request.output
        lines = [line for line in read_metrics(folder) if line["iteration"] <= iterations]
        return Selection(folder, self._metric, self._request.recipe.settings.patience, lines)

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
            "seed": task.course.seed,
            "precision_used": task.precision,
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
        self, trainee: Trainee[Batch], dataset: CocoDataset, events: EventLog, selection: Selection | None
    ) -> Evaluate:
        strip = ValidationStrip(dataset)

        def evaluate(iterations: int, *, final: bool) -> bool:
            if final:
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
            line = {**self._scores, THRESHOLD_KEY: threshold}
            if selection is not None:
                selection.take(iterations, line, lambda: trainee.state(iterations - 1).model)
            events.put_evaluation(iterations, line)
            picture = strip.draw(predictions, Moment(iterations=iterations, pq=pq, score_threshold=threshold))
            write_strip(self._request.output, iterations, picture)
            events.put_picture("validation", iterations, picture)
            write_curves(self._request.output)
            stop = selection is not None and selection.exhausted
            if stop and not final:
                _log.info("no better evaluation for %d: stopped early", self._request.recipe.settings.patience)
            return stop

        return evaluate
