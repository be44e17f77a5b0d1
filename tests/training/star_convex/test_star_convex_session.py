"""Whole trainings of a small star-convex network on drawn images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from nucleate.api.convert import convert
from nucleate.api.evaluate import evaluate
from nucleate.api.loading import load_model
from nucleate.api.scaling import ScaleRequest, known_scale
from nucleate.api.scoring import EvaluateSettings
from nucleate.errors import CheckpointError, ConfigError, TrainingError
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.torch_engine import TorchEngine
from nucleate.training.events import read_metrics
from nucleate.training.run_folder import read_state
from nucleate.training.star_convex.optimiser import Schedule
from nucleate.training.star_convex.settings import Optimisation
from tests.training.test_session import run as run_any
from tests.training.test_session import write_coco

SMALL = (
    "SOLVER.IMS_PER_BATCH=2",
    "SOLVER.WARMUP_ITERS=2",
    "SOLVER.BASE_LR=0.002",
    "SEED=5",
    "precision=fp32",
    "decoder_channels=[16, 16, 8, 8]",
    "geometry.crop_px=64",
    "geometry.diameter_px=16",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("data") / "drawn set", rle=True)


def run(data: Path, output: Path, *overrides: str, iterations: int = 4, **more: object) -> RunCard:
    settings = (*SMALL, *overrides)
    return run_any(data, output, settings, recipe="star-convex", iterations=iterations, **more).card  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "stars & co"
    run(data, output, "SOLVER.CHECKPOINT_PERIOD=2", "TEST.EVAL_PERIOD=2")
    return output


def test_a_run_leaves_a_run_folder_without_detectron2s_config(finished: Path) -> None:
    names = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    assert {"model_0000001.pth", "model_final.pth", "metrics.json", "nucleate.yaml", "pictures/augmented.png"} <= names
    assert "config.yaml" not in names
    card = RunCard.read(finished)
    assert card.network == "star-convex"
    assert card.working_diameter_px == 16
    assert card.working_mpp == 5.0 / 16
    assert list(card.source_diameters_px) == [""]
    lines = read_metrics(finished)
    assert any("segm/AP" in line for line in lines)
    assert {"loss_depth", "loss_distances", "loss_inside", "loss_quality"} <= set(lines[-2])


def test_the_finished_run_says_how_much_nuclei_may_overlap_and_its_segmenter_reads_it(finished: Path) -> None:
    card = RunCard.read(finished)
    assert card.most_overlap in (0.15, 0.25, 0.35, 0.5)
    segmenter = load_model(finished, "cpu").segmenter
    assert segmenter.decoding.most_overlap == card.most_overlap  # type: ignore[attr-defined]


def test_a_card_with_an_impossible_overlap_is_refused(finished: Path, tmp_path: Path) -> None:
    card = tmp_path / "nucleate.yaml"
    text = (finished / "nucleate.yaml").read_text(encoding="utf-8")
    card.write_text(re.sub("most_overlap: .*", "most_overlap: 3.0", text), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"most_overlap 3\.0"):
        RunCard.read(tmp_path)


def test_the_accurate_answer_has_a_fingerprint_of_its_own(finished: Path) -> None:
    plain, accurate = load_model(finished, "cpu"), load_model(finished, "cpu", accurate=True)
    assert accurate.segmenter.fingerprint != plain.segmenter.fingerprint


def test_resuming_gives_the_weights_of_an_uninterrupted_run(data: Path, finished: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", "optimisation.fall_share=0.0", iterations=4)
    whole = read_state(tmp_path / "run" / "model_final.pth")
    run(data, tmp_path / "parts", "optimisation.fall_share=0.0", iterations=2)
    run(data, tmp_path / "parts", "optimisation.fall_share=0.0", iterations=4, resume=True)
    parts = read_state(tmp_path / "parts" / "model_final.pth")
    assert whole.stepped is not None
    assert parts.stepped is not None
    for name, tensor in whole.stepped.items():
        assert torch.allclose(tensor.float(), parts.stepped[name].float(), atol=1e-6), name


def test_a_checkpoint_of_half_precision_without_optimiser_resumes(data: Path, finished: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    report = convert(finished, to="nucleate", output=small)
    assert report.size_bytes < (finished / "model_final.pth").stat().st_size / 5
    assert "after 4 iterations" in report.summary()
    card = run(data, small, iterations=6, resume=True)
    assert card.settings["weights"].startswith("EfficientNet-Lite0, ImageNet")
    assert read_state(small / "model_final.pth").iteration == 5


def test_a_finished_run_is_not_resumed(data: Path, finished: Path) -> None:
    with pytest.raises(TrainingError, match=r"raise SOLVER\.MAX_ITER"):
        run(data, finished, iterations=4, resume=True)


def test_keys_of_other_networks_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MODEL\.RPN\.NMS_THRESH.*means nothing"):
        run(data, tmp_path / "run", "MODEL.RPN.NMS_THRESH=0.5")


def test_weights_start_a_fine_tuning(data: Path, finished: Path, tmp_path: Path) -> None:
    card = run(data, tmp_path / "tuned", iterations=1, weights=finished / "model_final.pth")
    assert card.settings["weights"] == "model_final.pth"
    card = run(data, tmp_path / "fresh", "start=none", iterations=1)
    assert card.settings["weights"] == "random"


def test_a_run_segments_and_is_evaluated_by_torch_and_by_its_export(data: Path, finished: Path, tmp_path: Path) -> None:
    by_torch = load_model(finished, "cpu")
    assert isinstance(by_torch.segmenter.engine, TorchEngine)  # type: ignore[attr-defined]
    first = evaluate(finished, data, settings=EvaluateSettings(score=0.3))
    report = convert(finished, to="onnx", output=tmp_path / "exported")
    assert report.size_bytes < 15e6
    exported = load_model(tmp_path / "exported")
    assert exported.segmenter.engine.library == "openvino"  # type: ignore[attr-defined]
    second = evaluate(tmp_path / "exported", data, settings=EvaluateSettings(score=0.3, diameter=None))
    assert first.overall.scores.pq == pytest.approx(second.overall.scores.pq, abs=2)


def test_the_working_scale_follows_the_stated_diameter(finished: Path) -> None:
    model = load_model(finished, "cpu")
    assert model.card.tile_px == 1024
    known = model.card.source_diameters_px[""]
    scale = known_scale(model.card, ScaleRequest(), source="")
    assert scale is not None
    assert scale.magnification == pytest.approx(16 / known)
    assert scale.known_by == "source"
    scale = known_scale(model.card, ScaleRequest(diameter_px=32.0))
    assert scale is not None
    assert scale.magnification == 0.5
    assert known_scale(model.card, ScaleRequest(), source="elsewhere") is None


def test_the_rate_rises_stays_and_falls() -> None:
    schedule = Schedule(iterations=100, warmup_iterations=10, optimisation=Optimisation(fall_share=0.4))
    rates = [schedule.factor(iteration) for iteration in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert np.allclose(rates[9:60], 1)
    assert rates[80] == pytest.approx(0.5, abs=0.02)
    assert rates[-1] == pytest.approx(0.01, abs=0.01)
    restarted = Schedule(iterations=100, warmup_iterations=40, optimisation=Optimisation(), restarted_at=20)
    assert restarted.factor(20) == pytest.approx(0.1)
