"""Whole trainings of a tiny network: what stops them, what they keep, what repeats."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from nucleate.api.loading import load_model
from nucleate.errors import ConfigError, TrainingError
from nucleate.models.run_card import RunCard
from nucleate.training.events import read_metrics
from nucleate.training.interruption import Interruption
from nucleate.training.run_folder import read_state
from tests.training.star_convex.test_star_convex_session import SMALL
from tests.training.test_session import OURS, run, write_coco

STARS = (*SMALL, "start=none")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("data") / "drawn set", rle=True)


def model(folder: Path) -> dict[str, torch.Tensor]:
    return read_state(folder / "model_final.pth").model


def assert_equal(first: Path, second: Path) -> None:
    one, other = model(first), model(second)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_divergence_names_and_keeps_the_batch_and_leaves_the_checkpoint(data: Path, tmp_path: Path) -> None:
    wild = (*OURS, "SOLVER.BASE_LR=1e30", "SOLVER.WARMUP_ITERS=0", "SOLVER.CLIP_GRADIENTS.ENABLED=False")
    with pytest.raises(TrainingError, match=r"diverged at iteration .* on drawing_\d\.png, drawing_\d\.png; .*lower"):
        run(data, tmp_path / "run", (*wild, "SOLVER.CHECKPOINT_PERIOD=1"), iterations=6)
    kept = torch.load(tmp_path / "run" / "diverged_batch.pt", weights_only=True)
    last = (tmp_path / "run" / "last_checkpoint").read_text()
    assert read_state(tmp_path / "run" / last).iteration == kept["iteration"] - 1
    assert len(kept["parts"][0]["file_names"]) == 2
    assert kept["parts"][0]["images"][0].shape == (3, 64, 64)


def test_a_diverged_star_convex_batch_is_kept_too(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.training.star_convex.task.star_convex_losses", _not_finite)
    with pytest.raises(TrainingError, match=r"diverged at iteration 0 .*not finite.*optimisation\.clip_norm"):
        run(data, tmp_path / "run", STARS, recipe="star-convex", iterations=1)
    (part,) = torch.load(tmp_path / "run" / "diverged_batch.pt", weights_only=True)["parts"]
    assert part["images"].shape == (2, 3, 64, 64)
    assert part["file_names"][0].startswith("drawing_")


def _not_finite(*_: object) -> None:
    raise FloatingPointError("not finite")


@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_in_the_middle_of_a_step_saves_a_whole_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of half a step was no state that an uninterrupted training passes through."""
    run(data, tmp_path / "whole", iterations=3)
    step = torch.optim.SGD.step
    steps: list[int] = []

    def interrupted(self: torch.optim.SGD, *rest: Any) -> Any:
        steps.append(1)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.SGD, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "parts", iterations=3)
    assert (tmp_path / "parts" / "last_checkpoint").read_text() == "model_0000001.pth"
    run(data, tmp_path / "parts", iterations=3, resume=True)
    assert_equal(tmp_path / "whole", tmp_path / "parts")


def test_training_stops_early_and_goes_on_with_more_patience(data: Path, tmp_path: Path) -> None:
    """The tiny network finds nothing: its first evaluation stays the best."""
    watched = (*OURS, "TEST.EVAL_PERIOD=1")
    folder = tmp_path / "run"
    assert run(data, folder, (*watched, "patience=1"), iterations=9).iterations == 2
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"
    card = RunCard.read(folder)
    assert card.iterations == 2
    assert card.best["iterations"] == 1
    assert torch.load(folder / "model_best.pth", weights_only=True)["iteration"] == 0
    loaded = load_model(folder / "model_best.pth", "cpu")
    assert loaded.card.name == "run (best)"
    assert loaded.card.iterations == 1
    with pytest.raises(TrainingError, match=r"stopped after 2 iterations, PQ was best after 1: raise patience"):
        run(data, folder, (*watched, "patience=1"), iterations=9, resume=True)
    assert run(data, folder, (*watched, "patience=2"), iterations=9, resume=True).iterations == 3
    assert [line["iteration"] for line in read_metrics(folder) if "segm/AP" in line] == [1, 2, 2, 3, 3]


def test_a_choice_on_the_test_split_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="models are scored"):
        run(data, tmp_path / "run", (*OURS, "DATASETS.TEST=('test',)", "TEST.EVAL_PERIOD=1", "best=PQ"))


def test_a_training_without_a_checkpoint_starts_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill before the first checkpoint left a folder that could neither be resumed nor begun."""
    run(data, tmp_path / "whole", iterations=2)
    with monkeypatch.context() as patched:
        patched.setattr(Interruption, "held", _not_finite)
        with pytest.raises(FloatingPointError):
            run(data, tmp_path / "parts", iterations=2)
    assert not (tmp_path / "parts" / "last_checkpoint").exists()
    run(data, tmp_path / "parts", iterations=2, resume=True)
    assert_equal(tmp_path / "whole", tmp_path / "parts")


def test_a_start_that_is_not_known_any_more_is_asked_for(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", STARS, recipe="star-convex", iterations=1)
    (tmp_path / "run" / "last_checkpoint").unlink()
    card = tmp_path / "run" / "nucleate.yaml"
    card.write_text(card.read_text().replace("weights: random", "weights: other.pth"))
    with pytest.raises(TrainingError, match=r"began from other\.pth .* give its --weights"):
        run(data, tmp_path / "run", STARS, recipe="star-convex", iterations=1, resume=True)


def test_two_threads_give_the_same_weights_twice(data: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        run(data, tmp_path / name, (*OURS, "threads=2"), iterations=2)
        run(data, tmp_path / f"{name} stars", (*STARS, "threads=2"), recipe="star-convex", iterations=2)
    assert_equal(tmp_path / "first", tmp_path / "second")
    assert_equal(tmp_path / "first stars", tmp_path / "second stars")


def test_a_seed_that_was_drawn_is_kept(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", (*STARS, "SEED=-1"), recipe="star-convex", iterations=1)
    seed = RunCard.read(tmp_path / "run").settings["seed"]
    assert seed >= 0
    run(data, tmp_path / "run", (*STARS, "SEED=-1"), recipe="star-convex", iterations=2, resume=True)
    assert RunCard.read(tmp_path / "run").settings["seed"] == seed


def test_fp16_trains_and_resumes_with_its_loss_scale(data: Path, tmp_path: Path) -> None:
    half = (*OURS, "precision=fp16", "average_decay=0.9", "balance.organ=0.0", "accumulate=2")
    result = run(data, tmp_path / "run", half, iterations=2)
    assert result.card.settings["precision_used"] == "fp16"
    state = read_state(tmp_path / "run" / "model_final.pth")
    assert state.scaler is not None
    assert state.averaged_steps == 2
    assert state.stepped is not None
    run(data, tmp_path / "run", half, iterations=3, resume=True)


def test_what_a_timing_decided_is_not_decided_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = (*[each for each in OURS if "precision" not in each], "precision=auto")
    monkeypatch.setattr("nucleate.training.precision._convolution_seconds", lambda *_: 1.0)
    run(data, tmp_path / "run", timed, iterations=1)
    monkeypatch.setattr("nucleate.training.precision._convolution_seconds", _not_finite)
    run(data, tmp_path / "run", timed, iterations=2, resume=True)
    assert RunCard.read(tmp_path / "run").settings["precision_used"] == "fp32"
