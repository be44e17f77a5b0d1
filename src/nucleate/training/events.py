"""metrics.json, TensorBoard and console lines, in the formats that Detectron2's writers leave."""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Protocol, Self

from torch.utils.tensorboard import SummaryWriter

_log = logging.getLogger(__name__)
METRICS_NAME = "metrics.json"
PERIOD = 20
PQ_NAME = "PQ"
"""Of the validation split, beside Detectron2's names; lines of other evaluations have none."""
# Values of the moment; everything else is written as the median of the last PERIOD iterations.
_UNSMOOTHED = ("lr", "eta_seconds")


class Events(Protocol):
    """Takes what happens in a training."""

    def put(self, iteration: int, scalars: Mapping[str, float], *, seconds: float) -> None:
        """Take one iteration's scalars."""
        ...

    def lacks_evaluation(self, iterations: int) -> bool:
        """Return whether nothing is known of an evaluation after so many iterations."""
        ...

    def windows(self) -> Mapping[str, Sequence[float]]:
        """Return the last values of every scalar, which a resumed training goes on with."""
        ...


class NoEvents:
    """Takes nothing: of several processes one alone writes."""

    def put(self, iteration: int, scalars: Mapping[str, float], *, seconds: float) -> None:
        """Leave them."""

    def lacks_evaluation(self, iterations: int) -> bool:  # noqa: ARG002
        """Return False: the process that writes knows."""
        return False

    def windows(self) -> Mapping[str, Sequence[float]]:
        """Return none."""
        return {}


