from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nucleate.training.events import EventLog, append_evaluation, read_metrics


def run(folder: Path, iterations: range, *, last: int) -> None:
    with EventLog(folder, first_iteration=iterations.start, last_iteration=last) as events:
        for iteration in iterations:
            scalars = {"data_time": 0.01, "total_loss": float(iteration), "loss_cls": 0.5, "lr": 0.001 * iteration}
            events.put(iteration, scalars, seconds=0.25)


def test_lines_come_every_20_iterations_and_at_the_end(tmp_path: Path) -> None:
    run(tmp_path, range(50), last=50)
    assert [line["iteration"] for line in read_metrics(tmp_path)] == [19, 39, 49]


def test_a_line_holds_medians_of_20_iterations_and_the_rate_of_the_moment(tmp_path: Path) -> None:
    run(tmp_path, range(40), last=40)
    line = read_metrics(tmp_path)[-1]
    assert line["total_loss"] == 29.5
    assert line["lr"] == pytest.approx(0.039)


def test_keys_are_sorted_and_nan_is_bare(tmp_path: Path) -> None:
    append_evaluation(tmp_path, {"segm/AP": 1.5, "bbox/APl": math.nan}, 500)
    text = (tmp_path / "metrics.json").read_text()
    assert text == '{"bbox/APl": NaN, "iteration": 500, "segm/AP": 1.5}\n'


def test_a_resumed_log_cuts_what_will_be_run_again(tmp_path: Path) -> None:
    run(tmp_path, range(60), last=60)
    run(tmp_path, range(40, 80), last=80)
    assert [line["iteration"] for line in read_metrics(tmp_path)] == [19, 39, 59, 79]


def test_a_resumed_log_keeps_the_evaluation_at_its_start_and_drops_a_torn_line(tmp_path: Path) -> None:
    run(tmp_path, range(20), last=20)
    append_evaluation(tmp_path, {"segm/AP": 1.0}, 20)
    with (tmp_path / "metrics.json").open("a") as file:
        file.write('{"total_lo')
    run(tmp_path, range(20, 40), last=40)
    assert [line["iteration"] for line in read_metrics(tmp_path)] == [19, 20, 39]


def test_tensorboards_reader_finds_the_scalars(tmp_path: Path) -> None:
    run(tmp_path, range(40), last=40)
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert [event.step for event in board.Scalars("total_loss")] == [19, 39]


def test_the_console_line_has_detectron2s_form(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="nucleate"):
        run(tmp_path, range(20), last=60)
    pattern = (
        r" eta: \d+:\d\d:\d\d  iter: 19  total_loss: 9\.5  loss_cls: 0\.5    time: 0\.2500  last_time: 0\.2500  "
        r"data_time: 0\.0100  last_data_time: 0\.0100   lr: 0\.019  "
    )
    assert re.fullmatch(pattern, caplog.messages[-1])


def test_every_line_is_json(tmp_path: Path) -> None:
    run(tmp_path, range(45), last=45)
    for line in (tmp_path / "metrics.json").read_text().splitlines():
        json.loads(line)


def test_a_resumed_log_takes_the_medians_up_where_they_were(tmp_path: Path) -> None:
    run(tmp_path / "whole", range(25), last=25)
    with EventLog(tmp_path / "parts", first_iteration=0, last_iteration=40) as events:
        for iteration in range(10):
            events.put(iteration, {"total_loss": float(iteration)}, seconds=0.25)
        windows = events.windows()
    with EventLog(tmp_path / "parts", first_iteration=10, last_iteration=40, windows=windows) as events:
        assert events.latest()["total_loss"] == 9.0
        for iteration in range(10, 20):
            events.put(iteration, {"total_loss": float(iteration)}, seconds=0.25)
    assert (
        read_metrics(tmp_path / "parts")[-1]["total_loss"] == read_metrics(tmp_path / "whole")[0]["total_loss"] == 9.5
    )


def test_tensorboard_keeps_the_evaluation_at_the_start_of_a_resumed_log(tmp_path: Path) -> None:
    """The purge of what is run again took it along."""
    with EventLog(tmp_path, first_iteration=0, last_iteration=60) as events:
        for iteration in range(30):
            events.put(iteration, {"total_loss": 1.0}, seconds=0.25)
            if iteration + 1 in (20, 25):
                events.put_evaluation(iteration + 1, {"segm/AP": 1.0})
    with EventLog(tmp_path, first_iteration=20, last_iteration=60) as events:
        assert not events.lacks_evaluation(20)
        assert events.lacks_evaluation(25)
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert [event.step for event in board.Scalars("segm/AP")] == [20]
    assert [event.step for event in board.Scalars("total_loss")] == [19]


def test_an_evaluation_that_is_made_again_is_cut(tmp_path: Path) -> None:
    for score in (1.0, 2.0):
        append_evaluation(tmp_path, {"segm/AP": score}, 20)
    for kept, scores in ((None, [1.0, 2.0]), (1, [1.0]), (0, [])):
        with EventLog(tmp_path, first_iteration=20, last_iteration=60, evaluations_kept=kept):
            assert [line["segm/AP"] for line in read_metrics(tmp_path)] == scores


def test_a_last_line_that_was_cut_short_is_not_read(tmp_path: Path) -> None:
    append_evaluation(tmp_path, {"segm/AP": 1.0}, 20)
    with (tmp_path / "metrics.json").open("a") as file:
        file.write('{"total_lo')
    assert [line["iteration"] for line in read_metrics(tmp_path)] == [20]
