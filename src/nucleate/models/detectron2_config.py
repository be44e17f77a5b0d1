"""Detectron2's configuration: every key of version 0.6 with its default, read, checked, changed and written.

The tree is kept flat ("SOLVER.MAX_ITER" -> value) and immutable; lists are tuples inside and lists in the file.
"""

from __future__ import annotations

import ast
import difflib
import importlib.resources
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from nucleate.errors import ConfigError

_TYPE_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "text", tuple: "a list"}

Scalar = bool | int | float | str | None
ConfigValue = Scalar | tuple["ConfigValue", ...]

_BASE_KEY = "_BASE_"
_CONFIG_VERSION = 2


@dataclass(frozen=True, slots=True)
class DetectronConfig:
    """All settings of Detectron2 0.6, immutable; make one with `default`, `load` or `zoo`.

    Args:
        values: dotted key -> value, all keys of `get_cfg()` and no others.

    Raises:
        ConfigError: a key is unknown or missing, or a value has another type than the key's default.
    """

    values: Mapping[str, ConfigValue]

    def __post_init__(self) -> None:
        defaults = _default_values()
        missing = [key for key in defaults if key not in self.values]
        if missing:
            raise ConfigError(f"the configuration lacks {len(missing)} keys", item=missing[0])
        checked = {key: _checked(key, value) for key, value in sorted(self.values.items())}
        object.__setattr__(self, "values", checked)

    def __hash__(self) -> int:
        return hash(tuple(self.values.items()))

    @classmethod
    def default(cls) -> DetectronConfig:
        """Return the defaults of `get_cfg()`."""
        return cls(_default_values())

    @classmethod
    def load(cls, path: Path) -> DetectronConfig:
        """Read a configuration file over the defaults, following `_BASE_` to files beside or near it.

        Args:
            path: a YAML file as `cfg.dump()` or the model zoo writes it; python tuples are read as lists.

        Raises:
            ConfigError: the file can't be read, isn't YAML, or a key or value is refused.
        """
        return cls.default().with_file(path)

    @classmethod
    def zoo(cls, name: str) -> DetectronConfig:
        """Return a recipe of Detectron2's model zoo.

        Args:
            name: for instance "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml".

        Raises:
            ConfigError: no such recipe is in the box.
        """
        known = zoo_names()
        if name not in known:
            raise ConfigError(f"no zoo recipe {name!r}; there are: {', '.join(known)}")
        with importlib.resources.as_file(_resources() / "zoo") as folder:
            return cls.load(folder / name)

    def with_file(self, path: Path) -> DetectronConfig:
        """Return the configuration with a file's settings over it; see `load`."""
        try:
            return self._merged(_read_with_bases(Path(path), ()))
        except ConfigError as error:
            if error.path is not None:
                raise
            raise ConfigError(error.message, path=path, item=error.item) from error

    def get(self, key: str) -> ConfigValue:
        """Return the value of a dotted key.

        Raises:
            ConfigError: there is no such key.
        """
        try:
            return self.values[key]
        except KeyError:
            raise _unknown(key) from None

    def with_overrides(self, overrides: Mapping[str, Any]) -> DetectronConfig:
        """Return the configuration with some keys changed.

        Args:
            overrides: dotted key -> value; text is parsed as a python or YAML literal ("300", "(60, 80)", "null"),
                except where the key holds text.

        Raises:
            ConfigError: a key is unknown, or a value has the wrong type.
        """
        changed = {key: _parsed_text(key, value) for key, value in overrides.items()}
        return DetectronConfig({**self.values, **changed})

    def dump(self) -> str:
        """Return the configuration as YAML, as Detectron2's `cfg.dump()` writes it: sorted keys, plain lists."""
        tree: dict[str, Any] = {}
        for key, value in self.values.items():
            *folders, leaf = key.split(".")
            node = tree
            for folder in folders:
                node = node.setdefault(folder, {})
            node[leaf] = _as_lists(value)
        return yaml.dump(tree, Dumper=_PlainDumper, default_flow_style=False, sort_keys=True)

    def _merged(self, tree: Mapping[str, Any]) -> DetectronConfig:
        return DetectronConfig({**self.values, **{key: _decoded(key, value) for key, value in _flat(tree)}})


