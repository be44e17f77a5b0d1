"""From annotated images to batches: which image, which crop of it, and the targets as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nucleate.data import CocoDataset
from nucleate.models.star_convex.losses import StarConvexTargets
from nucleate.training.star_convex.appearance import vary_appearance
from nucleate.training.star_convex.crops import Crop, known_cells, take_crop
from nucleate.training.star_convex.images import AnnotatedImage, ImageStore
from nucleate.training.star_convex.settings import Appearance, Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class StarConvexBatch:
    """Crops and what the network should answer.

    Attributes:
        images: (N, 3, H, W) uint8, RGB.
        targets: of the same crops.
    """

    images: torch.Tensor
    targets: StarConvexTargets

    def to(self, device: torch.device) -> StarConvexBatch:
        """Return the batch on a device."""
        return StarConvexBatch(images=self.images.to(device), targets=self.targets.to(device))


@dataclass(kw_only=True)
class CropMapper:
    """Turns a training image's index into a random crop.

    Attributes:
        dataset: the training split.
        record_indices: which of its images, in the order that the batch plan counts them.
        magnifications: by source, what brings its nuclei to the working scale; 1 for a source without nuclei.
        geometry: how crops vary.
        appearance: how colours vary.
    """

    dataset: CocoDataset
    record_indices: tuple[int, ...]
    magnifications: Mapping[str, float]
    geometry: Geometry
    appearance: Appearance
    _store: ImageStore | None = field(default=None, repr=False)

    def __call__(self, record_index: int, rng: np.random.Generator) -> Crop:
        """Return a crop of a training image, varied by `rng`."""
        if self._store is None:
            self._store = ImageStore(dataset=self.dataset)
        store = self._store

        def other() -> tuple[AnnotatedImage, float]:
            index = int(rng.integers(len(self.record_indices)))
            return store[self.record_indices[index]], self._magnification(index)

        def recolour(pixels: NDArray[np.uint8], source: AnnotatedImage, rng: np.random.Generator) -> NDArray[np.uint8]:
            return vary_appearance(pixels, source, self.appearance, rng)

        first = store[self.record_indices[record_index]]
        return take_crop(first, self._magnification(record_index), other, self.geometry, recolour, rng)

    def _magnification(self, index: int) -> float:
        source = self.dataset.records[self.record_indices[index]].source
        return self.magnifications.get(source or "", 1.0)


def collate(crops: Sequence[Crop]) -> StarConvexBatch:
    """Return crops of one size as a batch."""
    labels = np.stack([crop.labels for crop in crops])
    images = np.stack([crop.image_rgb for crop in crops]).transpose(0, 3, 1, 2)
    return StarConvexBatch(
        images=torch.from_numpy(np.ascontiguousarray(images)),
        targets=StarConvexTargets(
            depth=torch.from_numpy(np.stack([crop.depth for crop in crops])),
            known=torch.from_numpy(np.stack([known_cells(crop) for crop in crops])),
            cells=torch.from_numpy(np.flatnonzero(labels > 0)),
            distances_px=torch.from_numpy(np.concatenate([crop.distances_px for crop in crops])),
            visible=torch.from_numpy(np.concatenate([crop.visible for crop in crops])),
        ),
    )


def source_diameters_px(dataset: CocoDataset, record_indices: Iterable[int]) -> dict[str, float]:
    """Return the median equivalent diameter of the nuclei of each source that has any, in image pixels.

    Args:
        dataset: a split.
        record_indices: its images that count.
    """
    diameters: dict[str, list[NDArray[np.float64]]] = {}
    for index in record_indices:
        record = dataset.records[index]
        areas = dataset.annotations(record).instances.masks.areas_px()
        diameters.setdefault(record.source or "", []).append(2 * np.sqrt(areas / np.pi))
    joined = {source: np.concatenate(each) for source, each in diameters.items()}
    return {source: round(float(np.median(each)), 2) for source, each in joined.items() if len(each)}
