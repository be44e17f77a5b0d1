"""The two catalogues: name -> function that returns a data set's dicts, name -> what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nucleate.detectron2.errors import AlreadyRegisteredError, UnknownAttributeError, UnknownDatasetError

DatasetDict = dict[str, Any]


class _DatasetCatalog:
    def __init__(self) -> None:
        self._loaders: dict[str, Callable[[], list[DatasetDict]]] = {}

    def register(self, name: str, func: Callable[[], list[DatasetDict]]) -> None:
        """Give a data set a name.

        Args:
            name: of the data set.
            func: returns its dicts: file_name, height, width, image_id, annotations.

        Raises:
            AlreadyRegisteredError: the name is taken.
        """
        if name in self._loaders:
            raise AlreadyRegisteredError(
                "a data set of this name is registered already: DatasetCatalog.remove(name) first", item=name
            )
        self._loaders[name] = func

    def get(self, name: str) -> list[DatasetDict]:
        """Return a data set's dicts, read now.

        Raises:
            UnknownDatasetError: nobody registered the name.
        """
        self.check(name)
        return self._loaders[name]()

    def check(self, name: str, *, item: str | None = None) -> None:
        """Raise an UnknownDatasetError unless the name is registered."""
        if name not in self._loaders:
            known = ", ".join(self._loaders) or "none"
            where = name if item is None else f"{item}: {name}"
            raise UnknownDatasetError(f"no data set of this name is registered; registered: {known}", item=where)

    def list(self) -> list[str]:
        """Return the registered names."""
        return list(self._loaders)

    def remove(self, name: str) -> None:
        """Forget a data set."""
        self.check(name)
        del self._loaders[name]

    def clear(self) -> None:
        """Forget all data sets."""
        self._loaders.clear()

    def __contains__(self, name: object) -> bool:
        return name in self._loaders

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)


class Metadata:
    """What is known of a data set: `thing_classes`, `json_file`, `image_root`, and whatever was set.

    Args:
        name: of the data set.
        known: attributes.
    """

    def __init__(self, name: str = "", **known: Any) -> None:
        self.__dict__["name"] = name
        self.set(**known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = ", ".join(self.__dict__)
        raise UnknownAttributeError(f"the metadata doesn't have it; it has: {known}", item=name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get(name, value) != value:
            raise AlreadyRegisteredError(
                f"is {self.__dict__[name]!r} already and can't become {value!r}", item=f"{self.name}: {name}"
            )
        self.__dict__[name] = value

    def set(self, **known: Any) -> Metadata:
        """Set attributes; one that has another value already is refused."""
        for name, value in known.items():
            setattr(self, name, value)
        return self

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or the default."""
        return self.__dict__.get(name, default)

    def as_dict(self) -> dict[str, Any]:
        """Return all attributes."""
        return dict(self.__dict__)

    def __repr__(self) -> str:
        return f"Metadata({self.__dict__})"


class _MetadataCatalog:
    def __init__(self) -> None:
        self._known: dict[str, Metadata] = {}

    def get(self, name: str) -> Metadata:
        """Return the metadata of a name, made empty at the first call."""
        return self._known.setdefault(name, Metadata(name=name))

    def list(self) -> list[str]:
        """Return the names that anything is known of."""
        return list(self._known)

    def remove(self, name: str) -> None:
        """Forget what is known of a name."""
        del self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known


DatasetCatalog = _DatasetCatalog()
MetadataCatalog = _MetadataCatalog()
