"""From an annotated image to what the network trains on: Detectron2's own mapper, and one with free augmentation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nucleate.core import Instances, Masks
from nucleate.core.stain import fit_macenko
from nucleate.data import CocoDataset
from nucleate.models.mask_rcnn import BitMasks, TrainingImage
from nucleate.training.mask_rcnn.augmentation import random_affine, warp_image, warp_instances
from nucleate.training.mask_rcnn.settings import Augmentation
from nucleate.training.mask_rcnn.stain_jitter import jitter_stain


@dataclass(kw_only=True)
class AugmentingMapper:
    """Rotation, scale, crop, flips and stain by `Augmentation`; masks as bitmaps.

    Attributes:
        dataset: the training split.
        record_indices: which of its images, in the order that the batch plan counts them.
        augmentation: what is varied.
        bgr: the network takes blue first.
    """

    dataset: CocoDataset
    record_indices: tuple[int, ...]
    augmentation: Augmentation
    bgr: bool
    _stains: dict[int, NDArray[np.float64] | None] = field(default_factory=dict, repr=False)

    def __call__(self, record_index: int, rng: np.random.Generator) -> TrainingImage:
        """Return the image of a plan's index, varied by `rng`."""
        record = self.dataset.records[self.record_indices[record_index]]
        image_rgb = self.dataset.read_image(record)
        annotations = self.dataset.annotations(record)
        affine = random_affine(record.frame, self.augmentation, rng)
        crop_px = self.augmentation.crop_px
        nuclei = warp_instances(
            annotations.instances.select(~annotations.is_crowd),
            affine,
            crop_px,
            min_visible=self.augmentation.min_visible,
        )
        if record_index not in self._stains:
            self._stains[record_index] = self._own_stains(image_rgb)
        crop = warp_image(image_rgb, affine, crop_px)
        stained = jitter_stain(crop, self._stains[record_index], self.augmentation.stain, rng)
        return training_image(stained, nuclei, bgr=self.bgr)

    def _own_stains(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        if not self.augmentation.stain.probability:
            return None
        # Every ninth pixel gives the same two vectors in a ninth of the time.
        fitted = fit_macenko(np.ascontiguousarray(image_rgb[::3, ::3]))
        return None if fitted is None else fitted.vectors()


def training_image(image_rgb: NDArray[np.uint8], nuclei: Instances, *, bgr: bool) -> TrainingImage:
    """Return an image and its nuclei as the network takes them, masks as bitmaps.

    Args:
        image_rgb: (H, W, 3).
        nuclei: in the image's frame.
        bgr: turn the channels round.
    """
    channels = image_rgb[:, :, ::-1] if bgr else image_rgb
    return TrainingImage(
        image=torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1))),
        boxes_xyxy=torch.from_numpy(nuclei.boxes_xyxy.copy()),
        class_indices=torch.from_numpy(nuclei.class_indices.copy()),
        masks=bit_masks(nuclei.masks),
    )


def bit_masks(masks: Masks) -> BitMasks:
    """Return masks as the network takes bitmaps: each in its own window."""
    corners = tuple((int(x1), int(y1)) for x1, y1, _, _ in masks.windows_xyxy)
    bitmaps = tuple(np.ascontiguousarray(bitmap) for bitmap in masks)
    return BitMasks(masks.frame.height_px, masks.frame.width_px, corners, bitmaps)
