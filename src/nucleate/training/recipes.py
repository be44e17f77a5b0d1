"""Recipes: Detectron2's keys and our settings, in one YAML file of the package; `KEY=VALUE` on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.training.mask_rcnn.settings import MaskRCNNRecipeSettings
from nucleate.training.settings import settings_from_tree
from nucleate.training.star_convex.settings import StarConvexRecipeSettings

_KINDS: dict[str, type[MaskRCNNRecipeSettings] | type[StarConvexRecipeSettings]] = {
    "mask-rcnn": MaskRCNNRecipeSettings,
    "star-convex": StarConvexRecipeSettings,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train: the network and solver by Detectron2's keys, the rest by ours.

    Attributes:
        name: the file's name.
        about: one line for people.
        config: Detectron2's configuration.
        settings: ours; their type says which kind of network it is.
        explicit_keys: Detectron2's keys that the recipe or the user set, so that nothing derived replaces them.
    """

    name: str
    about: str
    config: DetectronConfig
    settings: MaskRCNNRecipeSettings | StarConvexRecipeSettings
    explicit_keys: frozenset[str]


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes in the package, sorted."""
    folder = resources.files("nucleate.training") / "recipes"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return a recipe with `KEY=VALUE` overrides applied.

    Args:
        name: one of `recipe_names()`.
        overrides: `SOLVER.MAX_ITER=300` for Detectron2's keys (upper case), `augmentation.crop_px=256` for ours.

    Raises:
        ConfigError: no such recipe or key, or a value of the wrong type.
    """
    if name not in recipe_names():
        raise ConfigError(f"no recipe {name!r}; there are: {', '.join(recipe_names())}")
    text = (resources.files("nucleate.training") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    base = content.get("base")
    config = DetectronConfig.default() if base is None else DetectronConfig.zoo(base)
    recipe_keys = _flatten(content.get("detectron2", {}))
    ours: dict[str, Any] = dict(content.get("nucleate", {}))
    user_keys: dict[str, str] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise ConfigError("write KEY=VALUE, for example SOLVER.MAX_ITER=300", item=override)
        if key.split(".")[0].isupper():
            user_keys[key] = value
        else:
            _put(ours, key, yaml.safe_load(value))
    return Recipe(
        name=name,
        about=content["about"],
        config=config.with_overrides(recipe_keys).with_overrides(user_keys),
        settings=settings_from_tree(_KINDS[content.get("model", "mask-rcnn")], ours),
        explicit_keys=frozenset(recipe_keys) | frozenset(user_keys),
    )


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{parent} is a single value", item=key)
    tree[last] = value
