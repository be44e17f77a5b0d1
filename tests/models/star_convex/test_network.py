from __future__ import annotations

import builtins
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nucleate.errors import CheckpointError, ConfigError
from nucleate.models.efficientnet_lite0 import load_imagenet_weights
from nucleate.models.star_convex.deployed import DeployedNetwork
from nucleate.models.star_convex.export import export_onnx
from nucleate.models.star_convex.losses import StarConvexTargets, star_convex_losses
from nucleate.models.star_convex.network import StarConvexMaps, StarConvexNetwork
from nucleate.models.star_convex.onnx_engine import EngineSettings, OnnxEngine
from nucleate.models.star_convex.rays import LOG_DISTANCE_BOUNDS, RAYS
from nucleate.models.star_convex.torch_engine import TorchEngine


@pytest.fixture(scope="module")
def network() -> StarConvexNetwork:
    torch.manual_seed(4)
    made = StarConvexNetwork((16, 16, 8, 8)).eval()
    load_imagenet_weights(made.encoder)
    torch.nn.init.normal_(made.head.weight, std=0.2)
    # Statistics and factors of a trained network differ from what they start as.
    for norm in made.decoder.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, std=0.3)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 2)
    return made


@pytest.fixture(scope="module")
def exported(network: StarConvexNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(network, path)
    return path


def test_a_cell_covers_two_by_two_pixels(network: StarConvexNetwork) -> None:
    maps = network(torch.zeros(2, 3, 64, 96))
    assert maps.depth.shape == maps.inside.shape == maps.quality.shape == (2, 32, 48)
    assert maps.log_distances.shape == (2, RAYS, 32, 48)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 160)])
def test_the_export_answers_as_torch_does(network: StarConvexNetwork, exported: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    ours = TorchEngine(network=network).run(images)
    theirs = OnnxEngine.load(exported, EngineSettings(precision="fp32", threads=1)).run(images)
    assert len(ours) == len(theirs) == shape[0]
    for one, other in zip(ours, theirs, strict=True):
        # Weights are stored with 11 bits.
        assert np.allclose(one.depth, other.depth, atol=0.01)
        assert np.allclose(one.quality, other.quality, atol=0.01)
        assert np.allclose(one.log_distances, other.log_distances.clip(*LOG_DISTANCE_BOUNDS), atol=0.02)


def test_weights_beyond_half_precision_are_exported_as_they_are(network: StarConvexNetwork, tmp_path: Path) -> None:
    large = copy.deepcopy(network)
    last_norm = [each for each in large.decoder.modules() if isinstance(each, torch.nn.BatchNorm2d)][-1]
    with torch.no_grad():
        # One channel is very small, and its weights for the distances are beyond float16.
        last_norm.weight[0] *= 1e-6
        last_norm.bias[0] *= 1e-6
        large.head.weight[3:, 0] = 1e5
    export_onnx(large, tmp_path / "model.onnx")
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    ours = TorchEngine(network=large).run(images)[0].log_distances
    theirs = OnnxEngine.load(tmp_path / "model.onnx", EngineSettings(precision="fp32", threads=1)).run(images)[0]
    # The small channel's own weights have few digits left in float16.
    assert np.abs(ours - theirs.log_distances.clip(*LOG_DISTANCE_BOUNDS)).mean() < 0.02


@torch.inference_mode()
def test_the_deployed_network_answers_as_the_trained_one(network: StarConvexNetwork) -> None:
    images = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (2, 96, 64, 3)).astype(np.uint8))
    maps = network(images.permute(0, 3, 1, 2).float())
    shares, log_distances = DeployedNetwork(network)(images)
    expected = torch.stack([maps.depth, maps.inside, maps.quality], dim=1).sigmoid()
    assert expected.std() > 0.05
    torch.testing.assert_close(shares, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(log_distances.clamp(*LOG_DISTANCE_BOUNDS), maps.log_distances, atol=1e-4, rtol=1e-4)


def test_an_export_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    kind = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info(name, kind, [1, 3, 4, 4]) for name in ("images_rgb", "maps")]
    node = onnx.helper.make_node("Identity", ["images_rgb"], ["maps"])
    graph = onnx.helper.make_graph([node], "earlier", ends[:1], ends[1:])
    path = tmp_path / "model.onnx"
    onnx.save_model(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), path)
    with pytest.raises(CheckpointError, match="nucleate convert"):
        OnnxEngine.load(path)


