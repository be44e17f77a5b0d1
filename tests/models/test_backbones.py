from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from nucleate.errors import CheckpointError, MissingExtraError
from nucleate.models import efficientnet_lite0
from nucleate.models.efficientnet_lite0 import EfficientNetLite0, load_imagenet_weights
from nucleate.models.mask_rcnn import SolverSettings, build_optimizer, fill_frozen_statistics
from nucleate.models.mask_rcnn.layers import FrozenBatchNorm
from tests.models.small_networks import EFFICIENTNET, small_config, small_network, training_image

# Mean of |map| at strides 4, 8, 16, 32 from the network of the package `efficientnet-lite-pytorch` 0.1.0 with the
# same weights, on `ramp()`; there the maps were equal bit for bit.
REFERENCE_MEANS = [5.550839, 5.461986, 3.768101, 1.594764]


def ramp(side_px: int = 512) -> torch.Tensor:
    """Return a (1, 3, side, side) drawing in [-1, 1] that needs no random numbers."""
    line = torch.linspace(-1, 1, side_px)
    return torch.stack(
        (line[None] * line[:, None], line[None] + 0 * line[:, None], torch.sin(9 * line[:, None] + 7 * line))
    )[None]


def test_imagenet_weights_answer_as_the_packages_own_network() -> None:
    body = small_network(EFFICIENTNET).backbone.bottom_up
    assert isinstance(body, EfficientNetLite0)
    assert load_imagenet_weights(body) == 240
    with torch.no_grad():
        maps = body(ramp())
    assert [tuple(level.shape[1:]) for level in maps] == [(24, 128, 128), (40, 64, 64), (112, 32, 32), (320, 16, 16)]
    assert [float(level.abs().mean()) for level in maps] == pytest.approx(REFERENCE_MEANS, rel=1e-5)


def test_imagenet_weights_fill_trainable_norms_with_their_counters() -> None:
    body = small_network({**EFFICIENTNET, "MODEL.RESNETS.NORM": "BN", "MODEL.BACKBONE.FREEZE_AT": 0}).backbone.bottom_up
    assert isinstance(body, EfficientNetLite0)
    assert load_imagenet_weights(body) == 288


