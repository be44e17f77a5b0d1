"""Trainings on few images: what is frozen, and what they start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nucleate.api.convert import convert
from nucleate.api.loading import model_folder
from nucleate.errors import CheckpointError, ConfigError
from nucleate.models.star_convex.exported_weights import load_exported
from nucleate.models.star_convex.network import StarConvexNetwork
from nucleate.models.star_convex.onnx_engine import EngineSettings, OnnxEngine
from nucleate.models.star_convex.rays import LOG_DISTANCE_BOUNDS
from nucleate.models.star_convex.torch_engine import TorchEngine
from nucleate.training.run_folder import read_state
from tests.synthetic import draw_he
from tests.training.star_convex.test_star_convex_session import run
from tests.training.test_session import run as run_any
from tests.training.test_session import write_coco

SHIPPED = model_folder("nucleate-he") / "model.onnx"
FROZEN = ("frozen=true", "SOLVER.BASE_LR=0.01", "SOLVER.WARMUP_ITERS=0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("data") / "drawn set", rle=True)


def test_the_model_in_the_package_is_the_same_function_again_in_torch() -> None:
    network = StarConvexNetwork().eval()
    load_exported(network, SHIPPED)
    image = draw_he(height_px=128, width_px=96, nuclei=6).image_rgb[None]
    (by_torch,) = TorchEngine(network=network).run(image)
    (by_onnx,) = OnnxEngine.load(SHIPPED, EngineSettings(precision="fp32", threads=1)).run(image)
    for name in ("depth", "inside", "quality"):
        assert np.abs(getattr(by_torch, name) - getattr(by_onnx, name)).max() < 1e-3, name
    assert np.allclose(by_torch.log_distances, by_onnx.log_distances.clip(*LOG_DISTANCE_BOUNDS), atol=5e-3)
    # Drawn nuclei are found, so that more than noise was compared.
    assert by_torch.inside.max() > 0.5


def test_a_frozen_training_changes_the_decoder_alone(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "start", iterations=1)
    start = tmp_path / "start" / "model_final.pth"
    run(data, tmp_path / "run", *FROZEN, iterations=2, weights=start)
    before, after = read_state(start).model, read_state(tmp_path / "run" / "model_final.pth").stepped
    assert after is not None
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in changed if name.startswith("encoder.") or "running_" in name or "batches" in name]
    assert {"head.weight", "decoder.0.merge.0.weight", "decoder.3.refine.1.bias"} <= changed


def test_an_export_starts_a_frozen_training_and_no_other(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "start", iterations=1)
    convert(tmp_path / "start", to="onnx", output=tmp_path / "exported")
    exported = tmp_path / "exported" / "model.onnx"
    card = run(data, tmp_path / "run", *FROZEN, iterations=1, weights=exported)
    assert card.settings["weights"] == "model.onnx"
    assert run(data, tmp_path / "run", *FROZEN, iterations=2, resume=True).settings["frozen"]
    with pytest.raises(ConfigError, match="norms folded in"):
        run(data, tmp_path / "other", iterations=1, weights=exported)
    with pytest.raises(CheckpointError, match="set decoder_channels as it was"):
        run(data, tmp_path / "wide", *FROZEN, "decoder_channels=[16, 16, 8, 16]", iterations=1, weights=exported)


def test_what_is_no_export_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"neither ONNX nor anything")
    with pytest.raises(CheckpointError, match="model.onnx") as caught:
        load_exported(StarConvexNetwork(), path)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="no readable ONNX"):
        load_exported(StarConvexNetwork(), tmp_path / "missing.onnx")


def test_an_export_that_lacks_a_part_is_named(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    for lost in ("stages.2.skip", "encoder.conv_stem"):
        model = onnx.load(str(SHIPPED))
        kept = [each for each in model.graph.initializer if not each.name.startswith(lost)]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        onnx.save_model(model, tmp_path / "model.onnx")
        with pytest.raises(CheckpointError, match="lacks a tensor") as caught:
            load_exported(StarConvexNetwork(), tmp_path / "model.onnx")
        assert lost in str(caught.value)


def test_a_mask_rcnn_learns_from_few_images_with_its_body_frozen(data: Path, tmp_path: Path) -> None:
    weights = model_folder("nucleate-mask-rcnn") / "model_final.pth"
    overrides = (
        "MODEL.BACKBONE.FREEZE_AT=5",
        "SOLVER.IMS_PER_BATCH=1",
        "augmentation.crop_px=64",
        "precision=fp32",
        "INPUT.MIN_SIZE_TEST=64",
        "DATASETS.TEST=()",
    )
    run_any(data, tmp_path / "run", overrides, iterations=1, weights=weights)
    before = torch.load(weights, weights_only=True)["model"]
    after = read_state(tmp_path / "run" / "model_final.pth").model
    changed = {name for name in after if not torch.equal(before[name].float(), after[name].float())}
    assert not [name for name in changed if name.startswith("backbone.bottom_up.")]
    assert any(name.startswith("roi_heads.") for name in changed)
