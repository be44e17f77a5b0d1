from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import inference
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.export import export_onnx
from nucleate.models.star_convex.network import StarConvexNetwork


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    network = StarConvexNetwork((8, 8, 8, 8)).eval()
    torch.nn.init.normal_(network.head.weight, std=0.2)
    folder = tmp_path / "model"
    folder.mkdir()
    RunCard(name="tiny", network="star-convex", working_diameter_px=20.0).write(folder)
    export_onnx(network, folder / "model.onnx")
    return folder


@pytest.mark.slow
def test_the_quick_run_prints_times_and_verdicts(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "results"
    assert inference.main(["--model", str(tiny_model), "--output", str(output), "--quick"]) == 0
    printed = capfd.readouterr().out
    for words in (
        "CAUTION     a smoke run",
        "star-convex fp32",
        "Mask R-CNN fp32",
        "8 times faster than Mask R-CNN fp32",
    ):
        assert words in printed
    document = json.loads((output / "inference.json").read_text(encoding="utf-8"))
    ours, theirs = document["series"][:2]
    assert ours["nuclei"] == theirs["nuclei"]
    assert "torch not imported" in ours["notes"]
    assert (output / "inference.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_of_another_kind_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert inference.main(["--model", "nucleate-mask-rcnn"]) == 2
    assert capsys.readouterr().err == (
        "inference.py: nucleate-mask-rcnn is a mask-rcnn: give a star-convex run or exported folder by --model\n"
    )


def test_an_interpreter_without_stardist_is_refused(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    assert inference.main(["--model", str(tiny_model), "--quick", "--stardist-python", str(python)]) == 2
    assert "finds no stardist and tensorflow" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--rounds", "0"], ["--threads", "1", "0"]])
def test_nothing_of_something_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert inference.main(options) == 2
    assert "at least 1" in capsys.readouterr().err
