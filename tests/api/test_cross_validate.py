"""Folds trained, interrupted, resumed and scored, with a tiny network on drawn images."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nucleate.api import CrossValidationReport, FoldScores, PrepareSettings, TrainSettings, evaluate, prepare, train
from nucleate.errors import ConfigError, ResultsError
from nucleate.models.run_card import RunCard
from nucleate.training.events import EventLog
from tests.synthetic import write_label_folder
from tests.training.test_session import OURS

NAME = "kfold-2-seed19"
SHORT = (*OURS, "SOLVER.MAX_ITER=2", "SOLVER.CHECKPOINT_PERIOD=1")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_label_folder(folder / "source", count=6, height_px=96, width_px=96, nuclei=4)
    prepare([folder / "source"], output=folder / "data", settings=PrepareSettings(folds=2))
    return folder / "data"


def folds(data: Path, output: Path, *overrides: str, **more: Any) -> CrossValidationReport:
    settings = TrainSettings(cross_validate=NAME, fold=more.pop("fold", None))
    report = train(data, *SHORT, *overrides, output=output, device="cpu", settings=settings, **more)
    assert isinstance(report, CrossValidationReport)
    return report


def test_an_interrupted_cross_validation_goes_on_with_the_unfinished_fold(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "folds & co"
    put = EventLog.put
    begun = []

    def put_and_stop(self: EventLog, iteration: int, *rest: Any, **more: Any) -> None:
        put(self, iteration, *rest, **more)
        begun.append(iteration)
        if len(begun) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(EventLog, "put", put_and_stop)
    with pytest.raises(KeyboardInterrupt):
        folds(data, output)
    monkeypatch.setattr(EventLog, "put", put)
    # Fold 0 is scored, fold 1 stands after its first iteration.
    first = (output / "fold-0" / "model_final.pth").stat().st_mtime_ns
    assert FoldScores.read(output / "fold-0") is not None
    assert FoldScores.read(output / "fold-1") is None
    with pytest.raises(ResultsError, match="--resume"):
        folds(data, output)
    report = folds(data, output, resume=True)
    assert report.is_complete
    assert (output / "fold-0" / "model_final.pth").stat().st_mtime_ns == first
    assert "resumed after 1 iterations" in (output / "fold-1" / "log.txt").read_text()
    content = json.loads((output / "cross_validation.json").read_text())
    # Two steps find no nucleus, but some of their pixels.
    values = [fold["scores"]["Dice"] for fold in content["folds"]]
    assert content["mean"]["Dice"] == pytest.approx(sum(values) / 2)
    assert content["standard_deviation"]["Dice"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
    assert content["mean"]["segm/APl"] is None
    text = report.summary()
    assert "| percent | fold 0 | fold 1 | mean | deviation |" in text
    assert text.split("\n\n")[1].strip().splitlines()[2] in (output / "cross_validation.md").read_text()
    assert RunCard.read(output / "fold-1").settings["fold"] == {"name": NAME, "number": 1}
    assert (output / "fold-1" / "evaluation" / "report.html").is_file()
    # A second call finds nothing to do.
    assert folds(data, output, resume=True) == report
    with pytest.raises(ResultsError, match="were trained with overrides"):
        folds(data, output, "SOLVER.BASE_LR=0.002", resume=True)
    with pytest.raises(ConfigError, match=f"is fold 1 of {NAME}"):
        evaluate(output / "fold-1")


def test_single_folds_report_once_all_are_there(data: Path, tmp_path: Path) -> None:
    first = folds(data, tmp_path / "out", fold=1)
    assert not first.is_complete
    assert "1 of 2 folds; mean and deviation come with the others: 0" in first.summary()
    assert not (tmp_path / "out" / "cross_validation.json").exists()
    second = folds(data, tmp_path / "out", fold=0)
    assert [fold.fold for fold in second.folds] == [0, 1]
    assert (tmp_path / "out" / "cross_validation.json").is_file()


def test_a_fold_that_was_killed_before_its_first_checkpoint_starts_again(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "out" / "fold-0"
    run.mkdir(parents=True)
    (run / "metrics.json").write_text("")
    report = folds(data, tmp_path / "out", fold=0, resume=True)
    assert [fold.fold for fold in report.folds] == [0]


@pytest.mark.parametrize("split", ["test", "all"])
def test_a_fold_is_never_chosen_by_what_it_is_scored_on(data: Path, tmp_path: Path, split: str) -> None:
    with pytest.raises(ConfigError, match="a fold's own val alone"):
        folds(data, tmp_path / "out", f"DATASETS.TEST=('{split}',)", fold=0)
    with pytest.raises(ConfigError, match="a fold's own train alone"):
        folds(data, tmp_path / "other", f"DATASETS.TRAIN=('{split}',)", fold=0)


def test_a_fold_out_of_range_and_one_without_folds_are_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--fold 2: kfold-2-seed19 has folds 0 to 1"):
        folds(data, tmp_path / "out", fold=2)
    with pytest.raises(ConfigError, match="name them with --cross-validate"):
        TrainSettings(fold=1)


def test_damaged_scores_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "test_scores.json").write_text("{}")
    with pytest.raises(ResultsError, match="remove it"):
        FoldScores.read(tmp_path)


def test_a_score_that_no_fold_has_is_left_out() -> None:
    scored = FoldScores(fold=0, images=1, nuclei=2, score_threshold=0.5, scores={"PQ": 60.0, "segm/APm": math.nan})
    report = CrossValidationReport(folder=Path("out"), name=NAME, recipe="mine", fold_count=2, folds=(scored,))
    assert "| PQ | 60.0 |" in report.markdown()
    assert "APm" not in report.markdown()
    assert math.isnan(report.mean("segm/APm"))
    assert math.isnan(report.deviation("PQ"))
