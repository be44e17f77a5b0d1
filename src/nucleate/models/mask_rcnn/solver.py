"""Detectron2's optimiser: who gets which rate and decay, clipping of each tensor, the rate at each iteration."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar, assert_never

import torch
from torch import nn

from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn.config_values import flag, integer, number, numbers, text

Schedule = Literal["WarmupMultiStepLR", "WarmupCosineLR"]
WarmupMethod = Literal["linear", "constant"]
ClipType = Literal["norm", "value"]

_Choice = TypeVar("_Choice", bound=str)

_SCHEDULES: dict[str, Schedule] = {"WarmupMultiStepLR": "WarmupMultiStepLR", "WarmupCosineLR": "WarmupCosineLR"}
_WARMUPS: dict[str, WarmupMethod] = {"linear": "linear", "constant": "constant"}
_CLIPS: dict[str, ClipType] = {"norm": "norm", "value": "value"}
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSettings:
    """SOLVER.CLIP_GRADIENTS: every parameter tensor is clipped on its own, before the decay is added.

    Args:
        enabled: clip at all.
        clip_type: "norm" scales a tensor's gradient down, "value" clamps each element.
        clip_value: largest norm or element.
        norm_type: order of the norm.
    """

    enabled: bool
    clip_type: ClipType
    clip_value: float
    norm_type: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverSettings:
    """SOLVER.*: stochastic gradient descent and its schedule.

    Args:
        base_lr: rate after the warm-up.
        bias_lr_factor: rate of biases relative to it.
        momentum: of SGD.
        nesterov: Nesterov's momentum.
        weight_decay: of weights, and of biases unless `weight_decay_bias` says otherwise.
        weight_decay_norm: of the terms of norm layers.
        weight_decay_bias: of all biases, those of norms included; None leaves them to the two above.
        clipping: of gradients.
        schedule: falling steps or a cosine.
        max_iterations: length of the training.
        steps: iterations at which the rate is multiplied by `gamma`.
        gamma: see `steps`.
        base_lr_end: rate at the end of a cosine.
        warmup_iterations: length of the warm-up, cut at `max_iterations`.
        warmup_factor: relative rate of iteration 0.
        warmup_method: linear rise or constant.
    """

    base_lr: float
    bias_lr_factor: float
    momentum: float
    nesterov: bool
    weight_decay: float
    weight_decay_norm: float
    weight_decay_bias: float | None
    clipping: ClipSettings
    schedule: Schedule
    max_iterations: int
    steps: tuple[int, ...]
    gamma: float
    base_lr_end: float
    warmup_iterations: int
    warmup_factor: float
    warmup_method: WarmupMethod

    @classmethod
    def from_config(cls, config: DetectronConfig) -> SolverSettings:
        """Read SOLVER.* off a configuration.

        Raises:
            ConfigError: a value is out of range, or asks for a scheduler that is not built.
        """
        for key, built in (("SOLVER.RESCALE_INTERVAL", False), ("SOLVER.REFERENCE_WORLD_SIZE", 0)):
            if config.get(key) != built:
                raise ConfigError(f"{config.get(key)!r} is not built; built: {built!r}", item=key)
        decay_bias = config.get("SOLVER.WEIGHT_DECAY_BIAS")
        steps = tuple(int(step) for step in numbers(config, "SOLVER.STEPS"))
        max_iterations = integer(config, "SOLVER.MAX_ITER", minimum=1)
        if list(steps) != sorted(steps):
            raise ConfigError(f"must rise, not {list(steps)}", item="SOLVER.STEPS")
        return cls(
            base_lr=number(config, "SOLVER.BASE_LR"),
            bias_lr_factor=number(config, "SOLVER.BIAS_LR_FACTOR"),
            momentum=number(config, "SOLVER.MOMENTUM"),
            nesterov=flag(config, "SOLVER.NESTEROV"),
            weight_decay=number(config, "SOLVER.WEIGHT_DECAY"),
            weight_decay_norm=number(config, "SOLVER.WEIGHT_DECAY_NORM"),
            weight_decay_bias=None if decay_bias is None else number(config, "SOLVER.WEIGHT_DECAY_BIAS"),
            clipping=ClipSettings(
                enabled=flag(config, "SOLVER.CLIP_GRADIENTS.ENABLED"),
                clip_type=_one_of(config, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", _CLIPS),
                clip_value=number(config, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE"),
                norm_type=number(config, "SOLVER.CLIP_GRADIENTS.NORM_TYPE"),
            ),
            schedule=_one_of(config, "SOLVER.LR_SCHEDULER_NAME", _SCHEDULES),
            max_iterations=max_iterations,
            steps=steps,
            gamma=number(config, "SOLVER.GAMMA"),
            base_lr_end=number(config, "SOLVER.BASE_LR_END"),
            warmup_iterations=integer(config, "SOLVER.WARMUP_ITERS", minimum=0),
            warmup_factor=number(config, "SOLVER.WARMUP_FACTOR"),
            warmup_method=_one_of(config, "SOLVER.WARMUP_METHOD", _WARMUPS),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroup:
    """Parameters with one rate and one decay, in the order that an optimiser's stored state is keyed by."""

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    lr: float
    weight_decay: float