class EventLog:
    """Collects scalars every iteration, writes them every 20 iterations and at the end.

    Args:
        folder: the run folder; `metrics.json` is appended to.
        first_iteration: 0, or where a resumed training starts: later lines of an earlier attempt are cut.
        last_iteration: SOLVER.MAX_ITER.
        windows: the last values of every scalar where a resumed training starts, as its checkpoint holds them.
        evaluations_kept: of those after exactly the first iterations; the others are made again. None keeps all.
    """

    def __init__(
        self,
        folder: Path,
        *,
        first_iteration: int,
        last_iteration: int,
        windows: Mapping[str, Sequence[float]] | None = None,
        evaluations_kept: int | None = None,
    ) -> None:
        self._path = folder / METRICS_NAME
        self._last_iteration = last_iteration
        self._first_iteration = first_iteration
        self._windows = {name: deque(values, maxlen=PERIOD) for name, values in (windows or {}).items()}
        self._latest = {name: values[-1] for name, values in self._windows.items() if values}
        self._iteration_seconds: list[float] = []
        _cut_lines(self._path, first_iteration, evaluations_kept)
        written = any(folder.glob("events.out.tfevents.*"))
        self._board = SummaryWriter(str(folder), purge_step=first_iteration if written else None)
        # The purge takes the evaluation at its step along, which an iteration's line is numbered one below.
        for line in read_metrics(folder) if written else ():
            if line["iteration"] == first_iteration and "total_loss" not in line:
                self._show(first_iteration, line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()

    @property
    def eta_seconds(self) -> float:
        """Return the seconds that the remaining iterations take at the median pace, 0 before the first."""
        if not self._iteration_seconds:
            return 0.0
        done = self._first_iteration + len(self._iteration_seconds)
        return median(self._iteration_seconds[-1000:]) * (self._last_iteration - done)

    def put(self, iteration: int, scalars: Mapping[str, float], *, seconds: float) -> None:
        """Take one iteration's scalars; write a line where one is due."""
        self._iteration_seconds.append(seconds)
        for name, value in scalars.items():
            self._windows.setdefault(name, deque(maxlen=PERIOD)).append(float(value))
            self._latest[name] = float(value)
        self._windows.setdefault("time", deque(maxlen=PERIOD)).append(seconds)
        self._latest["time"] = seconds
        if (iteration + 1) % PERIOD == 0 or iteration + 1 == self._last_iteration:
            self._write(iteration)

    def put_evaluation(self, iteration: int, scores: Mapping[str, float]) -> None:
        """Write an evaluation as a line of its own."""
        _append_line(self._path, {**scores, "iteration": iteration})
        self._show(iteration, scores)

    def lacks_evaluation(self, iterations: int) -> bool:
        """Return whether metrics.json has no evaluation after so many iterations."""
        lines = read_metrics(self._path.parent)
        return not any(line["iteration"] == iterations and "total_loss" not in line for line in lines)

    def windows(self) -> Mapping[str, Sequence[float]]:
        """Return the last values of every scalar, which a resumed training goes on with."""
        return {name: list(values) for name, values in self._windows.items()}

    def latest(self) -> dict[str, float]:
        """Return the last value of every scalar."""
        return dict(self._latest)

    def put_picture(self, name: str, iteration: int, picture_rgb: Any) -> None:
        """Show an (H, W, 3) uint8 picture in TensorBoard."""
        self._board.add_image(name, picture_rgb, iteration, dataformats="HWC")

    def _write(self, iteration: int) -> None:
        smoothed = {
            name: self._latest[name] if name in _UNSMOOTHED else median(window)
            for name, window in self._windows.items()
        }
        line = {**smoothed, "iteration": iteration, "eta_seconds": self.eta_seconds}
        _append_line(self._path, line)
        self._show(iteration, line)
        _log.info("%s", self._console_line(iteration, smoothed))

    def _show(self, iteration: int, line: Mapping[str, float]) -> None:
        for name, value in line.items():
            if name != "iteration":
                self._board.add_scalar(name, value, iteration)
        self._board.flush()

    def _console_line(self, iteration: int, smoothed: Mapping[str, float]) -> str:
        losses = "  ".join(f"{name}: {smoothed[name]:.4g}" for name in smoothed if "loss" in name)
        seconds = self._iteration_seconds
        # Detectron2 leaves the first iterations out of its average, since they warm the machine up.
        steady = seconds[2:] or seconds
        eta = str(dt.timedelta(seconds=int(self.eta_seconds)))
        waiting = self._windows.get("data_time", deque([0.0]))
        return (
            f" eta: {eta}  iter: {iteration}  {losses}    time: {sum(steady) / len(steady):.4f}  "
            f"last_time: {seconds[-1]:.4f}  data_time: {sum(waiting) / len(waiting):.4f}  "
            f"last_data_time: {waiting[-1]:.4f}   lr: {smoothed.get('lr', math.nan):.5g}  "
        )


def append_evaluation(run_folder: Path, scores: Mapping[str, float], iteration: int) -> None:
    """Append an evaluation to a finished run's metrics.json and TensorBoard, as a training's own would be.

    Args:
        run_folder: what `train` made.
        scores: by Detectron2's names, `segm/AP50`; NaN is written as bare NaN, as there.
        iteration: number of iterations that the weights have seen.
    """
    _append_line(run_folder / METRICS_NAME, {**scores, "iteration": iteration})
    with SummaryWriter(str(run_folder)) as board:
        for name, value in scores.items():
            board.add_scalar(name, value, iteration)


def read_metrics(run_folder: Path) -> list[dict[str, float]]:
    """Return the lines of metrics.json; empty where there is none. A last line that a kill cut short is left out."""
    path = run_folder / METRICS_NAME
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines() if line.strip()]


def _append_line(path: Path, line: Mapping[str, float]) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")


def _cut_lines(path: Path, first_iteration: int, evaluations_kept: int | None) -> None:
    """Drop the lines of iterations that will be run again, and a last line that a kill cut short."""
    if not path.is_file():
        return
    kept: list[str] = []
    evaluations = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            scalars = json.loads(line)
            trained = "total_loss" in scalars
            iterations_done = scalars["iteration"] + trained
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
        if iterations_done > first_iteration:
            continue
        if iterations_done == first_iteration and not trained:
            evaluations += 1
            if evaluations_kept is not None and evaluations > evaluations_kept:
                continue
        kept.append(line)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8", newline="\n")
    temporary.replace(path)
