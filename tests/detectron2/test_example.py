"""`examples/detectron2_recipe.py`, on drawn data and, slowly, on real data."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nucleate.api import PrepareSettings, prepare
from tests.detectron2.tiny import prepared

EXAMPLE = Path(__file__).parents[2] / "examples" / "detectron2_recipe.py"
ON_THE_CPU = ("MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", "SOLVER.MAX_ITER", "3", "SEED", "3")
TINY = (
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "16"),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", "4", "MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "16"),
    *("MODEL.ROI_MASK_HEAD.CONV_DIM", "8", "INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64"),
)


def recipe() -> Callable[[list[str]], dict[str, Any]]:
    main: Callable[[list[str]], dict[str, Any]] = runpy.run_path(str(EXAMPLE))["main"]
    return main


def check(output: Path) -> None:
    names = {path.name for path in output.iterdir()}
    assert {"config.yaml", "last_checkpoint", "metrics.json", "model_final.pth", "log.txt"} <= names
    assert any(name.startswith("events.out.tfevents.") for name in names)
    assert any(name.startswith("predicted_") for name in names)
    assert json.loads((output / "metrics.json").read_text().splitlines()[-1])["iteration"] == 2


def test_the_example_runs_on_drawn_data(tmp_path: Path) -> None:
    data, output = prepared(tmp_path), tmp_path / "output"
    recipe()([str(data), "--output", str(output), "--weights", "", *ON_THE_CPU, *TINY])
    check(output)


@pytest.mark.slow
@pytest.mark.shared_data
def test_the_example_runs_on_nuinsseg(shared_data: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    images = sorted((shared_data / "nuinsseg" / "human bladder" / "tissue images").iterdir())[:5]
    names.write_text("".join(f"human bladder/tissue images/{path.name}\n" for path in images))
    settings = PrepareSettings(split=0.6, masks="polygon", only=str(names))
    prepare([shared_data / "nuinsseg"], output=tmp_path / "data", settings=settings)
    output = tmp_path / "output"
    sizes = ("INPUT.MIN_SIZE_TRAIN", "(256,)", "INPUT.MIN_SIZE_TEST", "256")
    recipe()([str(tmp_path / "data"), "--output", str(output), "--weights", "", *ON_THE_CPU, *sizes])
    check(output)