@pytest.mark.parametrize(("norm", "freeze_at"), [("FrozenBN", 0), ("FrozenBN", 2), ("BN", 0), ("BN", 2), ("BN", 5)])
def test_the_efficientnet_trains_a_step_and_detects(norm: str, freeze_at: int) -> None:
    overrides: dict[str, Any] = {**EFFICIENTNET, "MODEL.RESNETS.NORM": norm, "MODEL.BACKBONE.FREEZE_AT": freeze_at}
    network = small_network({**overrides, "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0}).train()
    body = network.backbone.bottom_up
    assert isinstance(body, EfficientNetLite0)
    load_imagenet_weights(body)
    network = network.to(memory_format=torch.channels_last)
    frozen_before = body.get_parameter("conv_stem.weight").detach().clone()
    moving_before = body.get_parameter("blocks.6.0.conv_pw.weight").detach().clone()
    optimizer = build_optimizer(network, SolverSettings.from_config(small_config(overrides)))
    torch.manual_seed(0)
    image = training_image([[10, 10, 40, 40], [60, 60, 90, 100]])
    network.losses([image]).total().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert torch.equal(body.get_parameter("conv_stem.weight"), frozen_before) == (freeze_at >= 1)
    assert torch.equal(body.get_parameter("blocks.6.0.conv_pw.weight"), moving_before) == (freeze_at == 5)
    trainable_norms = [module for module in body.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert bool(trainable_norms) == (norm == "BN" and freeze_at < 5)
    (found,) = network.eval().detect([image.image])
    assert len(found.scores) == 100


def test_a_frozen_norm_keeps_its_activation() -> None:
    body = small_network(EFFICIENTNET).backbone.bottom_up
    assert isinstance(body, EfficientNetLite0)
    with torch.no_grad():
        stem = body.bn1(100 * torch.randn(1, 32, 4, 4))
    assert stem.min() == 0
    assert stem.max() == 6


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    body = small_network(EFFICIENTNET).backbone.bottom_up
    assert isinstance(body, EfficientNetLite0)
    monkeypatch.setattr(efficientnet_lite0, "_PACKAGE", "no_such_package_here")
    with pytest.raises(MissingExtraError, match="ImageNet"):
        load_imagenet_weights(body)
    monkeypatch.setattr(efficientnet_lite0, "_PACKAGE", "nucleate")
    with pytest.raises(CheckpointError, match="not one"):
        load_imagenet_weights(body)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match="EfficientNet"):
        small_network(EFFICIENTNET)


def test_imagenet_weights_of_another_shape_are_refused() -> None:
    body = small_network(EFFICIENTNET).backbone.bottom_up
    assert isinstance(body, EfficientNetLite0)
    body.conv_stem = torch.nn.Conv2d(3, 16, 3)
    with pytest.raises(CheckpointError, match="don't fit"):
        load_imagenet_weights(body)


@pytest.mark.parametrize(
    "overrides",
    [
        {"MODEL.RESNETS.DEPTH": 101},
        {"MODEL.RESNETS.NUM_GROUPS": 4, "MODEL.RESNETS.STRIDE_IN_1X1": False},
        {"MODEL.ROI_BOX_HEAD.NUM_CONV": 2, "MODEL.ROI_BOX_HEAD.CONV_DIM": 8, "MODEL.ROI_BOX_HEAD.NUM_FC": 1},
        {"MODEL.ROI_MASK_HEAD.NUM_CONV": 0},
        {"MODEL.RPN.SMOOTH_L1_BETA": 0.5, "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.5},
        {"MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": False},
    ],
)
def test_variants_of_the_recipe_train(overrides: dict[str, Any]) -> None:
    network = small_network(overrides).train()
    fill_frozen_statistics(network, [training_image([]).image])
    losses = network.losses([training_image([[10, 10, 40, 40], [60, 60, 90, 100]])])
    losses.total().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(losses.total())
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_depth_101_has_23_blocks_in_res4() -> None:
    names = small_network({"MODEL.RESNETS.DEPTH": 101}).state_dict()
    assert "backbone.bottom_up.res4.22.conv3.norm.running_var" in names
    assert "backbone.bottom_up.res4.23.conv3.weight" not in names


def test_filled_statistics_normalise_every_layer() -> None:
    network = small_network()
    images = [training_image([]).image, training_image([], side_px=96).image]
    norms = [module for module in network.modules() if isinstance(module, FrozenBatchNorm)]
    assert fill_frozen_statistics(network, images) == len(norms) == 53
    seen: list[tuple[float, float]] = []

    def record(_: torch.nn.Module, __: Any, answer: torch.Tensor) -> None:
        variance, mean = torch.var_mean(answer, dim=(0, 2, 3))
        seen.append((float(mean.abs().max()), float((variance - 1).abs().max())))

    for norm in norms:
        norm.register_forward_hook(record)
    with torch.no_grad():
        network.backbone(network.batch(images).tensor)
    assert max(mean for mean, _ in seen) < 1e-3
    assert max(variance for _, variance in seen) < 0.1
    assert fill_frozen_statistics(small_network({"MODEL.RESNETS.NORM": "BN"}), images) == 0


def test_initial_weights_have_detectron2s_spread() -> None:
    network = small_network({"MODEL.ROI_BOX_HEAD.FC_DIM": 256})
    std = {name: float(parameter.detach().std()) for name, parameter in network.named_parameters()}
    assert std["proposal_generator.rpn_head.conv.weight"] == pytest.approx(0.01, rel=0.1)
    assert std["roi_heads.box_predictor.cls_score.weight"] == pytest.approx(0.01, rel=0.1)
    assert std["roi_heads.box_predictor.bbox_pred.weight"] == pytest.approx(0.001, rel=0.1)
    # He: sqrt(2 / (out channels x kernel area)); Xavier as Caffe2: sqrt(1 / fan-in).
    assert std["backbone.bottom_up.res5.0.conv2.weight"] == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.1)
    assert std["roi_heads.mask_head.mask_fcn1.weight"] == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.1)
    assert std["roi_heads.box_head.fc1.weight"] == pytest.approx((1 / (16 * 49)) ** 0.5, rel=0.05)
    assert std["backbone.fpn_output2.weight"] == pytest.approx((1 / (16 * 9)) ** 0.5, rel=0.1)
    assert all(float(p.detach().abs().max()) == 0 for name, p in network.named_parameters() if name.endswith("bias"))


def test_a_norm_without_statistics_can_not_be_frozen() -> None:
    with pytest.raises(ValueError, match="running statistics"):
        FrozenBatchNorm.frozen(torch.nn.BatchNorm2d(3, track_running_stats=False))
