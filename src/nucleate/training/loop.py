"""The training loop: batches in, steps taken, events and checkpoints out; stops, resumes and saves cleanly."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol

from nucleate.models.checkpoints import FINAL_NAME
from nucleate.training.divergence import keep_diverged
from nucleate.training.events import Events
from nucleate.training.interruption import Interruption
from nucleate.training.processes import ALONE, Processes
from nucleate.training.run_folder import checkpoint_name, save_checkpoint
from nucleate.training.stepping import DivergenceError, Stepper
from nucleate.training.task import Course
from nucleate.training.trainee import Batch, Part, Trainee

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The part of a course that is run now, and where.

    Attributes:
        folder: the run folder.
        first_iteration: 0, or where a resumed training goes on.
        course: length and periods.
        processes: who take the steps together; the first of them writes.
    """

    folder: Path
    first_iteration: int
    course: Course
    processes: Processes = ALONE


class Evaluate(Protocol):
    """Evaluates the network, which is in `eval()` mode."""

    def __call__(self, iterations: int, *, final: bool) -> bool:
        """Return whether the training should stop.

        Args:
            iterations: done so far.
            final: none follow.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHooks:
    """What the loop tells others.

    Attributes:
        on_iteration: called with the number of iterations done and the total loss.
        evaluate: None evaluates nothing.
    """

    on_iteration: Callable[[int, float], None]
    evaluate: Evaluate | None = None


def run_loop(
    trainee: Trainee[Batch],
    batches: Iterator[Part[Batch]],
    stretch: Stretch,
    events: Events,
    hooks: LoopHooks,
) -> int:
    """Train from the stretch's first iteration to the end of its course, or until an evaluation stops it.

    Ctrl-C saves a checkpoint of the last finished iteration before it goes up.

    Args:
        trainee: what is trained.
        batches: this process' parts, from the first iteration on.
        stretch: from where to where.
        events: takes the scalars.
        hooks: who is told.

    Returns:
        How many iterations are done in all.

    Raises:
        TrainingError: a loss or gradient is not finite; the last checkpoint stays as it was, and the batch is kept.
    """
    return _Loop(trainee, batches, stretch, events, hooks).run()


class _Loop(Generic[Batch]):
    def __init__(
        self,
        trainee: Trainee[Batch],
        batches: Iterator[Part[Batch]],
        stretch: Stretch,
        events: Events,
        hooks: LoopHooks,
    ) -> None:
        self._trainee = trainee
        self._batches = batches
        self._stretch = stretch
        self._course = stretch.course
        self._processes = stretch.processes
        self._events = events
        self._hooks = hooks
        self._stepper = Stepper(trainee, stretch.processes, stretch.course.seed)
        self._done = stretch.first_iteration
        self._saved = stretch.first_iteration

    def run(self) -> int:
        interruption = Interruption()
        self._trainee.network.train()
        with interruption.listening():
            try:
                self._train(interruption)
            except KeyboardInterrupt:
                if self._done > self._saved:
                    self._save(checkpoint_name(self._done - 1))
                    _log.warning(
                        "interrupted after %d of %d iterations: saved; go on with --resume",
                        self._done,
                        self._course.iterations,
                    )
                raise
            self._trainee.network.eval()
            if self._hooks.evaluate is not None:
                self._hooks.evaluate(self._done, final=True)
        return self._done

    def _train(self, interruption: Interruption) -> None:
        first, last = self._stretch.first_iteration, self._course.iterations
        # A training that ended between its checkpoint and the evaluation that was due.
        lacking = 0 < first < last and self._is_evaluated(first) and self._events.lacks_evaluation(first)
        stop = bool(self._processes.of_first(int(lacking))) and self._evaluate()
        while self._done < last and not stop:
            with interruption.held():
                total_loss, interrupted = self._iterate(interruption)
            self._hooks.on_iteration(self._done, total_loss)
            if interrupted:
                raise KeyboardInterrupt
            # The evaluation first: a checkpoint says that what was due before it is done.
            if self._done < last and self._is_evaluated(self._done):
                stop = self._evaluate()
            if self._done < last and not stop and self._done % self._course.checkpoint_period == 0:
                self._save(checkpoint_name(self._done - 1))
        self._save(FINAL_NAME)

    def _iterate(self, interruption: Interruption) -> tuple[float, bool]:
        """Take a step; return its loss and whether any process was asked to stop."""
        trainee, iteration = self._trainee, self._done
        started = time.perf_counter()
        parts = [next(self._batches) for _ in range(self._course.parts)]
        data_seconds = time.perf_counter() - started
        try:
            scalars, interrupted = self._stepper.step(parts, iteration, stop=interruption.requested)
        except DivergenceError as error:
            raise keep_diverged(self._stretch.folder, iteration, error, trainee.plain, trainee.remedy) from error
        rate = trainee.base_rate * trainee.rate(iteration)
        scalars = {"data_time": data_seconds, "rank_data_time": data_seconds, **scalars, "lr": rate}
        self._events.put(iteration, scalars, seconds=time.perf_counter() - started)
        self._done = iteration + 1
        if self._processes.count == 1:
            interrupted = interruption.requested
        return scalars["total_loss"], interrupted

    def _is_evaluated(self, iterations: int) -> bool:
        period = self._course.evaluation_period
        return bool(period) and iterations % period == 0

    def _evaluate(self) -> bool:
        stop = False
        if self._hooks.evaluate is not None:
            self._trainee.network.eval()
            stop = self._hooks.evaluate(self._done, final=False)
            self._trainee.network.train()
        return bool(self._processes.of_first(int(stop)))

    def _save(self, name: str) -> None:
        if self._processes.is_first:
            state = self._trainee.state(self._done - 1, self._events.windows())
            save_checkpoint(self._stretch.folder, name, state)
        self._saved = self._done
