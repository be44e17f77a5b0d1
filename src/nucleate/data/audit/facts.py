"""What the audit and the statistics keep of an image: a few numbers, while its pixels and masks are at hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Masks
from nucleate.data.audit.contacts import count_parts_and_holes, find_contacts
from nucleate.data.audit.likeness import perceptual_hash

# A grid of 32 x 32 places is enough for an organ's colours, and 3 kB an image.
SAMPLES_A_SIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NucleiFacts:
    """The N nuclei of one image, in its order.

    Attributes:
        label_ids: (N,) numbers in the source.
        windows_xyxy: (N, 4) that hold them, half-open.
        areas_px: (N,).
        touching: (N,) see `Contacts`.
        overlapping: (N,) see `Contacts`.
        parts: (N,) 4-connected ones.
        holes: (N,).
        repeats: pairs of indices that are one nucleus, annotated twice.
    """

    label_ids: NDArray[np.int64]
    windows_xyxy: NDArray[np.int32]
    areas_px: NDArray[np.int64]
    touching: NDArray[np.bool_]
    overlapping: NDArray[np.bool_]
    parts: NDArray[np.int64]
    holes: NDArray[np.int64]
    repeats: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.label_ids)

    @property
    def diameters_px(self) -> NDArray[np.float64]:
        """Return the (N,) diameters of circles of the same areas."""
        return np.asarray(2 * np.sqrt(self.areas_px / np.pi))

    @property
    def missing_ids(self) -> int:
        """Return how many numbers between the lowest and the highest are no nucleus'."""
        if not len(self):
            return 0
        return int(self.label_ids.max() - self.label_ids.min()) + 1 - len(np.unique(self.label_ids))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFacts:
    """One image and its nuclei.

    Attributes:
        mode: how its file stores the colours, in words.
        sha256: of its size and RGB pixels; files of other compression but equal pixels have the same.
        look: (255,) perceptual hash, None for an image without structure.
        samples_rgb: (K, 3) uint8 colours on a grid, each the mean of 3 x 3 pixels.
        nuclei: its annotations.
    """

    mode: str
    sha256: str
    look: NDArray[np.bool_] | None
    samples_rgb: NDArray[np.uint8]
    nuclei: NucleiFacts

    @property
    def look_hex(self) -> str | None:
        """Return the perceptual hash as hexadecimal digits, None for an image without structure."""
        return None if self.look is None else np.packbits(self.look).tobytes().hex()


def examine_image(image_rgb: NDArray[np.uint8], masks: Masks, label_ids: NDArray[np.int64], *, mode: str) -> ImageFacts:
    """Return what an audit needs to know of one image.

    Args:
        image_rgb: (H, W, 3).
        masks: N masks in its frame.
        label_ids: (N,) their numbers.
        mode: see `ImageFacts`.
    """
    contacts = find_contacts(masks)
    parts, holes = count_parts_and_holes(masks)
    digest = hashlib.sha256(f"{image_rgb.shape[1]} x {image_rgb.shape[0]}\n".encode())
    digest.update(np.ascontiguousarray(image_rgb).data)
    return ImageFacts(
        mode=mode,
        sha256=digest.hexdigest(),
        look=perceptual_hash(image_rgb),
        samples_rgb=_samples(image_rgb),
        nuclei=NucleiFacts(
            label_ids=np.asarray(label_ids, np.int64),
            windows_xyxy=masks.windows_xyxy,
            areas_px=masks.areas_px(),
            touching=contacts.touching,
            overlapping=contacts.overlapping,
            parts=parts,
            holes=holes,
            repeats=contacts.repeats,
        ),
    )


def _samples(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colours at places of a grid; the mean of 3 x 3 pixels there stands in for a blur of the image."""
    rows, columns = (
        np.unique(np.linspace(0, side - 1, min(side, SAMPLES_A_SIDE)).astype(np.int64)) for side in image_rgb.shape[:2]
    )
    lines = np.zeros((len(rows), *image_rgb.shape[1:]), np.uint16)
    for beside in (-1, 0, 1):
        lines += image_rgb[np.clip(rows + beside, 0, image_rgb.shape[0] - 1)]
    sums = np.zeros((len(rows), len(columns), 3), np.uint16)
    for beside in (-1, 0, 1):
        sums += lines[:, np.clip(columns + beside, 0, image_rgb.shape[1] - 1)]
    return np.asarray((sums + 4) // 9, np.uint8).reshape(-1, 3)
