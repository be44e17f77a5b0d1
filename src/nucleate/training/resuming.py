"""Where a training is taken up: at its start, after its last checkpoint, or before its last evaluation."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nucleate.errors import ResultsError, TrainingError
from nucleate.models.run_card import CARD_NAME, RunCard
from nucleate.training.events import METRICS_NAME, read_metrics
from nucleate.training.run_folder import CONFIG_NAME, last_checkpoint, read_state
from nucleate.training.selection import Selection
from nucleate.training.task import Task, TrainingRequest
from nucleate.training.trainee import Batch, Trainee

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where a training is taken up.

    Attributes:
        iteration: 0, or the first after the last checkpoint.
        origin: where the first weights of all came from.
        windows: of the event log.
        ended: nothing is left but the last evaluation.
    """

    iteration: int
    origin: str
    windows: Mapping[str, Sequence[float]] | None = None
    ended: bool = False


def check_folder(request: TrainingRequest) -> None:
    """Check that the output is free, or holds what is to be resumed.

    Raises:
        ResultsError: it holds another run.
        TrainingError: nothing to resume.
    """
    folder = request.output
    holds_run = any((folder / name).exists() for name in (CARD_NAME, CONFIG_NAME, METRICS_NAME))
    if request.resume:
        if last_checkpoint(folder) is None and not holds_run:
            raise TrainingError("no last_checkpoint here to resume from: leave --resume out", path=folder)
    elif holds_run:
        raise ResultsError("holds a run already: go on with --resume, or choose another --output", path=folder)


def with_seed(request: TrainingRequest) -> TrainingRequest:
    """Return the request with a seed that is drawn where SEED is -1, once for all processes and resumptions."""
    config = request.recipe.config
    if int(str(config.get("SEED"))) >= 0:
        return request
    drawn = secrets.randbelow(2**31)
    if request.resume:
        drawn = int(RunCard.read(request.output).settings.get("seed", drawn))
    seed = request.processes.of_first(drawn)
    _log.info("SEED drawn: %d", seed)
    return replace(request, recipe=replace(request.recipe, config=config.with_overrides({"SEED": seed})))


def take_up(
    task: Task[Batch],
    trainee: Trainee[Batch],
    request: TrainingRequest,
    selection_after: Callable[[int], Selection | None],
) -> Beginning:
    """Fill the trainee's weights, in all processes alike, and return where the training stands.

    Args:
        task: what is trained.
        trainee: newly built.
        request: what was asked for.
        selection_after: what metrics.json tells of the best checkpoint after a number of iterations.

    Raises:
        CheckpointError: damaged, or it doesn't fit.
        TrainingError: nothing is left to do, or the start weights are not known any more.
    """
    begun = _filled(task, trainee, request, selection_after)
    processes = request.processes
    processes.share(trainee.network.state_dict().values())
    if trainee.average is not None:
        processes.share(trainee.average.network.state_dict().values())
    # Nobody writes to the folder before all have read it.
    processes.meet()
    return begun


def _filled(
    task: Task[Batch],
    trainee: Trainee[Batch],
    request: TrainingRequest,
    selection_after: Callable[[int], Selection | None],
) -> Beginning:
    folder, course = request.output, task.course
    if not request.resume:
        return Beginning(iteration=0, origin=task.start(trainee))
    before = RunCard.read(folder)
    origin = str(before.settings.get("weights", ""))
    path = last_checkpoint(folder)
    if path is None:
        begun = Beginning(iteration=0, origin=task.start(trainee))
        if origin not in ("", begun.origin):
            raise TrainingError(f"began from {origin} and has no checkpoint yet: give its --weights", path=folder)
        _log.info("no checkpoint yet: the training starts again")
        return begun
    state = read_state(path)
    done = state.iteration + 1
    trainee.load(state)
    selection = selection_after(done)
    ended = done >= course.iterations or (selection is not None and selection.exhausted)
    if ended and request.processes.is_first:
        _check_unfinished(task, folder, done, before, selection)
    _log.info("resumed after %d iterations", done)
    return Beginning(iteration=done, origin=origin, windows=state.windows, ended=ended)


def _check_unfinished(task: Task[Batch], folder: Path, done: int, card: RunCard, selection: Selection | None) -> None:
    """Raise a TrainingError unless the last evaluation of a training without iterations left is missing."""
    last = task.course.iterations
    evaluated = any("total_loss" not in line and line["iteration"] == done for line in read_metrics(folder))
    # Finished cards tell their iterations; those of before told neither these nor the seed.
    finished = card.iterations == done or (card.iterations is None and evaluated and "seed" not in card.settings)
    if done < last and finished and selection is not None and selection.best is not None:
        best = selection.best.iterations
        raise TrainingError(
            f"stopped after {done} iterations, {selection.metric} was best after {best}: raise patience to go on",
            path=folder,
        )
    if finished or done > last or task.validation is None:
        raise TrainingError(f"{done} iterations are done: raise SOLVER.MAX_ITER (now {last})", path=folder)
