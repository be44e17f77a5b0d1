"""The training loop: batches in, steps taken, events and checkpoints out; stops, resumes and saves cleanly."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from nucleate.errors import TrainingError
from nucleate.models.checkpoints import FINAL_NAME
from nucleate.training.events import EventLog
from nucleate.training.run_folder import checkpoint_name, save_checkpoint
from nucleate.training.task import Course
from nucleate.training.trainee import Batch, Losses, Trainee

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The part of a course that is run now, and where.

    Attributes:
        folder: the run folder.
        first_iteration: 0, or where a resumed training goes on.
        course: length and periods.
    """

    folder: Path
    first_iteration: int
    course: Course


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHooks:
    """What the loop tells others.

    Attributes:
        on_iteration: called with the number of iterations done and the total loss.
        evaluate: called with the number of iterations done, the network in `eval()` mode; None evaluates nothing.
    """

    on_iteration: Callable[[int, float], None]
    evaluate: Callable[[int], None] | None = None


def run_loop(
    trainee: Trainee[Batch],
    batches: Iterator[Batch],
    stretch: Stretch,
    events: EventLog,
    hooks: LoopHooks,
) -> None:
    """Train from the stretch's first iteration to the end of its course.

    Ctrl-C saves a checkpoint of the last finished iteration before it goes up.

    Args:
        trainee: what is trained.
        batches: from the first iteration on.
        stretch: from where to where.
        events: takes the scalars.
        hooks: who is told.

    Raises:
        TrainingError: a loss is not finite; the last checkpoint stays as it was.
    """
    course, folder, first_iteration = stretch.course, stretch.folder, stretch.first_iteration
    last, done = course.iterations, first_iteration
    trainee.network.train()
    try:
        for iteration in range(first_iteration, last):
            started = time.perf_counter()
            batch = next(batches)
            data_seconds = time.perf_counter() - started
            losses = _step(trainee, batch, course.seed, iteration)
            done = iteration + 1
            scalars = {"data_time": data_seconds, "rank_data_time": data_seconds, **_scalars(losses)}
            scalars["lr"] = trainee.base_rate * trainee.rate(iteration)
            events.put(iteration, scalars, seconds=time.perf_counter() - started)
            hooks.on_iteration(done, scalars["total_loss"])
            if done == last:
                save_checkpoint(folder, FINAL_NAME, trainee.state(iteration))
            elif done % course.checkpoint_period == 0:
                save_checkpoint(folder, checkpoint_name(iteration), trainee.state(iteration))
            due = course.evaluation_period and done % course.evaluation_period == 0
            if hooks.evaluate is not None and due and done < last:
                trainee.network.eval()
                hooks.evaluate(done)
                trainee.network.train()
    except KeyboardInterrupt:
        if done > first_iteration:
            save_checkpoint(folder, checkpoint_name(done - 1), trainee.state(done - 1))
            _log.warning("interrupted after %d of %d iterations: saved; go on with --resume", done, last)
        raise
    trainee.network.eval()
    if hooks.evaluate is not None:
        hooks.evaluate(done)


def _step(trainee: Trainee[Batch], batch: Batch, seed: int, iteration: int) -> Losses:
    trainee.set_rate(iteration)
    # A stream of its own for every iteration: a resumed training draws the samples that it would have drawn.
    torch.manual_seed(seed * 1_000_003 + iteration)
    try:
        losses = trainee.losses(batch)
        total = losses.total()
    except FloatingPointError as error:
        raise _diverged(iteration, str(error)) from error
    if not bool(torch.isfinite(total)):
        raise _diverged(iteration, ", ".join(f"{name} {float(loss.detach()):.4g}" for name, loss in losses.named()))
    trainee.optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    trainee.clip()
    trainee.optimizer.step()
    if trainee.average is not None:
        trainee.average.update(trainee.network)
    # As Detectron2 stores it: the rate of the next iteration.
    trainee.set_rate(iteration + 1)
    return losses


def _scalars(losses: Losses) -> dict[str, float]:
    named = {name: float(loss.detach()) for name, loss in losses.named()}
    return {"total_loss": math.fsum(named.values()), **named, **dict(losses.logged())}


def _diverged(iteration: int, what: str) -> TrainingError:
    return TrainingError(
        f"diverged at iteration {iteration} ({what}): lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, or set"
        " SOLVER.CLIP_GRADIENTS.ENABLED=True"
    )
