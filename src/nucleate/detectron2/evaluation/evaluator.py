"""A model run over a loader, its answers handed to evaluators."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from nucleate.errors import ConfigError

_log = logging.getLogger("nucleate.d2.evaluation.evaluator")
_WARMUP = 5
_SECONDS_BETWEEN_LINES = 5.0


class DatasetEvaluator:
    """Takes inputs and outputs, batch by batch, and makes scores of them."""

    def reset(self) -> None:
        """Forget everything, before a data set."""

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """Take one batch's inputs and what the model answered."""

    def evaluate(self) -> Mapping[str, Any] | None:
        """Return task -> name -> score."""
        return None


class DatasetEvaluators(DatasetEvaluator):
    """Several evaluators as one.

    Args:
        evaluators: their tasks differ.
    """

    def __init__(self, evaluators: Sequence[DatasetEvaluator]) -> None:
        self._evaluators = list(evaluators)

    def reset(self) -> None:
        """Reset each."""
        for each in self._evaluators:
            each.reset()

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """Hand a batch to each."""
        for each in self._evaluators:
            each.process(inputs, outputs)

    def evaluate(self) -> Mapping[str, Any]:
        """Return the scores of all.

        Raises:
            ConfigError: two have scores of one task.
        """
        results: OrderedDict[str, Any] = OrderedDict()
        for each in self._evaluators:
            for task, scores in (each.evaluate() or {}).items():
                if task in results:
                    raise ConfigError("two evaluators score this task", item=task)
                results[task] = scores
        return results


def inference_on_dataset(
    model: nn.Module | Callable[[Any], Any],
    data_loader: Any,
    evaluator: DatasetEvaluator | Sequence[DatasetEvaluator] | None,
) -> Mapping[str, Any]:
    """Return the scores of a model on the batches of a loader.

    Args:
        model: takes a batch, returns one dict an image; a module is put into `eval()` mode meanwhile.
        data_loader: has a length; its batches are lists of dicts.
        evaluator: one, several, or None, which only runs the model.

    Returns:
        What the evaluator returns; empty without one.
    """
    total = len(data_loader)
    _log.info("Start inference on %d batches", total)
    scorer = evaluator if isinstance(evaluator, DatasetEvaluator) else DatasetEvaluators(evaluator or ())
    scorer.reset()
    was_training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        with torch.no_grad():
            _run(model, data_loader, scorer, total)
    finally:
        if isinstance(model, nn.Module):
            model.train(was_training)
    return scorer.evaluate() or {}


def _run(model: Callable[[Any], Any], data_loader: Any, scorer: DatasetEvaluator, total: int) -> None:
    warmup = min(_WARMUP, total - 1)
    started = waiting_since = time.perf_counter()
    data_s = compute_s = evaluation_s = 0.0
    last_line = started
    for index, inputs in enumerate(data_loader):
        data_s += time.perf_counter() - waiting_since
        if index == warmup:
            # Detectron2 leaves the first batches out, since they warm the machine up.
            started, data_s, compute_s, evaluation_s = time.perf_counter(), 0.0, 0.0, 0.0
        began = time.perf_counter()
        outputs = model(inputs)
        computed = time.perf_counter()
        scorer.process(inputs, outputs)
        evaluated = time.perf_counter()
        compute_s += computed - began
        evaluation_s += evaluated - computed
        counted = max(1, index + 1 - warmup * (index >= warmup))
        if evaluated - last_line > _SECONDS_BETWEEN_LINES:
            last_line = evaluated
            each_s = (evaluated - started) / counted
            _log.info(
                "Inference done %d/%d. Dataloading: %.4f s/iter. Inference: %.4f s/iter. Eval: %.4f s/iter. "
                "Total: %.4f s/iter. ETA=%s",
                index + 1,
                total,
                data_s / counted,
                compute_s / counted,
                evaluation_s / counted,
                each_s,
                dt.timedelta(seconds=int(each_s * (total - index - 1))),
            )
        waiting_since = time.perf_counter()
    counted = max(1, total - warmup)
    whole_s = time.perf_counter() - started
    _log.info(
        "Total inference time: %s (%.6f s / iter per device, on 1 devices)",
        dt.timedelta(seconds=whole_s),
        whole_s / counted,
    )
    _log.info(
        "Total inference pure compute time: %s (%.6f s / iter per device, on 1 devices)",
        dt.timedelta(seconds=int(compute_s)),
        compute_s / counted,
    )
