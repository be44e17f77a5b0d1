"""The images of a preparation, or of COCO files, on their way to an audit."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, Rle, decode_rles, encode_polygons, rle_from_counts
from nucleate.data.assembly import PreparedImage
from nucleate.data.audit.facts import examine_image
from nucleate.data.audit.findings import AuditedImage, Finding
from nucleate.data.classes import ClassList
from nucleate.data.coco_file import CocoAnnotation, CocoFile, ImageRecord, decode_annotations
from nucleate.data.outline_faults import outline_faults
from nucleate.data.segmentations import Segmentation
from nucleate.data.sources.source import Mended
from nucleate.errors import DataError
from nucleate.files import image_mode, read_rgb

logger = logging.getLogger(__name__)

# Boxes of other tools may count pixels from 1, or to the last pixel's upper left corner.
MOST_BOX_DIFFERENCE_PX = 2.0


def audited_preparation(
    images: Sequence[PreparedImage], images_dir: Path, *, classes: ClassList, splits: Mapping[str, Sequence[str]]
) -> list[AuditedImage]:
    """Return the images that a preparation wrote.

    Args:
        images: in their order.
        images_dir: where they lie.
        classes: of the data set.
        splits: file names by split.
    """
    of_image = _splits_of(splits)
    return [
        AuditedImage(
            file_name=image.record.file_name,
            key=image.key,
            path=images_dir / image.record.file_name,
            frame=image.record.frame,
            organ=image.record.organ,
            source=image.record.source,
            splits=of_image[image.record.file_name],
            class_names=tuple(classes.names[classes.index_of(nucleus.class_name)] for nucleus in image.nuclei),
            annotations_found=len(image.nuclei) + len(image.dropped),
            facts=image.facts,
            decode=partial(_decode, image.record.frame, [nucleus.segmentation for nucleus in image.nuclei]),
        )
        for image in images
    ]


@dataclass(slots=True, eq=False)
class CocoAudit:
    """Images of COCO files as they are read, and what turned out on the way."""

    images: list[AuditedImage] = field(default_factory=list)
    mended: list[Mended] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    misfit_boxes: list[str] = field(default_factory=list)
    crowds: list[str] = field(default_factory=list)

    def read(self, record: ImageRecord, parsed: CocoFile, path: Path, *, splits: tuple[str, ...]) -> None:
        """Examine one image; one that is missing or can't be read is noted.

        Args:
            record: of the file.
            parsed: the file.
            path: where the image lies.
            splits: that it is in.
        """
        if not path.is_file():
            self.missing.append(record.file_name)
            return
        try:
            pixels, mode = _pixels(record, path), image_mode(path)
        except DataError as error:
            logger.info("%s", error)
            self.unfit.append(f"{record.file_name}: {error.message}")
            return
        entries = parsed.annotations[record.image_id]
        self.crowds += [f"{record.file_name}: annotation {entry.annotation_id}" for entry in entries if entry.is_crowd]
        kept = tuple(entry for entry in entries if not entry.is_crowd)
        self.mended += outline_faults(kept, record.frame, record.file_name)
        masks = decode_annotations(record.frame, kept)
        self.misfit_boxes += _misfit_boxes(kept, masks, record.file_name)
        names = dict(parsed.categories)
        self.images.append(
            AuditedImage(
                file_name=record.file_name,
                key=record.file_name,
                path=path,
                frame=record.frame,
                organ=record.organ,
                source=record.source,
                splits=splits,
                class_names=tuple(names[entry.category_id] for entry in kept),
                annotations_found=len(entries),
                facts=examine_image(pixels, masks, np.array([entry.label_id for entry in kept], np.int64), mode=mode),
                decode=partial(_decode_entries, record.frame, kept),
            )
        )

    def findings(self, unsound: Iterable[str]) -> list[Finding]:
        """Return what was noted.

        Args:
            unsound: a line an entry of the files that can't be taken.
        """
        return [
            Finding.of("error", "unsound entries of the COCO file", unsound, "Nothing is made of them: mend the file."),
            Finding.of(
                "error", "images that are missing", self.missing, "Put them there, or name their folder with --images."
            ),
            Finding.of(
                "error", "images that can't be used", self.unfit, "Unreadable, or of another size than the file says."
            ),
            Finding.of(
                "warning",
                f"boxes that differ from their masks by more than {MOST_BOX_DIFFERENCE_PX:g} px",
                self.misfit_boxes,
                "Detectors learn the file's boxes: `nucleate prepare` writes those of the masks.",
            ),
            Finding.of("note", "crowd regions, which count for no nucleus", self.crowds),
        ]


def _splits_of(splits: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for split, names in splits.items():
        for name in names:
            found[name] += (split,)
    return found


def _pixels(record: ImageRecord, path: Path) -> NDArray[np.uint8]:
    pixels = read_rgb(path)
    if pixels.shape[:2] != record.frame.shape:
        raise DataError(
            f"the image is {pixels.shape[1]} x {pixels.shape[0]} pixels,"
            f" its record says {record.frame.width_px} x {record.frame.height_px}",
            path=path,
        )
    return pixels


def _misfit_boxes(entries: Sequence[CocoAnnotation], masks: Masks, file_name: str) -> list[str]:
    found = []
    for entry, window in zip(entries, masks.windows_xyxy, strict=True):
        if entry.box_xyxy is not None and np.abs(window - np.array(entry.box_xyxy)).max() > MOST_BOX_DIFFERENCE_PX:
            found.append(f"{file_name}: annotation {entry.annotation_id}")
    return found


def _decode_entries(frame: Frame, entries: Sequence[CocoAnnotation], indices: Sequence[int]) -> Masks:
    return decode_annotations(frame, tuple(entries[index] for index in indices))


def _decode(frame: Frame, segmentations: Sequence[Segmentation], indices: Sequence[int]) -> Masks:
    codes = []
    for each in (segmentations[index] for index in indices):
        if isinstance(each.value, dict):
            code = each.value
            codes.append(
                Rle(size_hw=frame.shape, counts=code["counts"])
                if isinstance(code["counts"], str)
                else rle_from_counts(frame, code["counts"])
            )
        else:
            rings = [np.array(ring, np.float64).reshape(-1, 2) for ring in each.value]
            codes.append(encode_polygons(frame, rings))
    return decode_rles(frame, codes)
