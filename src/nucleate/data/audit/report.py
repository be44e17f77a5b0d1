"""The audit of a data set: what came in, what is in it, what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nucleate.data.audit.findings import AuditedImage, Finding, Level, find_all, near_identical
from nucleate.data.audit.likeness import LikePair
from nucleate.errors import first_and_count

SCHEMA_VERSION = 1
JSON_NAME = "audit.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """What is known of a data set's content.

    Attributes:
        images: those that are in it.
        findings: errors first.
        alike: pairs of near-identical images.
        left_out: items that are not in the data set, by reason.
        mended: items that are in it in another form than the source's, by reason.
    """

    images: tuple[AuditedImage, ...]
    findings: tuple[Finding, ...]
    alike: tuple[LikePair, ...]
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mended: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        images: Sequence[AuditedImage],
        *,
        problems: Sequence[Finding] = (),
        left_out: Mapping[str, Sequence[str]] | None = None,
        mended: Mapping[str, Sequence[str]] | None = None,
    ) -> Audit:
        """Return the audit of images.

        Args:
            images: at least one.
            problems: what was found while they were read.
            left_out: see `Audit`.
            mended: see `Audit`.
        """
        alike = near_identical(images)
        return cls(
            images=tuple(images),
            findings=(*(each for each in problems if each.count), *find_all(images, alike)),
            alike=tuple(alike),
            left_out=left_out or {},
            mended=mended or {},
        )

    @property
    def nuclei(self) -> int:
        """Return the number of annotated nuclei."""
        return sum(len(image.nuclei) for image in self.images)

    def lines_of(self, level: Level) -> tuple[str, ...]:
        """Return a line each finding of a level, with its first place."""
        return tuple(
            f"{each.count:,} {each.what}: {first_and_count(list(each.items), JSON_NAME)}"
            for each in self.findings
            if each.level == level
        )

    def count_of(self, level: Level) -> int:
        """Return how many findings are of a level."""
        return sum(each.level == level for each in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values that audit.json holds."""
        return {
            "audit_version": SCHEMA_VERSION,
            "totals": {
                "images": len(self.images),
                "annotations_found": sum(image.annotations_found for image in self.images),
                "nuclei": self.nuclei,
            },
            "findings": [each.to_dict() for each in self.findings],
            "left_out": {reason: list(items) for reason, items in self.left_out.items()},
            "mended": {reason: list(items) for reason, items in self.mended.items()},
            "images": [_image_entry(image) for image in self.images],
        }


def _image_entry(image: AuditedImage) -> dict[str, Any]:
    return {
        "file_name": image.file_name,
        "source_path": image.key,
        "source": image.source,
        "organ": image.organ,
        "splits": list(image.splits),
        "width": image.frame.width_px,
        "height": image.frame.height_px,
        "mode": image.facts.mode,
        "annotations_found": image.annotations_found,
        "nuclei": len(image.nuclei),
        "sha256_of_pixels": image.facts.sha256,
        "perceptual_hash": image.facts.look_hex,
    }
