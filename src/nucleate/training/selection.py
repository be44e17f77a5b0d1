"""The best checkpoint and early stopping, by evaluations on the validation split: a function of metrics.json alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nucleate.errors import ConfigError
from nucleate.files import write_path
from nucleate.models.checkpoints import BEST_NAME
from nucleate.training.events import PQ_NAME
from nucleate.training.settings import LoopSettings

_log = logging.getLogger(__name__)
THRESHOLD_KEY = "score_threshold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """An evaluation on the validation split.

    Attributes:
        iterations: that the weights have seen.
        value: of the metric, in percent.
        score_threshold: that was chosen with these weights.
    """

    iterations: int
    value: float
    score_threshold: float


def selection_metric(
    settings: LoopSettings, splits: Sequence[str], *, has_images: bool, evaluation_period: int
) -> str | None:
    """Return the metric that the best checkpoint is chosen by; None where nothing is chosen.

    Args:
        settings: `best` and `patience`.
        splits: what DATASETS.TEST names.
        has_images: the data set has that split.
        evaluation_period: TEST.EVAL_PERIOD.

    Raises:
        ConfigError: a choice is asked for, but there is nothing to choose by, or the split is one that models are
            scored on: choosing there would make its scores too good.
    """
    if settings.best == "none":
        return None
    asked = settings.best != "auto" or settings.patience > 0
    item = "patience" if settings.patience else "best"
    if tuple(splits) != ("val",):
        if asked:
            named = ", ".join(splits) or "nothing"
            raise ConfigError(
                f"chooses by the split val alone, but DATASETS.TEST is {named}: models are scored on the others, and"
                " what chose can't score; set DATASETS.TEST=('val',)",
                item=item,
            )
        return None
    if not has_images or not evaluation_period:
        if asked:
            what = "the data set has no split val" if not has_images else "nothing is evaluated on the way"
            raise ConfigError(f"{what}: prepare it with one, and set TEST.EVAL_PERIOD", item=item)
        return None
    return PQ_NAME if settings.best == "auto" else settings.best


class Selection:
    """The best evaluation so far, and for how many there has been no better.

    Args:
        folder: the run folder.
        metric: by name in metrics.json.
        patience: evaluations without a better one before the training stops; 0 never stops it.
        lines: of metrics.json so far.
    """

    def __init__(self, folder: Path, metric: str, patience: int, lines: Sequence[Mapping[str, float]]) -> None:
        self._folder = folder
        self.metric = metric
        self._patience = patience
        self.best: Score | None = None
        self._without_better = 0
        self._counted: set[int] = set()
        for line in lines:
            # Others evaluate too, on other splits; what chose a threshold was the training's own evaluation.
            if metric in line and THRESHOLD_KEY in line:
                self._count(_score(metric, line))

    @property
    def exhausted(self) -> bool:
        """Return whether patience is at its end."""
        return 0 < self._patience <= self._without_better

    def take(self, iterations: int, scores: Mapping[str, float], weights: Callable[[], Mapping[str, Tensor]]) -> None:
        """Take an evaluation; write `model_best.pth` where none was better. Call it before its line is written.

        Args:
            iterations: that the weights have seen.
            scores: the evaluation's, the metric and the score threshold among them.
            weights: those that count, on the CPU.
        """
        if iterations in self._counted:
            # The end of a training that was stopped: the same weights, read in another way.
            return
        score = _score(self.metric, {**scores, "iteration": iterations})
        if not self._count(score):
            _log.info("validation: %s %.2f, no better", self.metric, score.value)
            return
        content = {"model": dict(weights()), "iteration": iterations - 1, "best": self.record()}
        with write_path(self._folder / BEST_NAME) as temporary:
            torch.save(content, temporary)
        _log.info("validation: best %s so far, %.2f: %s", self.metric, score.value, BEST_NAME)

    def record(self) -> dict[str, Any]:
        """Return the best evaluation for the run card; empty before the first."""
        if self.best is None:
            return {}
        return {
            "file": BEST_NAME,
            "metric": self.metric,
            "score": self.best.value,
            "iterations": self.best.iterations,
            "score_threshold": self.best.score_threshold,
        }

    def _count(self, score: Score) -> bool:
        if score.iterations in self._counted:
            return False
        self._counted.add(score.iterations)
        better = not math.isnan(score.value) and (self.best is None or score.value > self.best.value)
        self._without_better = 0 if better else self._without_better + 1
        if better:
            self.best = score
        return better


def _score(metric: str, line: Mapping[str, float]) -> Score:
    return Score(
        iterations=int(line["iteration"]),
        value=float(line[metric]),
        score_threshold=float(line[THRESHOLD_KEY]),
    )
