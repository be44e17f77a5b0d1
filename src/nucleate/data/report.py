"""What a preparation kept and what it left out, counted and named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nucleate.core.stain import StainNormalisation
from nucleate.data.assembly import PreparedImage
from nucleate.data.audit.report import Audit
from nucleate.data.sources import Dropped, Mended
from nucleate.data.sources.coco import VAGUE_FOLDER
from nucleate.data.splits import SplitLists


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCount:
    """Numbers of one split.

    Attributes:
        name: all, train, val or test.
        images: number of images.
        nuclei: number of annotations.
        organs: number of different organs, 0 where none is known.
    """

    name: str
    images: int
    nuclei: int
    organs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedCount:
    """How often something was left out for one reason.

    Attributes:
        reason: in words.
        count: number of images, nuclei or entries.
    """

    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareReport:
    """The outcome of `prepare`.

    Attributes:
        output: the data set's folder.
        images: number of images.
        nuclei: number of annotations.
        organs: number of different organs, 0 where none is known.
        split_name: such as `kfold-5-seed19`.
        splits: numbers of all, train, val and test, where there are such.
        dropped: what was left out, by reason; audit.json names each.
        polygons: masks written as polygons.
        rles: masks written as run-length codes.
        stain: the normalisation applied, None for none.
        stained_images: images that it changed.
        notes: what a user of the data set should know.
        mended: what was taken in another form than the source's, by reason; audit.json names each.
        errors: what makes results of the data set wrong, a line each.
        warnings: what should be looked at, a line each.
        already_complete: nothing was done, since the folder held this very data set.
    """

    output: Path
    images: int
    nuclei: int
    organs: int
    split_name: str
    splits: tuple[SplitCount, ...]
    dropped: tuple[DroppedCount, ...]
    polygons: int
    rles: int
    stain: StainNormalisation | None
    stained_images: int
    notes: tuple[str, ...]
    mended: tuple[DroppedCount, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    already_complete: bool = False

    @property
    def failures(self) -> tuple[str, ...]:
        """Return the errors, for which the command line ends with code 1; the data set is there."""
        return self.errors

    def summary(self) -> str:
        """Return a short table for people."""
        done = "already complete, nothing done" if self.already_complete else "done"
        lines = [f"{self.output}: {done}", f"{'':8}{'images':>8}{'nuclei':>9}{'organs':>8}"]
        lines += [
            f"{split.name:8}{split.images:>8,}{split.nuclei:>9,}{split.organs or '-':>8}" for split in self.splits
        ]
        lines.append(f"split: {self.split_name}; masks: {self.polygons:,} polygons, {self.rles:,} run-length codes")
        if self.stain is not None:
            lines.append(f"stain: {self.stain.method}, {self.stained_images:,} of {self.images:,} images changed")
        lines += [f"left out: {each.count:,} x {each.reason} (named in audit.json)" for each in self.dropped]
        lines += [f"mended: {each.count:,} x {each.reason} (named in audit.json)" for each in self.mended]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values that audit.json holds (the folder's place is left out: it may be moved)."""
        plain = asdict(self)
        del plain["output"], plain["already_complete"]
        plain["stain"] = None if self.stain is None else self.stain.to_dict()
        return plain

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], output: Path) -> PrepareReport:
        """Return what `to_dict` gave, of a folder that is complete."""
        plain = dict(value)
        stain = plain.pop("stain")
        return cls(
            output=output,
            splits=tuple(SplitCount(**split) for split in plain.pop("splits")),
            dropped=tuple(DroppedCount(**each) for each in plain.pop("dropped")),
            notes=tuple(plain.pop("notes")),
            mended=tuple(DroppedCount(**each) for each in plain.pop("mended", ())),
            errors=tuple(plain.pop("errors", ())),
            warnings=tuple(plain.pop("warnings", ())),
            stain=None if stain is None else StainNormalisation.from_dict(stain),
            already_complete=True,
            **plain,
        )


