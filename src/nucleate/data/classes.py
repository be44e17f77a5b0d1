"""The classes of a data set: the sources' own, or all of them one, the nucleus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nucleate.data.assembly import PreparedImage
from nucleate.data.sources.source import NUCLEUS


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassList:
    """The classes by index.

    Attributes:
        names: at least one.
        merged: names of the sources' classes that all became the only one; () where they were kept.
    """

    names: tuple[str, ...]
    merged: tuple[str, ...] = ()

    def index_of(self, name: str) -> int:
        """Return the class that a source's class became."""
        return 0 if self.merged else self.names.index(name)

    def notes(self) -> list[str]:
        """Return what a user should know of classes that were merged."""
        if len(self.merged) < 2:
            return []
        return [f"{len(self.merged)} classes were merged into {NUCLEUS!r} ({', '.join(self.merged)}): --classes keeps"]


def observed_classes(images: Iterable[PreparedImage]) -> tuple[str, ...]:
    """Return the sorted names of the classes that the nuclei have."""
    return tuple(sorted({nucleus.class_name for image in images for nucleus in image.nuclei}))


def list_classes(images: Sequence[PreparedImage], declared: Iterable[str], *, keep: bool) -> ClassList:
    """Return the classes of a data set.

    Args:
        images: with the sources' class names.
        declared: what the sources named beforehand, in their order; the others follow by name.
        keep: else all become the nucleus.
    """
    observed = observed_classes(images)
    if not keep:
        return ClassList(names=(NUCLEUS,), merged=observed or (NUCLEUS,))
    return ClassList(names=tuple(dict.fromkeys((*declared, *observed))) or (NUCLEUS,))