def test_onnxruntime_answers_where_openvino_is_missing(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(2).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    expected = OnnxEngine.load(exported, EngineSettings(precision="fp32")).run(images)[0]
    real = builtins.__import__

    def without_openvino(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openvino":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_openvino)
    engine = OnnxEngine.load(exported)
    assert (engine.library, engine.precision) == ("onnxruntime", "fp32")
    assert np.allclose(engine.run(images)[0].log_distances, expected.log_distances, atol=1e-3)
    with pytest.raises(ConfigError, match="OpenVINO"):
        OnnxEngine.load(exported, EngineSettings(precision="bf16"))


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        OnnxEngine.load(path)
    path.write_bytes(b"not a network")
    with pytest.raises(CheckpointError, match="OpenVINO"):
        OnnxEngine.load(path)


def test_engine_settings_are_checked() -> None:
    with pytest.raises(ConfigError):
        EngineSettings(threads=-1)


def test_the_fingerprint_follows_the_weights(network: StarConvexNetwork) -> None:
    first = TorchEngine(network=network).fingerprint
    other = StarConvexNetwork((16, 16, 8, 8))
    assert first == TorchEngine(network=network).fingerprint != TorchEngine(network=other).fingerprint


def targets_of_disc(radius_px: float = 6.0) -> StarConvexTargets:
    depth = torch.zeros(1, 16, 16)
    depth[0, 7:9, 7:9] = 1.0
    cells = torch.nonzero(depth.flatten()).flatten()
    return StarConvexTargets(
        depth=depth,
        known=torch.ones(1, 16, 16, dtype=torch.bool),
        cells=cells,
        distances_px=torch.full((len(cells), RAYS), radius_px),
        visible=torch.ones(len(cells), RAYS, dtype=torch.bool),
    )


def maps_of(targets: StarConvexTargets, radius_px: float) -> StarConvexMaps:
    sure = torch.where(targets.depth > 0, 20.0, -20.0)
    return StarConvexMaps(
        depth=sure.clone().requires_grad_(),
        inside=sure.clone(),
        quality=torch.full_like(sure, 20.0),
        log_distances=torch.full((1, RAYS, 16, 16), radius_px).log().requires_grad_(),
    )


def test_a_perfect_answer_costs_nothing() -> None:
    targets = targets_of_disc()
    losses = star_convex_losses(maps_of(targets, 6.0), targets)
    assert float(losses.total().detach()) == pytest.approx(0, abs=0.01)
    assert dict(losses.logged())["star_convex/polar_iou"] == pytest.approx(1)


def test_half_the_radius_costs_its_logarithm_and_is_a_quarter_of_the_area() -> None:
    targets = targets_of_disc()
    losses = star_convex_losses(maps_of(targets, 3.0), targets)
    assert float(losses.distances.detach()) == pytest.approx(np.log(2), rel=1e-4)
    assert dict(losses.logged())["star_convex/polar_iou"] == pytest.approx(0.25, rel=1e-4)


def test_what_leaves_the_picture_teaches_nothing() -> None:
    targets = targets_of_disc()
    targets.visible[:, : RAYS // 2] = False
    maps = maps_of(targets, 6.0)
    with torch.no_grad():
        maps.log_distances[:, : RAYS // 2] = 5.0
    assert float(star_convex_losses(maps, targets).distances.detach()) == pytest.approx(0, abs=1e-5)


def test_quality_is_taught_to_doubt_what_is_taken_for_a_nucleus() -> None:
    """Taught is the cell that is taken for one, not where the depth says none, nor where nothing is known."""
    targets = targets_of_disc()
    targets.known[0, :, 0] = False
    maps = maps_of(targets, 6.0)
    quality = maps.quality.clone().requires_grad_()
    with torch.no_grad():
        maps.depth[0, 3, 3] = maps.depth[0, 3, 0] = 20.0
    losses = star_convex_losses(replace(maps, quality=quality), targets)
    losses.quality.backward()  # type: ignore[no-untyped-call]
    assert quality.grad is not None
    assert quality.grad[0, 3, 3] > 100 * quality.grad[targets.depth == 0].sum().sub(quality.grad[0, 3, 3]).abs()
    # A quarter of the weight for quality, 20 of cross entropy, one cell among five, four of which weigh 1.1.
    assert float(losses.quality.detach()) == pytest.approx(0.25 * 20 / (1 + 4 * 1.1), rel=1e-3)


def test_crops_without_any_nucleus_cost_little() -> None:
    targets = targets_of_disc()
    nothing = replace(
        targets,
        depth=torch.zeros(1, 16, 16),
        cells=targets.cells[:0],
        distances_px=targets.distances_px[:0],
        visible=targets.visible[:0],
    )
    assert float(star_convex_losses(maps_of(nothing, 6.0), nothing).quality.detach()) < 6


def test_a_batch_without_nuclei_has_finite_losses_and_gradients() -> None:
    full = targets_of_disc()
    empty = StarConvexTargets(
        depth=torch.zeros(1, 16, 16),
        known=torch.zeros(1, 16, 16, dtype=torch.bool),
        cells=torch.zeros(0, dtype=torch.int64),
        distances_px=torch.zeros(0, RAYS),
        visible=torch.zeros(0, RAYS, dtype=torch.bool),
    )
    maps = maps_of(full, 6.0)
    total = star_convex_losses(maps, empty.to(torch.device("cpu"))).total()
    total.backward()  # type: ignore[no-untyped-call]
    assert bool(torch.isfinite(total.detach()))
    assert maps.depth.grad is not None
    assert bool(torch.isfinite(maps.depth.grad).all())
