"""Annotated images as crops are taken from them, kept in memory within a budget."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nucleate.core.stain import fit_macenko, rgb_to_od
from nucleate.data import Annotations, CocoDataset
from nucleate.training.star_convex.targets import UNKNOWN, relative_depth

_BUDGET_BYTES = 1_500_000_000
_WHITE_PERCENTILE = 99.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotatedImage:
    """One image and what its crops need.

    Attributes:
        image_rgb: (H, W, 3).
        labels: (H, W) int32, 0 outside of nuclei, -1 in crowd regions.
        depth: (H, W) uint8, see `relative_depth`.
        stains_od: (2, 3) unit vectors of haematoxylin and eosin (Macenko); None where the image has no two stains.
        white_od: (3,) optical density of its brightest parts.
    """

    image_rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    depth: NDArray[np.uint8]
    stains_od: NDArray[np.float64] | None
    white_od: NDArray[np.float64]

    @property
    def size_bytes(self) -> int:
        """Return what it takes in memory."""
        return self.image_rgb.nbytes + self.labels.nbytes + self.depth.nbytes


@dataclass(kw_only=True)
class ImageStore:
    """Reads images of a data set once, as long as they fit the budget; the one unused longest goes first.

    Attributes:
        dataset: where they are.
        budget_bytes: most memory for images.
    """

    dataset: CocoDataset
    budget_bytes: int = _BUDGET_BYTES
    _held: OrderedDict[int, AnnotatedImage] = field(default_factory=OrderedDict, repr=False)
    _held_bytes: int = 0

    def __getitem__(self, index: int) -> AnnotatedImage:
        """Return the image of a record.

        Raises:
            DataError: it is missing or unreadable.
        """
        if index in self._held:
            self._held.move_to_end(index)
            return self._held[index]
        image = self._read(index)
        self._held[index] = image
        self._held_bytes += image.size_bytes
        while self._held_bytes > self.budget_bytes and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= dropped.size_bytes
        return image

    def _read(self, index: int) -> AnnotatedImage:
        record = self.dataset.records[index]
        image_rgb = self.dataset.read_image(record)
        labels = _label_map(self.dataset.annotations(record))
        # Every ninth pixel gives the same two vectors in a ninth of the time.
        sample = np.ascontiguousarray(image_rgb[::3, ::3])
        fitted = fit_macenko(sample)
        brightest = np.rint(np.percentile(sample.reshape(-1, 3), _WHITE_PERCENTILE, axis=0)).astype(np.uint8)
        return AnnotatedImage(
            image_rgb=image_rgb,
            labels=labels,
            depth=relative_depth(labels),
            stains_od=None if fitted is None else fitted.vectors(),
            white_od=np.asarray(rgb_to_od(brightest.reshape(1, 1, 3)), np.float64).reshape(3),
        )


def _label_map(annotations: Annotations) -> NDArray[np.int32]:
    frame = annotations.instances.frame
    labels = np.zeros(frame.shape, np.int32)
    masks = annotations.instances.masks
    # Crowds first: what is annotated one by one inside of them is known.
    for index in np.argsort(~annotations.is_crowd, kind="stable").tolist():
        x1, y1, x2, y2 = masks.windows_xyxy[index]
        labels[y1:y2, x1:x2][masks.bitmap(index)] = UNKNOWN if annotations.is_crowd[index] else index + 1
    return labels
