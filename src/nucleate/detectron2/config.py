"""`get_cfg()` and its node: Detectron2's keys and defaults, read, changed, merged, frozen and dumped as there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from nucleate.detectron2.errors import UnknownAttributeError, UnknownKeyError, ValueTypeError
from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import ConfigValue, DetectronConfig

__all__ = ["CfgNode", "detectron_config", "get_cfg"]

# Lists everywhere else, as in Detectron2's defaults; merging keeps the kind that a key has.
_TUPLE_KEYS = frozenset(
    {
        "DATASETS.PROPOSAL_FILES_TEST",
        "DATASETS.PROPOSAL_FILES_TRAIN",
        "DATASETS.TEST",
        "DATASETS.TRAIN",
        "INPUT.MIN_SIZE_TRAIN",
        "MODEL.RETINANET.BBOX_REG_WEIGHTS",
        "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS",
        "MODEL.ROI_BOX_CASCADE_HEAD.IOUS",
        "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS",
        "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS",
        "MODEL.RPN.BBOX_REG_WEIGHTS",
        "SOLVER.STEPS",
        "TEST.AUG.MIN_SIZES",
    }
)
# Where Detectron2 takes a single value for a list of one.
_TAKEN_AS_ONE: dict[str, type] = {"DATASETS.TEST": str, "DATASETS.TRAIN": str, "INPUT.MIN_SIZE_TRAIN": int}
_PATH, _SEALED, _FROZEN = "_path", "_sealed", "_frozen"


def get_cfg() -> CfgNode:
    """Return a new configuration with Detectron2's defaults."""
    root = CfgNode()
    for key, value in DetectronConfig.default().values.items():
        *folders, leaf = key.split(".")
        node = root
        for folder in folders:
            node = node.setdefault(folder, CfgNode())
        node[leaf] = tuple(value) if key in _TUPLE_KEYS and isinstance(value, tuple) else _lists(value)
    root._seal("")
    return root


def detectron_config(cfg: CfgNode) -> DetectronConfig:
    """Return the engine's configuration of a node that `get_cfg` made.

    Raises:
        ConfigError: a value has another type than its key's, or the node is not a whole configuration.
    """
    return DetectronConfig(dict(cfg._flat()))