def tally(dropped: Sequence[Dropped | Mended]) -> dict[str, list[str]]:
    """Return the sorted items by reason, reasons sorted too."""
    items: dict[str, list[str]] = defaultdict(list)
    for each in dropped:
        items[each.reason].append(each.item)
    return {reason: sorted(items[reason]) for reason in sorted(items)}


def mended_items(images: Sequence[PreparedImage]) -> dict[str, list[str]]:
    """Return the sorted items that were taken in another form than the source's, by reason."""
    return tally([each for image in images for each in image.mended])


def preparation_notes(images: Sequence[PreparedImage]) -> list[str]:
    """Return what a user of the images should know: run-length codes, inexact polygons, empty images."""
    kinds = [nucleus.segmentation.kind for image in images for nucleus in image.nuclei]
    notes = []
    if "rle" in kinds:
        notes.append(
            f"{kinds.count('rle'):,} of {len(kinds):,} masks are run-length codes (holes, several parts):"
            " training configs must have INPUT.MASK_FORMAT: bitmask"
        )
    inexact = inexact_polygons(images)
    if inexact:
        largest = max(inexact.values())
        notes.append(f"--masks polygon: {len(inexact)} polygons differ from their masks, by at most {largest} px")
    empty = sum(not image.nuclei for image in images)
    if empty:
        notes.append(f"{empty} images hold no nucleus")
    return notes


def vague_area_notes(folder: Path) -> list[str]:
    """Return what a user should know of the masks of vague areas that a data set's folder holds."""
    count = sum(1 for _ in (folder / VAGUE_FOLDER).glob("*"))
    return [f"{VAGUE_FOLDER}/ holds {count} masks of vague areas, for `evaluate --vague`"] if count else []


def inexact_polygons(images: Sequence[PreparedImage]) -> dict[str, int]:
    """Return by how many pixels forced polygons differ from their masks, by nucleus."""
    return {
        f"{image.key}: nucleus {nucleus.label_id}": nucleus.segmentation.lost_px
        for image in images
        for nucleus in image.nuclei
        if nucleus.segmentation.lost_px
    }


def make_report(
    output: Path,
    images: Sequence[PreparedImage],
    lists: SplitLists,
    *,
    audit: Audit,
    notes: list[str],
    stain: StainNormalisation | None,
) -> PrepareReport:
    """Return the report of a preparation.

    Args:
        output: the data set's folder.
        images: all of them.
        lists: the split.
        audit: of the images.
        notes: see `PrepareReport`.
        stain: the normalisation, None for none.
    """

    def count(name: str, names: Sequence[str]) -> SplitCount:
        wanted = set(names)
        chosen = [image for image in images if image.record.file_name in wanted]
        return SplitCount(
            name=name,
            images=len(chosen),
            nuclei=sum(len(image.nuclei) for image in chosen),
            organs=len({image.record.organ for image in chosen if image.record.organ is not None}),
        )

    everything = count("all", [image.record.file_name for image in images])
    parts = [count("train", lists.train), count("val", lists.val), count("test", lists.test)]
    kinds = [nucleus.segmentation.kind for image in images for nucleus in image.nuclei]
    return PrepareReport(
        output=output,
        images=everything.images,
        nuclei=everything.nuclei,
        organs=everything.organs,
        split_name=lists.name,
        splits=(everything, *(part for part in parts if part.images)),
        dropped=tuple(DroppedCount(reason=reason, count=len(names)) for reason, names in audit.left_out.items()),
        polygons=kinds.count("polygon"),
        rles=kinds.count("rle"),
        stain=stain,
        stained_images=sum(image.record.stain is not None for image in images) if stain else 0,
        notes=tuple(notes),
        mended=tuple(DroppedCount(reason=reason, count=len(names)) for reason, names in audit.mended.items()),
        errors=audit.lines_of("error"),
        warnings=audit.lines_of("warning"),
    )
