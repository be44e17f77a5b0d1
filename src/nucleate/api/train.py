"""`nucleate train`: a data set and a recipe in, a run folder out."""

from __future__ import annotations

import importlib.util
import logging
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nucleate.api.fold_scores import CrossValidationReport
from nucleate.api.training_start import DEFAULT_SETTINGS, TrainingStart, TrainSettings, training_start
from nucleate.data import FoldSplit
from nucleate.errors import MissingExtraError
from nucleate.files import folder_lock

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a training left.

    Attributes:
        run_folder: where everything is.
        iterations: done in all.
        total_loss: of the last iteration.
        scores: of the last evaluation on the validation split (percent), as "segm/AP50 61.20"; empty without one.
        score_threshold: stored with the model.
        wrote: this process wrote the run folder; of several that train together the first one does.
    """

    run_folder: Path
    iterations: int
    total_loss: float
    scores: tuple[str, ...]
    score_threshold: float
    wrote: bool = True

    def summary(self) -> str:
        """Return the report for people; one process of several speaks."""
        if not self.wrote:
            return ""
        lines = [f"{self.iterations} iterations, total_loss {self.total_loss:.3f}: {self.run_folder}"]
        if self.scores:
            lines.append(f"validation: {', '.join(self.scores)} (score threshold {self.score_threshold:.2f})")
        lines.append(f'next: nucleate evaluate "{self.run_folder}" DATA, or nucleate segment IMAGES --model RUN')
        return "\n".join(lines)


def train(
    data: Path,
    *overrides: str,
    output: Path,
    recipe: str = "mask-rcnn-cpu",
    resume: bool = False,
    device: str | None = None,
    settings: TrainSettings = DEFAULT_SETTINGS,
) -> TrainReport | CrossValidationReport:
    """Train a model and leave a run folder, file by file as Detectron2's DefaultTrainer does.

    Recipes: star-convex (a CPU, hours), mask-rcnn-cpu (a CPU, an hour or two), mask-rcnn-dense (a GPU, crowded
    fields), mask-rcnn-detectron2 (a GPU, the original's numbers). Ctrl-C saves, and so does the signal by which a
    scheduler ends a job; --resume goes on. `torchrun --nproc-per-node N -m nucleate train ...` shares each step among N
    processes.

    Args:
        data: A folder that `nucleate prepare` made, or one COCO JSON file.
        overrides: KEY=VALUE: Detectron2's keys, SOLVER.MAX_ITER=300, or ours, augmentation.crop_px=256.
        output: The run folder; with --cross-validate a folder of them, fold-0, fold-1 and so on.
        recipe: Name of the recipe.
        resume: Go on from the folder's last checkpoint; with --cross-validate from the unfinished fold.
        device: cpu, cuda or mps; the best there is when left out.
        settings: Start weights, few images, folds.

    Returns:
        What was left where; with folds their scores.

    Raises:
        MissingExtraError: torch is not installed.
        ConfigError: an unknown recipe or key, or settings that don't fit the data.
        ResultsError: the folder holds a run already, or another process is writing there.
        TrainingError: nothing to resume, or the training diverged.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("training", "train")
    if settings.cross_validate is not None:
        from nucleate.api.cross_validate import FoldTraining, cross_validate

        training = FoldTraining(data=Path(data), overrides=overrides, recipe=recipe, device=device, settings=settings)
        return cross_validate(training, output=Path(output), resume=resume)
    start = training_start(Path(data), recipe, overrides, settings, resume=resume)
    return train_once(Path(data), start, output=Path(output), resume=resume, device=device)


def train_once(
    data: Path,
    start: TrainingStart,
    *,
    output: Path,
    resume: bool = False,
    device: str | None = None,
    fold: FoldSplit | None = None,
) -> TrainReport:
    """Train on a data set's splits, or on one fold, with log and progress bar; see `train`."""
    from nucleate.models.devices import parse_device
    from nucleate.training import TrainingRequest, run_training
    from nucleate.training.processes import launched_rank
    from nucleate.training.run_log import run_log

    request = TrainingRequest(
        data=data,
        recipe=start.recipe,
        output=output,
        weights=start.weights,
        resume=resume,
        device=parse_device(device),
        fold=fold,
    )
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("training" if fold is None else f"fold {fold.fold}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=launched_rank() > 0 or not sys.stderr.isatty(),
    )
    with ExitStack() as around:
        if launched_rank() == 0:
            around.enter_context(folder_lock(request.output))
            around.enter_context(run_log(request.output, console=_Lines(console)))
        around.enter_context(_saved_when_ended())
        around.enter_context(progress)
        task = progress.add_task("training", loss=float("nan"), start=False)

        def on_start(first: int, last: int) -> None:
            progress.update(task, total=last, completed=first)
            progress.start_task(task)

        def on_iteration(done: int, loss: float) -> None:
            progress.update(task, completed=done, loss=loss)

        if start.published is not None:
            _log.info("start weights %s: licence %s", start.published.name, start.published.licence)
        result = run_training(request, on_start, on_iteration)
    return TrainReport(
        run_folder=request.output,
        iterations=result.iterations,
        total_loss=result.final_losses.get("total_loss", math.nan),
        scores=tuple(f"{name} {value:.2f}" for name, value in result.scores.items()),
        score_threshold=result.card.score_threshold,
        wrote=launched_rank() == 0,
    )


@contextmanager
def _saved_when_ended() -> Iterator[None]:
    """Let the signals by which a scheduler or a closed terminal ends a process save as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Ctrl-C too: a shell starts background jobs with it switched off.
    names = [name for name in ("SIGINT", "SIGTERM") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), signal.default_int_handler) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


class _Lines(logging.Handler):
    """Log lines above the progress bar."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)
