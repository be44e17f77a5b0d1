"""`train` from Python: progress, log files, the report; the loop itself is tested in tests/training."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nucleate.api import TrainReport, TrainSettings, train
from nucleate.errors import ConfigError
from nucleate.training.events import EventLog
from tests.training.test_session import OURS, write_coco


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_training_reports_what_it_left_and_logs_in_detectron2s_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_coco(tmp_path / "data")
    report = train(data, *OURS, "SOLVER.MAX_ITER=1", output=tmp_path / "run", device="cpu")
    assert isinstance(report, TrainReport)
    assert report.iterations == 1
    assert "1 iterations, total_loss" in report.summary()
    assert "nucleate segment" in report.summary()
    assert any(score.startswith("segm/AP50") for score in report.scores)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "nucleate.training.events INFO:  eta: 0:00:00  iter: 0  total_loss:" in log
    assert "nucleate.training.events]:  eta: 0:00:00  iter: 0" in capsys.readouterr().err


def test_the_licence_of_published_start_weights_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_coco(tmp_path / "data")
    train(data, *OURS, "SOLVER.MAX_ITER=1", output=tmp_path / "first", device="cpu")
    first = tmp_path / "first" / "model_final.pth"
    monkeypatch.setattr(sys.modules["nucleate.api.training_start"], "find_weights", lambda name: first)
    named = "mask_rcnn_R_50_FPN_3x"
    settings = TrainSettings(weights=named)
    train(data, *OURS, "SOLVER.MAX_ITER=1", output=tmp_path / "run", settings=settings, device="cpu")
    assert f"{named}: licence CC BY-SA 3.0" in capsys.readouterr().err
    assert f"{named}: licence CC BY-SA 3.0" in (tmp_path / "run" / "log.txt").read_text()


def test_weights_named_by_the_configuration_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere.pth"):
        train(tmp_path, "MODEL.WEIGHTS=nowhere.pth", output=tmp_path / "run")


def test_the_device_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        train(tmp_path, output=tmp_path / "run", device="abacus")


def test_a_scheduler_that_ends_the_job_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_coco(tmp_path / "data")
    put = EventLog.put

    def put_and_end(self: EventLog, iteration: int, *rest: Any, **more: Any) -> None:
        put(self, iteration, *rest, **more)
        if iteration == 1:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(EventLog, "put", put_and_end)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train(data, *OURS, "SOLVER.MAX_ITER=4", output=tmp_path / "run", device="cpu")
    assert (tmp_path / "run" / "last_checkpoint").read_text() == "model_0000001.pth"
    assert signal.getsignal(signal.SIGTERM) is before
