"""What an audit finds: errors, warnings and notes, each with how often and where."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks
from nucleate.data.audit.facts import ImageFacts, NucleiFacts
from nucleate.data.audit.likeness import HASH_BITS, LikePair, like_pairs

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")

# As small as no nucleus at any magnification that nuclei are outlined at; often a slip of the pen.
CRUMB_PX = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditedImage:
    """One image of a data set with what was seen of it.

    Attributes:
        file_name: in the data set.
        key: its path in the source.
        path: where its pixels lie.
        frame: its size.
        organ: with its species, None when unknown.
        source: the data set that it comes from, "" when unknown.
        splits: that it is in, among train, val, test or files' names; () for a set without.
        class_names: (N,) of its nuclei.
        annotations_found: in the source, those that were left out with them.
        facts: see there.
        decode: the masks of some of its nuclei, given by their indices, when they are asked for.
    """

    file_name: str
    key: str
    path: Path
    frame: Frame
    organ: str | None
    source: str
    splits: tuple[str, ...]
    class_names: tuple[str, ...]
    annotations_found: int
    facts: ImageFacts
    decode: Callable[[Sequence[int]], Masks]

    @property
    def nuclei(self) -> NucleiFacts:
        """Return what was seen of its nuclei."""
        return self.facts.nuclei

    @property
    def where(self) -> str:
        """Return its name with its splits."""
        return f"{self.file_name} ({', '.join(self.splits)})" if self.splits else self.file_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        level: an error makes results of the data set wrong; a warning should be looked at; a note is good to know.
        what: in words, the same for the same kind.
        count: how often.
        items: where, in the images' order.
        advice: what to do about it, "" for nothing.
    """

    level: Level
    what: str
    count: int
    items: tuple[str, ...]
    advice: str = ""

    @classmethod
    def of(cls, level: Level, what: str, items: Iterable[str], advice: str = "") -> Finding:
        """Return a finding that is counted by its items."""
        places = tuple(items)
        return cls(level=level, what=what, count=len(places), items=places, advice=advice)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values that audit.json holds."""
        return {
            "level": self.level,
            "what": self.what,
            "count": self.count,
            "advice": self.advice,
            "items": list(self.items),
        }


def near_identical(images: Sequence[AuditedImage]) -> list[LikePair]:
    """Return the pairs of images that look alike and are not identical."""
    hashed = [index for index, image in enumerate(images) if image.facts.look is not None]
    looks = [look for image in images if (look := image.facts.look) is not None]
    hashes: NDArray[np.bool_] = np.stack(looks) if looks else np.zeros((0, HASH_BITS), np.bool_)
    pairs = [
        LikePair(first=hashed[pair.first], second=hashed[pair.second], differing_bits=pair.differing_bits)
        for pair in like_pairs(hashes)
    ]
    return [pair for pair in pairs if images[pair.first].facts.sha256 != images[pair.second].facts.sha256]


def find_all(images: Sequence[AuditedImage], alike: Sequence[LikePair]) -> list[Finding]:
    """Return what there is to say of the images and nuclei, errors first.

    Args:
        images: of the data set.
        alike: see `near_identical`.
    """
    found = [*_of_images(images, alike), *_of_nuclei(images), *_kinds(images)]
    return sorted((each for each in found if each.count), key=lambda each: LEVELS.index(each.level))


def _of_images(images: Sequence[AuditedImage], alike: Sequence[LikePair]) -> Iterator[Finding]:
    several = [image.where for image in images if len(image.splits) > 1]
    yield Finding.of(
        "error",
        "images in several splits",
        several,
        "A model is tested on what it learned: let each image be in one split.",
    )
    groups: dict[str, list[AuditedImage]] = defaultdict(list)
    for image in images:
        groups[image.facts.sha256].append(image)
    same = [group for group in groups.values() if len(group) > 1]
    across = [group for group in same if len({split for image in group for split in image.splits}) > 1]
    within = [group for group in same if group not in across]
    yield Finding(
        level="error",
        what="identical images in different splits",
        count=sum(map(len, across)),
        items=tuple(" = ".join(image.where for image in group) for group in across),
        advice="A model is tested on what it learned: keep one of each, or keep them in one split (--group-by).",
    )
    yield Finding(
        level="warning",
        what="identical images",
        count=sum(map(len, within)),
        items=tuple(" = ".join(image.where for image in group) for group in within),
        advice="They count twice: keep one of each.",
    )
    yield Finding(
        level="warning",
        what="pairs of near-identical images",
        count=len(alike),
        items=tuple(
            f"{images[pair.first].where} ~ {images[pair.second].where} ({pair.differing_bits} of {HASH_BITS} bits)"
            for pair in alike
        ),
        advice="Resized, recompressed, turned or mirrored copies: look at them, and keep them in one split"
        " (--group-by).",
    )
    empty = [image.file_name for image in images if not len(image.nuclei)]
    yield Finding(level="note", what="images without a nucleus, kept", count=len(empty), items=tuple(empty))


def _of_nuclei(images: Sequence[AuditedImage]) -> Iterator[Finding]:
    def named(image: AuditedImage, index: int) -> str:
        return f"{image.file_name}: nucleus {image.nuclei.label_ids[index]}"

    repeats = [
        f"{named(image, first)} and {image.nuclei.label_ids[second]}"
        for image in images
        for first, second in image.nuclei.repeats
    ]
    yield Finding.of("warning", "nuclei annotated twice", repeats, "Two masks of nearly the same pixels: delete one.")
    crumbs = [
        f"{named(image, index)} ({image.nuclei.areas_px[index]} px)"
        for image in images
        for index in np.flatnonzero(image.nuclei.areas_px < CRUMB_PX).tolist()
    ]
    yield Finding(
        level="warning",
        what=f"crumbs: nuclei under {CRUMB_PX} px",
        count=len(crumbs),
        items=tuple(crumbs),
        advice=f"Often a slip of the pen; prepare --min-area {CRUMB_PX} leaves them out.",
    )
    gaps = [f"{image.file_name}: {image.nuclei.missing_ids}" for image in images if image.nuclei.missing_ids]
    yield Finding(level="note", what="images whose ids have gaps (ids are names)", count=len(gaps), items=tuple(gaps))
    kinds: tuple[tuple[str, Callable[[NucleiFacts], NDArray[np.bool_]]], ...] = (
        ("nuclei that touch another", lambda nuclei: nuclei.touching),
        ("nuclei that overlap another", lambda nuclei: nuclei.overlapping),
        ("nuclei with holes", lambda nuclei: nuclei.holes > 0),
        ("nuclei in several parts", lambda nuclei: nuclei.parts > 1),
    )
    for what, chosen in kinds:
        counts = [(image.file_name, int(np.count_nonzero(chosen(image.nuclei)))) for image in images]
        yield Finding(
            level="note",
            what=what,
            count=sum(count for _, count in counts),
            items=tuple(f"{name}: {count}" for name, count in counts if count),
        )


def _kinds(images: Sequence[AuditedImage]) -> Iterator[Finding]:
    sizes = Counter(f"{image.frame.width_px} x {image.frame.height_px} px" for image in images)
    modes = Counter(image.facts.mode for image in images)
    for what, kinds in (("sizes of images", sizes), ("modes of image files", modes)):
        items = tuple(f"{name}: {count}" for name, count in sorted(kinds.items(), key=lambda each: (-each[1], each[0])))
        yield Finding(level="note", what=what, count=len(kinds), items=items)
