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
from nucleate.models.mask_rcnn import MaskRCNN, TrainingImage, TrainingLosses
from nucleate.models.mask_rcnn.solver import SolverSettings, clip_gradients, lr_factor
from nucleate.training.events import EventLog
from nucleate.training.run_folder import FINAL_NAME, checkpoint_name, save_checkpoint

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """What the loop needs besides network, optimiser and batches.

    Attributes:
        folder: the run folder.
        solver: rates and length.
        first_iteration: 0, or where a resumed training goes on.
        checkpoint_period: iterations between checkpoints.
        evaluation_period: iterations between calls of `evaluate`; 0 calls it at the end alone.
        autocast: lower precision; None for fp32.
        seed: of anchors' and proposals' samples.
    """

    folder: Path
    solver: SolverSettings
    first_iteration: int
    checkpoint_period: int
    evaluation_period: int
    autocast: torch.dtype | None
    seed: int


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
    network: MaskRCNN,
    optimizer: torch.optim.SGD,
    batches: Iterator[list[TrainingImage]],
    settings: LoopSettings,
    events: EventLog,
    hooks: LoopHooks,
) -> None:
    """Train from `first_iteration` to SOLVER.MAX_ITER.

    Ctrl-C saves a checkpoint of the last finished iteration before it goes up.

    Raises:
        TrainingError: a loss is not finite; the last checkpoint stays as it was.
    """
    last = settings.solver.max_iterations
    done = settings.first_iteration
    network.train()
    try:
        for iteration in range(settings.first_iteration, last):
            started = time.perf_counter()
            batch = next(batches)
            data_seconds = time.perf_counter() - started
            losses = _step(network, optimizer, batch, settings, iteration)
            done = iteration + 1
            scalars = {"data_time": data_seconds, "rank_data_time": data_seconds, **_scalars(losses)}
            scalars["lr"] = settings.solver.base_lr * lr_factor(iteration, settings.solver)
            events.put(iteration, scalars, seconds=time.perf_counter() - started)
            hooks.on_iteration(done, scalars["total_loss"])
            if done == last:
                save_checkpoint(settings.folder, FINAL_NAME, network, optimizer, iteration)
            elif done % settings.checkpoint_period == 0:
                save_checkpoint(settings.folder, checkpoint_name(iteration), network, optimizer, iteration)
            due = settings.evaluation_period and done % settings.evaluation_period == 0
            if hooks.evaluate is not None and due and done < last:
                network.eval()
                hooks.evaluate(done)
                network.train()
    except KeyboardInterrupt:
        if done > settings.first_iteration:
            save_checkpoint(settings.folder, checkpoint_name(done - 1), network, optimizer, done - 1)
            _log.warning("interrupted after %d of %d iterations: saved; go on with --resume", done, last)
        raise
    network.eval()
    if hooks.evaluate is not None:
        hooks.evaluate(done)


def _step(
    network: MaskRCNN,
    optimizer: torch.optim.SGD,
    batch: list[TrainingImage],
    settings: LoopSettings,
    iteration: int,
) -> TrainingLosses:
    factor = lr_factor(iteration, settings.solver)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    # A stream of its own for every iteration: a resumed training draws the samples that it would have drawn.
    torch.manual_seed(settings.seed * 1_000_003 + iteration)
    device_type = network.device.type
    try:
        with torch.autocast(device_type, dtype=settings.autocast, enabled=settings.autocast is not None):
            losses = network.losses(batch)
            total = losses.total()
    except FloatingPointError as error:
        raise _diverged(iteration, str(error)) from error
    if not bool(torch.isfinite(total)):
        raise _diverged(iteration, ", ".join(f"{name} {float(loss.detach()):.4g}" for name, loss in losses.named()))
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    clip_gradients((p for group in optimizer.param_groups for p in group["params"]), settings.solver.clipping)
    optimizer.step()
    # As Detectron2 stores it: the rate of the next iteration.
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * lr_factor(iteration + 1, settings.solver)
    return losses


def _scalars(losses: TrainingLosses) -> dict[str, float]:
    named = {name: float(loss.detach()) for name, loss in losses.named()}
    return {"total_loss": math.fsum(named.values()), **named, **dict(losses.metrics.logged())}


def _diverged(iteration: int, what: str) -> TrainingError:
    return TrainingError(
        f"diverged at iteration {iteration} ({what}): lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, or set"
        " SOLVER.CLIP_GRADIENTS.ENABLED=True"
    )
