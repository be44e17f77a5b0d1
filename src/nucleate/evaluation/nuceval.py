"""Protocol `nuceval` for one image: vague areas, then the border ring, on annotated masks that may overlap."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Masks, label_map_from_masks, masks_from_label_map, relabel_sequentially
from nucleate.errors import DataError
from nucleate.evaluation.centroids import Centroids, label_map_centroids, mask_centroids
from nucleate.evaluation.dice import Foreground
from nucleate.evaluation.matching import Overlaps, mask_overlaps
from nucleate.evaluation.protocols import NucevalParts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrectedImage:
    """What is left of both sides of an image after vague areas and ring.

    Attributes:
        annotated: masks with at least one pixel each; they may overlap.
        predicted: (H, W) ids 1..n.
        overlapping: whether annotated masks may share pixels.
    """

    annotated: Masks
    predicted: NDArray[np.int32]
    overlapping: bool

    def overlaps(self) -> Overlaps:
        """Return the overlaps of each whole mask with each prediction."""
        return mask_overlaps(self.annotated, masks_from_label_map(self.predicted)[0])

    def foreground(self) -> Foreground | None:
        """Return the pixels of all nuclei together; None where both sides are label maps."""
        if not self.overlapping:
            return None
        return Foreground.of_bitmaps(label_map_from_masks(self.annotated) > 0, self.predicted > 0)

    def centroids(self) -> Centroids:
        """Return the centroids of what is left."""
        ids = np.arange(1, int(self.predicted.max(initial=0)) + 1)
        return Centroids(
            annotated_xy=mask_centroids(self.annotated), predicted_xy=label_map_centroids(self.predicted, ids)
        )


def correct_image(
    annotated: Masks, predicted: NDArray[np.integer], *, vague: NDArray[np.bool_] | None = None, parts: NucevalParts
) -> CorrectedImage:
    """Return what counts of an image, in the protocol's fixed order: masks, vague areas, ring.

    Args:
        annotated: M masks with at least one pixel each; where they are not to overlap the later owns shared pixels.
        predicted: (H, W) ids, 0 = background.
        vague: (H, W), true where nobody can say what is there; needed where the parts use vague areas.
        parts: which corrections are on.

    Raises:
        DataError: shapes differ, an id is negative, an annotated mask has no pixel, or vague areas are missing.
    """
    shape = annotated.frame.shape
    for name, pixels in (("predicted map", predicted), ("vague area", vague)):
        if pixels is not None and pixels.shape != shape:
            raise DataError(f"a {name} of shape {pixels.shape} over annotations of an image of {shape}")
    if predicted.size and int(predicted.min()) < 0:
        raise DataError(f"negative id {int(predicted.min())} in the predicted map: ids are 1 and up, 0 is background")
    areas = annotated.areas_px()
    if not areas.all():
        raise DataError(f"annotated mask {int(np.argmin(areas))} has no pixel")
    if not parts.overlapping:
        flat = label_map_from_masks(annotated, np.arange(len(annotated), dtype=np.float64))
        annotated = masks_from_label_map(flat, mpp=annotated.frame.mpp)[0]
    found = relabel_sequentially(predicted)[0]
    if parts.vague_threshold is not None:
        if vague is None:
            raise DataError("no vague area of this image: give one, without any pixel where nothing is vague")
        threshold = Fraction(parts.vague_threshold).limit_denominator(10**6)
        annotated = _without_vague(annotated, vague, threshold)
        found = _map_without_vague(found, vague, threshold)
    if parts.ring_px:
        ring = border_ring(annotated, parts.ring_px)
        annotated = _without(annotated, ring)
        found = relabel_sequentially(np.where(ring, 0, found))[0]
    return CorrectedImage(annotated=annotated, predicted=found, overlapping=parts.overlapping)


def border_ring(masks: Masks, width_px: int) -> NDArray[np.bool_]:
    """Return (H, W), true within `width_px` of any mask's border, inside and outside.

    Beyond the image all is background for dilation and foreground for erosion: no ring runs along the image's edge.
    """
    height, width = masks.frame.shape
    ring = np.zeros((height, width), np.bool_)
    element = disc(width_px)
    for index, (x1, y1, x2, y2) in enumerate(masks.windows_xyxy.tolist()):
        top, left = max(0, y1 - width_px), max(0, x1 - width_px)
        bottom, right = min(height, y2 + width_px), min(width, x2 + width_px)
        bitmap = np.zeros((bottom - top, right - left), np.uint8)
        bitmap[y1 - top : y2 - top, x1 - left : x2 - left] = masks.bitmap(index)
        outer = cv2.dilate(bitmap, element, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        inner = cv2.erode(bitmap, element, borderType=cv2.BORDER_CONSTANT, borderValue=1)
        ring[top:bottom, left:right] |= outer > inner
    return ring


def disc(radius_px: int) -> NDArray[np.uint8]:
    """Return the (2w + 1, 2w + 1) structuring element: in row dy the pixels with |dx| <= round(sqrt(w^2 - dy^2))."""
    steps = np.arange(-radius_px, radius_px + 1)
    halves = np.rint(np.sqrt(radius_px**2 - steps**2))
    return np.asarray(np.abs(steps)[None, :] <= halves[:, None], np.uint8)


def _without_vague(masks: Masks, vague: NDArray[np.bool_], threshold: Fraction) -> Masks:
    cut_px = np.array(
        [
            np.count_nonzero(bitmap & vague[y1:y2, x1:x2])
            for bitmap, (x1, y1, x2, y2) in zip(masks, masks.windows_xyxy.tolist(), strict=True)
        ],
        np.int64,
    )
    return _without(masks.select(~_too_vague(cut_px, masks.areas_px(), threshold)), vague)


def _map_without_vague(
    label_map: NDArray[np.int32], vague: NDArray[np.bool_], threshold: Fraction
) -> NDArray[np.int32]:
    count = int(label_map.max(initial=0)) + 1
    areas = np.bincount(label_map.reshape(-1), minlength=count)
    cut_px = np.bincount(label_map[vague], minlength=count)
    removed = _too_vague(cut_px, areas, threshold)
    return relabel_sequentially(np.where(vague | removed[label_map], 0, label_map))[0]


def _too_vague(cut_px: NDArray[np.int64], areas_px: NDArray[np.int64], threshold: Fraction) -> NDArray[np.bool_]:
    """Return whether more than the share is cut; exactly the share is not, which nuc_eval's epsilon makes sure of."""
    return np.asarray(cut_px * threshold.denominator > areas_px * threshold.numerator)


def _without(masks: Masks, pixels: NDArray[np.bool_]) -> Masks:
    """Return the masks without those pixels; masks of which nothing is left are dropped."""
    bitmaps = [
        bitmap & ~pixels[y1:y2, x1:x2]
        for bitmap, (x1, y1, x2, y2) in zip(masks, masks.windows_xyxy.tolist(), strict=True)
    ]
    rest = Masks.from_bitmaps(masks.frame, masks.windows_xyxy, bitmaps)
    return rest.select(rest.areas_px() > 0).cropped()