class CfgNode(dict[str, Any]):
    """A section of a configuration: its keys are attributes and items.

    Keys are those of Detectron2 and no others: what it would add silently (`cfg.SOLVER.MAXITER = 300`) is an error.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            if name.startswith("__"):
                raise AttributeError(name) from None
            self._unknown(name, UnknownAttributeError)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if not self._flag(_SEALED):
            super().__setitem__(name, value)
            return
        key = self._key(name)
        if self._flag(_FROZEN):
            raise UnknownAttributeError("the configuration is frozen: call cfg.defrost() first", item=key)
        if name not in self:
            self._unknown(name, UnknownAttributeError)
        value = _plain(value)
        if isinstance(self[name], CfgNode):
            self._replace_section(name, value)
            return
        if isinstance(value, _TAKEN_AS_ONE.get(key, ())):
            value = (value,)
        try:
            DetectronConfig.default().with_overrides({key: value})
        except ConfigError as error:
            raise ValueTypeError(error.message, item=error.item) from error
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        raise UnknownAttributeError("a setting can't be removed", item=self._key(name))

    def __repr__(self) -> str:
        return f"CfgNode({dict.__repr__(self)})"

    def __str__(self) -> str:
        return self.dump() if self._is_root() else repr(self)

    def merge_from_file(self, path: str | os.PathLike[str], allow_unsafe: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Take a YAML file's settings over, following `_BASE_`; `allow_unsafe` allows nothing more.

        Raises:
            UnknownKeyError: it names a key that there is not.
            ConfigError: it can't be read or a value has another type than the key's.
        """
        self._merge(lambda config: config.with_file(Path(path)))

    def merge_from_list(self, changes: Sequence[Any]) -> None:
        """Take settings over: key, value, key, value, ...; text values are parsed.

        Raises:
            UnknownKeyError: a key is unknown.
            ConfigError: a key without a value, or a value of another type.
        """
        if len(changes) % 2:
            raise ConfigError(f"{len(changes)} entries: keys and values in turn are needed")
        pairs = {str(key): _plain(value) for key, value in zip(changes[::2], changes[1::2], strict=True)}
        self._merge(lambda config: config.with_overrides(pairs))

    def merge_from_other_cfg(self, other: CfgNode) -> None:
        """Take all settings of another configuration over."""
        self._merge(lambda config: config.with_overrides(dict(other._flat())))

    def clone(self) -> CfgNode:
        """Return a deep copy, frozen if this one is."""
        copied = CfgNode()
        for name, value in self.items():
            dict.__setitem__(copied, name, value.clone() if isinstance(value, CfgNode) else _copied(value))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, _: dict[int, Any]) -> CfgNode:
        return self.clone()

    def freeze(self) -> None:
        """Let nothing be set any more."""
        self._set_frozen(frozen=True)

    def defrost(self) -> None:
        """Let settings be set again."""
        self._set_frozen(frozen=False)

    def is_frozen(self) -> bool:
        """Return whether `freeze` was called."""
        return self._flag(_FROZEN)

    def dump(self) -> str:
        """Return the configuration as YAML: sorted keys, plain lists."""
        return detectron_config(self).dump()

    def _merge(self, merged: Any) -> None:
        if not self._is_root():
            raise ConfigError("merge into the whole configuration, not into a section", item=self._key("")[:-1])
        if self._flag(_FROZEN):
            raise UnknownAttributeError("the configuration is frozen: call cfg.defrost() first")
        try:
            config: DetectronConfig = merged(detectron_config(self))
        except ConfigError as error:
            if error.message.startswith("unknown setting"):
                raise UnknownKeyError(error.message, path=error.path, item=error.item) from error
            raise
        for key, value in config.values.items():
            *folders, leaf = key.split(".")
            node = self
            for folder in folders:
                node = node[folder]
            if _tuples(node[leaf]) != value:
                dict.__setitem__(node, leaf, _of_kind(value, node[leaf]))

    def _flat(self, prefix: str = "") -> Iterator[tuple[str, ConfigValue]]:
        for name, value in self.items():
            if isinstance(value, CfgNode):
                yield from value._flat(f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", _tuples(value)

    def _replace_section(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping) or set(value) != set(self[name]):
            raise ValueTypeError("is a section: set its settings one by one", item=self._key(name))
        for leaf, each in value.items():
            self[name][leaf] = each

    def _unknown(self, name: str, kind: type[ConfigError]) -> NoReturn:
        if self._flag(_SEALED):
            try:
                DetectronConfig.default().get(self._key(name))
            except ConfigError as error:
                raise kind(error.message, item=error.item) from None
        raise kind("no such key", item=self._key(name))

    def _seal(self, path: str) -> None:
        self.__dict__.update({_PATH: path, _SEALED: True, _FROZEN: False})
        for name, value in self.items():
            if isinstance(value, CfgNode):
                value._seal(f"{path}{name}.")

    def _set_frozen(self, *, frozen: bool) -> None:
        self.__dict__[_FROZEN] = frozen
        for value in self.values():
            if isinstance(value, CfgNode):
                value._set_frozen(frozen=frozen)

    def _flag(self, name: str) -> bool:
        return bool(self.__dict__.get(name, False))

    def _is_root(self) -> bool:
        return self._flag(_SEALED) and not self.__dict__[_PATH]

    def _key(self, name: str) -> str:
        return f"{self.__dict__.get(_PATH, '')}{name}"


def _plain(value: Any) -> Any:
    """Return paths as text and numpy's numbers as Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def _copied(value: Any) -> Any:
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _lists(value: Any) -> Any:
    return [_lists(each) for each in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list | tuple) else value


def _of_kind(value: Any, current: Any) -> Any:
    lists = _lists(value)
    return tuple(lists) if isinstance(lists, list) and isinstance(current, tuple) else lists