def zoo_names() -> tuple[str, ...]:
    """Return the names that `DetectronConfig.zoo` takes, sorted."""
    folder = _resources() / "zoo" / "COCO-InstanceSegmentation"
    return tuple(sorted(f"COCO-InstanceSegmentation/{file.name}" for file in folder.iterdir()))


class _PlainDumper(yaml.SafeDumper):
    """Writes repeated lists out instead of pointing at the first."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


class _TupleLoader(yaml.SafeLoader):
    """Reads `!!python/tuple`, which older Detectron2 files hold, as a list; every other tag is refused."""


def _list_of(loader: _TupleLoader, node: yaml.SequenceNode) -> list[Any]:
    return list(loader.construct_sequence(node, deep=True))


_TupleLoader.add_constructor("tag:yaml.org,2002:python/tuple", _list_of)


def _resources() -> Traversable:
    return importlib.resources.files("nucleate.models")


@cache
def _default_values() -> dict[str, ConfigValue]:
    text = (_resources() / "detectron2_defaults.yaml").read_text(encoding="utf-8")
    return {key: _as_tuples(value) for key, value in _flat(yaml.safe_load(text))}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _read_with_bases(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ConfigError(f"{_BASE_KEY} leads round in a circle", path=path)
    tree = _read_tree(path)
    base = tree.pop(_BASE_KEY, None)
    if base is None:
        return tree
    if not isinstance(base, str) or "://" in base:
        raise ConfigError(f"{_BASE_KEY} must be the path of a file, not {base!r}", path=path)
    return _overlaid(_read_with_bases(path.parent / base, (*seen, path.resolve())), tree)


def _read_tree(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_TupleLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", path=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise ConfigError(f"is not a plain YAML file ({line})", path=path) from error
    if not isinstance(tree, dict):
        raise ConfigError("holds no settings (a YAML mapping is needed)", path=path)
    return tree


def _overlaid(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _overlaid(below, value) if both and below is not None else value
    return merged


def _unknown(key: str) -> ConfigError:
    known = _default_values()
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    section = [name for name in known if name.startswith(f"{key}.")]
    if section:
        return ConfigError(f"is a section, not a setting; one of its settings is {section[0]}", item=key)
    return ConfigError(f"unknown setting; the closest known one is {close[0]}", item=key)


def _checked(key: str, value: ConfigValue) -> ConfigValue:
    defaults = _default_values()
    if key not in defaults:
        raise _unknown(key)
    default = defaults[key]
    value = _as_tuples(value)
    if key == "VERSION" and value != _CONFIG_VERSION:
        raise ConfigError(f"is {value!r}, but only version {_CONFIG_VERSION} files are read", item=key)
    if default is None:
        # The one such key, SOLVER.WEIGHT_DECAY_BIAS, is null or a number.
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value if value is None else float(value)
        raise ConfigError(f"must be a number or null, not {value!r}", item=key)
    if type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    raise ConfigError(f"must be {_TYPE_NAMES[type(default)]} like {_as_lists(default)!r}, not {value!r}", item=key)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _decoded(key: str, value: Any) -> Any:
    """Return a file's value as yacs takes it: text that reads as a python literal is that literal."""
    if isinstance(value, str) and not isinstance(_default_values().get(key), str):
        return _literal(value)
    return value


def _parsed_text(key: str, value: Any) -> Any:
    if not isinstance(value, str) or isinstance(_default_values().get(key), str):
        return value
    parsed = _literal(value)
    if isinstance(parsed, str):
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            return value
    return parsed


def _as_tuples(value: Any) -> Any:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return tuple(_as_tuples(entry) for entry in value)
    return value


def _as_lists(value: ConfigValue) -> Any:
    return [_as_lists(entry) for entry in value] if isinstance(value, tuple) else value
