"""`nucleate train --cross-validate`: the folds of a data set, each trained, chosen and scored by its own images."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucleate.api.evaluate import conditions_of_model, score_part, segment_dataset, write_evaluation
from nucleate.api.fold_scores import CrossValidationReport, FoldScores
from nucleate.api.loading import load_model
from nucleate.api.scored_part import ScoredPart
from nucleate.api.scoring import EvaluateSettings
from nucleate.api.train import train_once
from nucleate.api.training_start import TrainingStart, TrainSettings, training_start
from nucleate.data import CocoDataset, FoldSplit, read_dataset, read_folds
from nucleate.errors import ConfigError, ResultsError
from nucleate.files import folder_lock, write_json

PLAN_NAME = "folds.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTraining:
    """What is done with every fold.

    Attributes:
        data: a folder that `prepare --folds` made.
        recipe: by name.
        overrides: KEY=VALUE.
        device: None for the best there is.
        settings: the folds' name, a single fold, start weights, few images.
    """

    data: Path
    recipe: str
    overrides: tuple[str, ...]
    device: str | None
    settings: TrainSettings

    def plan(self) -> dict[str, Any]:
        """Return what all folds of one output folder have in common."""
        return {
            "data": self.data.as_posix(),
            "folds": self.settings.cross_validate,
            "recipe": self.recipe,
            "overrides": list(self.overrides),
            "weights": self.settings.weights,
            "few_shot": self.settings.few_shot,
        }


def cross_validate(training: FoldTraining, *, output: Path, resume: bool = False) -> CrossValidationReport:
    """Train the folds in turn, or one; score each one's test images once; report once all are there.

    Args:
        training: data, folds, recipe.
        output: gets a run folder a fold, `fold-0` and so on, and cross_validation.json and .md.
        resume: go on with the unfinished fold; finished ones stay as they are.

    Raises:
        ConfigError: no such folds or fold, or settings that don't fit.
        DataError: unreadable data.
        ResultsError: the folder holds folds already, or those of another training.
        TrainingError: a training diverged.
    """
    name = training.settings.cross_validate
    assert name is not None
    splits = read_folds(training.data, name)
    chosen = _chosen(splits, training.settings.fold)
    runs = {split.fold: output / f"fold-{split.fold}" for split in splits}
    begun = [runs[split.fold] for split in chosen if runs[split.fold].exists()]
    if begun and not resume:
        raise ResultsError("holds a fold already: go on with --resume, or choose another --output", path=begun[0])
    _keep_plan(output, training.plan())
    whole = read_dataset(training.data)
    for split in chosen:
        run = runs[split.fold]
        if FoldScores.read(run) is not None:
            _log.info("fold %d is done: %s", split.fold, run)
            continue
        _train(training, split, run, resume=resume)
        _score(split, run, whole, training.device)
    scored = [FoldScores.read(run) for run in runs.values()]
    report = CrossValidationReport(
        folder=output,
        name=splits[0].name,
        recipe=training.recipe,
        fold_count=len(splits),
        folds=tuple(each for each in scored if each is not None),
    )
    if report.is_complete:
        report.write()
    return report


def _chosen(splits: tuple[FoldSplit, ...], fold: int | None) -> tuple[FoldSplit, ...]:
    if fold is None:
        return splits
    if not 0 <= fold < len(splits):
        raise ConfigError(f"--fold {fold}: {splits[0].name} has folds 0 to {len(splits) - 1}")
    return (splits[fold],)


def _keep_plan(output: Path, plan: dict[str, Any]) -> None:
    """Write what the folds have in common, or check that this training has it too."""
    path = output / PLAN_NAME
    if not path.is_file():
        write_json(path, plan, indent=1)
        return
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ResultsError("is damaged: choose another --output", path=path) from error
    for key, value in plan.items():
        if held.get(key) != value:
            raise ResultsError(
                f"the folds here were trained with {key} {held.get(key)!r}, not {value!r}: repeat that, or choose"
                " another --output",
                path=path,
            )


def _train(training: FoldTraining, split: FoldSplit, run: Path, *, resume: bool) -> None:
    from nucleate.training.run_folder import last_checkpoint
    from nucleate.training.session import is_finished

    begun = resume and run.is_dir()
    if begun and last_checkpoint(run) is None:
        _log.warning("fold %d had no checkpoint yet: it starts again", split.fold)
        with folder_lock(run):
            pass
        shutil.rmtree(run)
        begun = False
    start = _start(training, split, resume=begun)
    if begun and is_finished(run, _iterations(start)):
        return
    train_once(training.data, start, output=run, resume=begun, device=training.device, fold=split)


def _start(training: FoldTraining, split: FoldSplit, *, resume: bool) -> TrainingStart:
    return training_start(
        training.data, training.recipe, training.overrides, training.settings, resume=resume, fold=split
    )


def _iterations(start: TrainingStart) -> int:
    return int(str(start.recipe.config.get("SOLVER.MAX_ITER")))


def _score(split: FoldSplit, run: Path, whole: CocoDataset, device: str | None) -> None:
    part = ScoredPart(dataset=whole.subset(split.test), whole=whole, split="test")
    settings = EvaluateSettings(fresh=True)
    model = load_model(run, device)
    found = segment_dataset(model, part.dataset, settings)
    evaluation = score_part(part, found, conditions_of_model(model, part, settings), settings)
    write_evaluation(run / "evaluation", part.dataset, found, evaluation)
    FoldScores.of(split.fold, evaluation).write(run)
