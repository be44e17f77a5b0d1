"""`DefaultTrainer`: the engine's training by a configuration, the files of Detectron2's in OUTPUT_DIR."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from nucleate.detectron2.config import CfgNode
from nucleate.detectron2.data.catalog import DatasetCatalog
from nucleate.detectron2.data.loading import TestLoader, build_detection_test_loader
from nucleate.detectron2.engine.training_run import RegisteredTask, card_of, request_of
from nucleate.detectron2.errors import NotBuiltError
from nucleate.detectron2.evaluation.evaluator import DatasetEvaluator, inference_on_dataset
from nucleate.detectron2.evaluation.messages import print_csv_format
from nucleate.detectron2.modeling import GeneralizedRCNN, build_model, device_of, weights_of
from nucleate.detectron2.utils.logger import log_file
from nucleate.errors import ConfigError, TrainingError
from nucleate.files import folder_lock
from nucleate.models.mask_rcnn import TrainingImage
from nucleate.models.run_card import RunCard
from nucleate.training.events import METRICS_NAME, EventLog
from nucleate.training.loop import LoopHooks, Stretch, run_loop
from nucleate.training.run_folder import last_checkpoint, read_state
from nucleate.training.trainee import Trainee

__all__ = ["DefaultTrainer"]

_log = logging.getLogger("nucleate.d2.engine.defaults")


class DefaultTrainer:
    """Trains what a configuration says: `DefaultTrainer(cfg)`, `resume_or_load(resume=...)`, `train()`.

    Subclasses may bring their own `build_evaluator`, `build_test_loader` and `test`; another model, training loader,
    optimiser, scheduler or hook is refused when the trainer is made, never ignored.

    Args:
        cfg: a whole configuration whose data sets are registered.

    Attributes:
        cfg: it.
        model: what is trained.
        start_iter: 0, or where a resumed training goes on.
        max_iter: SOLVER.MAX_ITER.

    Raises:
        ConfigError: something that is not built, or keys that don't fit each other or the data.
        UnknownDatasetError: DATASETS.TRAIN or DATASETS.TEST names a set that nobody registered.
    """

    # Detectron2's methods that the engine does in its own way: an override would change nothing.
    _engine_only: ClassVar[tuple[str, ...]] = (
        "after_step",
        "after_train",
        "before_step",
        "before_train",
        "build_hooks",
        "build_lr_scheduler",
        "build_model",
        "build_optimizer",
        "build_train_loader",
        "build_writers",
        "register_hooks",
        "run_step",
    )

    def __init__(self, cfg: CfgNode) -> None:
        for name in self._engine_only:
            if _owner(type(self), name) not in (None, DefaultTrainer):
                item = f"{type(self).__name__}.{name}"
                raise NotBuiltError(
                    "is not built: the engine does this step itself, an own one would be ignored", item=item
                )
        for key in ("TRAIN", "TEST"):
            for name in cfg.DATASETS[key]:
                DatasetCatalog.check(name, item=f"DATASETS.{key}")
        self.cfg = cfg
        self.start_iter = 0
        self.max_iter = int(cfg.SOLVER.MAX_ITER)
        self._device = device_of(cfg)
        self._weights = weights_of(cfg)
        self._origin: str | None = None
        self._windows: Mapping[str, Sequence[float]] | None = None
        self._last_eval_results: Mapping[str, Any] = {}
        self._task, self._trainee = self._build(resume=False)

    @property
    def model(self) -> GeneralizedRCNN:
        """Return what is trained."""
        network = self._trainee.network
        assert isinstance(network, GeneralizedRCNN)
        return network

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser."""
        return self._trainee.optimizer

    def resume_or_load(self, resume: bool = True) -> None:  # noqa: FBT001, FBT002
        """Fill the weights: those of OUTPUT_DIR's last checkpoint, with everything to go on, or of MODEL.WEIGHTS.

        Args:
            resume: look for `last_checkpoint` first; without one MODEL.WEIGHTS is loaded.

        Raises:
            CheckpointError: the file is damaged or doesn't fit.
        """
        folder = Path(self.cfg.OUTPUT_DIR)
        checkpoint = last_checkpoint(folder) if resume else None
        if checkpoint is None:
            self.start_iter = 0
            self._windows = None
            self._origin = self._task.start(self._trainee)
            return
        self._task, self._trainee = self._build(resume=True)
        state = read_state(checkpoint)
        self._trainee.load(state)
        self.start_iter = state.iteration + 1
        self._windows = state.windows
        self._origin = RunCard.read(folder).settings.get("weights", "")
        _log.info("Resumed %s after %d iterations", checkpoint, self.start_iter)

    def train(self) -> Mapping[str, Any] | None:
        """Train to SOLVER.MAX_ITER and evaluate on DATASETS.TEST where there is an evaluator.

        Returns:
            What the last evaluation gave; None without one.

        Raises:
            TrainingError: nothing left to do, or the training diverged.
        """
        folder = Path(self.cfg.OUTPUT_DIR)
        if self.start_iter >= self.max_iter:
            raise TrainingError(
                f"{self.start_iter} iterations are done: raise SOLVER.MAX_ITER (now {self.max_iter})", path=folder
            )
        with folder_lock(folder), log_file(folder):
            if self._origin is None:
                self.resume_or_load(resume=False)
            if self.start_iter == 0 and (folder / METRICS_NAME).is_file():
                _log.warning("%s holds a run already: its files are replaced, as Detectron2 replaces them", folder)
            assert self._origin is not None
            self._task.write_config(folder)
            card_of(self.cfg, self._task, self._origin).write(folder)
            logging.getLogger("nucleate.d2.engine.train_loop").info(
                "Starting training from iteration %d", self.start_iter
            )
            with EventLog(
                folder, first_iteration=self.start_iter, last_iteration=self.max_iter, windows=self._windows
            ) as events:
                hooks = LoopHooks(on_iteration=lambda *_: None, evaluate=self._evaluation_hook(events))
                stretch = Stretch(folder=folder, first_iteration=self.start_iter, course=self._task.course)
                run_loop(self._trainee, self._task.batches(self.start_iter), stretch, events, hooks)
        return self._last_eval_results or None

    @classmethod
    def build_model(cls, cfg: CfgNode) -> GeneralizedRCNN:
        """Return the network of a configuration with its initial weights."""
        return build_model(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> TestLoader:
        """Return the loader of a registered data set for tests."""
        return build_detection_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Return what scores a data set; for subclasses, usually `COCOEvaluator(dataset_name, output_dir=...)`."""
        raise NotImplementedError(
            "a DefaultTrainer has no evaluator of its own: give test() one, or let a subclass have build_evaluator"
        )

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None,
    ) -> Mapping[str, Any]:
        """Return the scores of a model on the data sets of DATASETS.TEST.

        Args:
            cfg: which data sets.
            model: in any mode.
            evaluators: one a data set; None takes `build_evaluator`.

        Returns:
            The results of the one data set, or data set -> results.

        Raises:
            ConfigError: the number of evaluators is not that of the data sets.
        """
        names = list(cfg.DATASETS.TEST)
        given = [evaluators] if isinstance(evaluators, DatasetEvaluator) else evaluators
        if given is not None and len(given) != len(names):
            raise ConfigError(f"{len(given)} evaluators for {len(names)} data sets", item="DATASETS.TEST")
        results: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        for index, name in enumerate(names):
            try:
                evaluator = cls.build_evaluator(cfg, name) if given is None else given[index]
            except NotImplementedError:
                _log.warning(
                    "No evaluator found. Use `DefaultTrainer.test(evaluators=)`, or implement its `build_evaluator`"
                    " method."
                )
                results[name] = {}
                continue
            results[name] = inference_on_dataset(model, cls.build_test_loader(cfg, name), evaluator)
            _log.info("Evaluation results for %s in csv format:", name)
            print_csv_format(results[name])
        return next(iter(results.values())) if len(results) == 1 else results

    def _build(self, *, resume: bool) -> tuple[RegisteredTask, Trainee[list[TrainingImage]]]:
        task = RegisteredTask(request_of(self.cfg, self._device, weights=self._weights, resume=resume))
        torch.manual_seed(task.course.seed)
        return task, task.build()

    def _evaluation_hook(self, events: EventLog) -> Any:
        if not len(self.cfg.DATASETS.TEST):
            return None

        def evaluate(iterations: int, *, final: bool) -> bool:  # noqa: ARG001
            self._last_eval_results = self.test(self.cfg, self.model)
            scores = _flat(self._last_eval_results)
            if scores:
                events.put_evaluation(iterations, scores)
            return False

        return evaluate


def _owner(kind: type, name: str) -> type | None:
    return next((each for each in kind.__mro__ if name in each.__dict__), None)


def _flat(results: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return {"bbox": {"AP": 1.0}} as {"bbox/AP": 1.0}."""
    flat: dict[str, float] = {}
    for name, value in results.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = float(value)
    return flat