def parameter_groups(network: nn.Module, settings: SolverSettings) -> list[ParameterGroup]:
    """Return the trainable parameters by rate and decay, groups in the order of first appearance.

    Args:
        network: frozen parameters and repeated ones are left out.
        settings: rates and decays.
    """
    members: dict[tuple[float, float], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter, owner in _owned_parameters(network):
        is_bias = name.rpartition(".")[2] == "bias"
        decay = settings.weight_decay_norm if isinstance(owner, _NORMS) else settings.weight_decay
        if is_bias and settings.weight_decay_bias is not None:
            decay = settings.weight_decay_bias
        lr = settings.base_lr * (settings.bias_lr_factor if is_bias else 1.0)
        members.setdefault((lr, decay), []).append((name, parameter))
    return [
        ParameterGroup(
            names=tuple(name for name, _ in own),
            parameters=tuple(parameter for _, parameter in own),
            lr=lr,
            weight_decay=decay,
        )
        for (lr, decay), own in members.items()
    ]


def build_optimizer(network: nn.Module, settings: SolverSettings) -> torch.optim.SGD:
    """Return SGD over `parameter_groups`, at the base rate; its stored state has Detectron2's layout."""
    groups = [
        {"params": list(group.parameters), "lr": group.lr, "weight_decay": group.weight_decay}
        for group in parameter_groups(network, settings)
    ]
    return torch.optim.SGD(
        groups, lr=settings.base_lr, momentum=settings.momentum, nesterov=settings.nesterov, foreach=True
    )


def clip_gradients(parameters: Iterable[nn.Parameter], settings: ClipSettings) -> None:
    """Clip the gradient of every parameter tensor on its own, in place; call before the optimiser's step."""
    if not settings.enabled:
        return
    for parameter in parameters:
        if parameter.grad is None:
            continue
        match settings.clip_type:
            case "norm":
                nn.utils.clip_grad_norm_(parameter, settings.clip_value, norm_type=settings.norm_type)
            case "value":
                nn.utils.clip_grad_value_(parameter, settings.clip_value)
            case _:
                assert_never(settings.clip_type)


def lr_factor(iteration: int, settings: SolverSettings) -> float:
    """Return the rate of an iteration (counted from 0) relative to each group's own rate.

    A step inside the warm-up makes the ramp aim at the rate after that step, as Detectron2's does.
    """
    warmup = min(settings.warmup_iterations, settings.max_iterations)
    if iteration >= warmup:
        return _scheduled(iteration, settings)
    start = settings.warmup_factor * _scheduled(0, settings)
    match settings.warmup_method:
        case "constant":
            return start
        case "linear":
            risen = iteration / warmup
            return start * (1.0 - risen) + _scheduled(warmup, settings) * risen
        case _:
            assert_never(settings.warmup_method)


def _scheduled(iteration: int, settings: SolverSettings) -> float:
    match settings.schedule:
        case "WarmupMultiStepLR":
            used = [step for step in settings.steps if step <= settings.max_iterations]
            return float(settings.gamma ** bisect_right(used, iteration))
        case "WarmupCosineLR":
            end = settings.base_lr_end / settings.base_lr
            fallen = iteration / settings.max_iterations
            return end + 0.5 * (1.0 - end) * (1.0 + math.cos(math.pi * fallen))
        case _:
            assert_never(settings.schedule)


def _owned_parameters(network: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    seen: set[int] = set()
    for prefix, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield f"{prefix}.{name}" if prefix else name, parameter, module


def _one_of(config: DetectronConfig, key: str, choices: dict[str, _Choice]) -> _Choice:
    value = text(config, key)
    if value not in choices:
        raise ConfigError(f"{value!r} is not built; built: {' or '.join(choices)}", item=key)
    return choices[value]
