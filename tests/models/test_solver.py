"""Rates and clipping against the numbers that Detectron2 printed (golden optimizer.md)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import ClipSettings, SolverSettings, clip_gradients, lr_factor, parameter_groups
from tests.models.small_networks import small_network


def solver(**overrides: Any) -> SolverSettings:
    named = {f"SOLVER.{key}": value for key, value in overrides.items()}
    return SolverSettings.from_config(DetectronConfig.default().with_overrides(named))


@pytest.mark.parametrize(
    ("overrides", "rates"),
    [
        (
            {"BASE_LR": 0.00025, "MAX_ITER": 1500, "STEPS": []},
            {0: 2.5e-07, 1: 4.9975e-07, 2: 7.495e-07, 4: 1.249e-06, 999: 0.00024975025, 1000: 0.00025, 1499: 0.00025},
        ),
        (
            {"BASE_LR": 0.02, "STEPS": [210000, 250000], "MAX_ITER": 270000},
            {0: 2e-05, 3: 7.994e-05, 999: 0.01998002, 1000: 0.02, 210000: 0.002, 250000: 0.0002},
        ),
        (
            {"BASE_LR": 0.01, "WARMUP_ITERS": 50, "STEPS": [375], "MAX_ITER": 500},
            {0: 1e-05, 1: 0.0002098, 2: 0.0004096, 19: 0.0038062, 49: 0.0098002, 374: 0.01, 375: 0.001},
        ),
        (
            {"BASE_LR": 1.0, "WARMUP_ITERS": 3, "WARMUP_METHOD": "constant", "STEPS": []},
            {0: 0.001, 1: 0.001, 2: 0.001, 3: 1.0, 4: 1.0},
        ),
        (
            {"BASE_LR": 0.00025, "MAX_ITER": 500, "STEPS": []},
            {0: 2.5e-07, 1: 7.495e-07, 2: 1.249e-06, 499: 0.0002495005},
        ),
        (
            {"BASE_LR": 1.0, "WARMUP_ITERS": 10, "STEPS": [5]},
            {0: 0.001, 1: 0.0109, 2: 0.0208, 9: 0.0901, 10: 0.1},
        ),
        ({"BASE_LR": 1.0, "WARMUP_ITERS": 0, "STEPS": [50], "MAX_ITER": 40}, {0: 1.0, 39: 1.0}),
        (
            {
                "BASE_LR": 1.0,
                "LR_SCHEDULER_NAME": "WarmupCosineLR",
                "BASE_LR_END": 0.2,
                "MAX_ITER": 100,
                "WARMUP_ITERS": 0,
            },
            {0: 1.0, 50: 0.6, 100: 0.2},
        ),
    ],
)
def test_rates_equal_detectron2s(overrides: dict[str, Any], rates: dict[int, float]) -> None:
    settings = solver(**overrides)
    found = {iteration: settings.base_lr * lr_factor(iteration, settings) for iteration in rates}
    assert found == pytest.approx(rates, rel=1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LR_SCHEDULER_NAME", "WarmupStepWithFixedGammaLR"),
        ("WARMUP_METHOD", "exponential"),
        ("CLIP_GRADIENTS.CLIP_TYPE", "full_model"),
        ("RESCALE_INTERVAL", True),
        ("REFERENCE_WORLD_SIZE", 8),
        ("STEPS", [20, 10]),
        ("BASE_LR", -1.0),
    ],
)
def test_a_solver_that_is_not_built_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        solver(**{key: value})
    assert caught.value.item == f"SOLVER.{key}"


@pytest.mark.parametrize(("freeze_at", "tensors"), [(0, 95), (1, 94), (2, 84), (5, 42)])
def test_frozen_stages_are_left_out_of_the_optimiser(freeze_at: int, tensors: int) -> None:
    network = small_network({"MODEL.BACKBONE.FREEZE_AT": freeze_at})
    (group,) = parameter_groups(network, solver())
    assert len(group.parameters) == tensors


def test_freezing_turns_batch_norm_into_frozen_norm() -> None:
    network = small_network({"MODEL.BACKBONE.FREEZE_AT": 2, "MODEL.RESNETS.NORM": "BN"})
    kinds = {
        name: type(network.get_submodule(f"backbone.bottom_up.{name}")).__name__
        for name in ("stem.conv1.norm", "res2.0.shortcut.norm", "res3.0.conv1.norm")
    }
    assert kinds == {
        "stem.conv1.norm": "FrozenBatchNorm",
        "res2.0.shortcut.norm": "FrozenBatchNorm",
        "res3.0.conv1.norm": "BatchNorm2d",
    }


def test_a_shared_parameter_is_counted_once() -> None:
    layer = nn.Linear(2, 2)
    (group,) = parameter_groups(nn.Sequential(layer, layer), solver())
    assert group.names == ("0.weight", "0.bias")


def gradients_after(settings: ClipSettings) -> list[list[float]]:
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])
    clip_gradients(parameters, settings)
    assert parameters[2].grad is None
    return [parameter.grad.tolist() for parameter in parameters if parameter.grad is not None]


def test_each_tensor_is_clipped_on_its_own() -> None:
    kind = ClipSettings(enabled=True, clip_type="norm", clip_value=1.0, norm_type=2.0)
    first, second = gradients_after(kind)
    assert first == pytest.approx([0.6, 0.8], rel=1e-5)
    assert second == pytest.approx([0.3, 0.4])
    by_value = ClipSettings(enabled=True, clip_type="value", clip_value=3.5, norm_type=2.0)
    assert gradients_after(by_value)[0] == [3.0, 3.5]
    off = ClipSettings(enabled=False, clip_type="value", clip_value=0.1, norm_type=2.0)
    assert gradients_after(off)[0] == [3.0, 4.0]
