"""Settings of recipes as frozen dataclasses, made from nested values with every mistake named."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from nucleate.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16", "auto"]
Metric = Literal["auto", "PQ", "segm/AP", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """What all recipes decide beyond Detectron2's SOLVER keys.

    Attributes:
        accumulate: parts that the SOLVER.IMS_PER_BATCH images of a step are passed through the network in, one after
            the other: less memory, the same step but for counts and batch statistics, which are those of each part.
        best: what `model_best.pth` is chosen by, on the split val; auto takes PQ where there is a choice (a split val
            and TEST.EVAL_PERIOD), none keeps no best.
        patience: evaluations without a better one before the training stops; 0 never stops it.
    """

    accumulate: int = 1
    best: Metric = "auto"
    patience: int = 0

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ConfigError(f"{self.accumulate}: at least 1", item="accumulate")
        if self.patience < 0:
            raise ConfigError(f"{self.patience}: at least 0", item="patience")
        if self.patience and self.best == "none":
            raise ConfigError("needs a metric: set best=PQ or best=segm/AP", item="patience")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How often images are drawn: a group of n images as often as n to this power, 1 for all images alike.

    Attributes:
        source: of the sources of the data set.
        organ: of the organs within a source.
    """

    source: float = 1.0
    organ: float = 0.5

    def __post_init__(self) -> None:
        check_share("balance.source", self.source)
        check_share("balance.organ", self.organ)


_Settings = TypeVar("_Settings")


def settings_from_tree(kind: type[_Settings], tree: Mapping[str, Any]) -> _Settings:
    """Return settings from nested values (a recipe's `nucleate` section).

    Args:
        kind: a dataclass whose fields are plain values, tuples, choices and dataclasses.
        tree: values by field.

    Raises:
        ConfigError: an unknown name, or a value of another type than the field's.
    """
    return typing.cast("_Settings", _build(kind, tree, ""))


def plain_settings(value: Any) -> Any:
    """Return settings as the mappings, lists and scalars that YAML holds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain_settings(each) for key, each in value.items()}
    return [plain_settings(each) for each in value] if isinstance(value, tuple | list) else value


def check_share(name: str, value: float) -> None:
    """Raise a ConfigError unless a value lies between 0 and 1."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{value}: between 0 and 1", item=name)


def check_range(name: str, bounds: tuple[float, float]) -> None:
    """Raise a ConfigError unless bounds are positive and in order."""
    if not 0 < bounds[0] <= bounds[1]:
        raise ConfigError(f"{list(bounds)}: two positive numbers, the lower first", item=name)


def _build(kind: type, tree: Any, prefix: str) -> Any:
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{tree!r} where settings by name are expected", item=prefix.rstrip("."))
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(tree) - set(hints))
    if unknown:
        known = ", ".join(sorted(hints))
        raise ConfigError(f"no such setting; known here: {known}", item=f"{prefix}{unknown[0]}")
    return kind(**{name: _value(hints[name], value, f"{prefix}{name}") for name, value in tree.items()})


def _value(hint: Any, value: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type", hint), value, f"{name}.")
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{value!r}: one of {', '.join(map(str, arguments))}", item=name)
        return value
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(arguments):
        return tuple(_value(part, single, name) for part, single in zip(arguments, value, strict=True))
    if origin in (typing.Union, types.UnionType) and value is None:
        return None
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigError(f"{value!r} where {getattr(hint, '__name__', hint)} is expected", item=name)
