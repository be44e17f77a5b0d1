from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nucleate.core import Frame, Instances, masks_from_label_map

INK = 40


class InkSegmenter:
    """Finds every connected blot of ink, wherever it is; a larger blot has a higher score."""

    name = "ink"
    class_names = ("nucleus",)

    def __init__(self, fingerprint: str = "ink-1") -> None:
        self.fingerprint = fingerprint
        self.batches: list[tuple[int, ...]] = []

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        self.batches.append(tuple(image.shape[1] for image in images_rgb))
        assert len({image.shape for image in images_rgb}) == 1
        return [self._find(image) for image in images_rgb]

    @staticmethod
    def _find(image_rgb: NDArray[np.uint8]) -> Instances:
        assert image_rgb.dtype == np.uint8
        assert image_rgb.flags.c_contiguous
        blots, _ = ndimage.label(image_rgb[..., 0] < 128)
        masks, _ = masks_from_label_map(blots)
        areas_px = masks.areas_px()
        return Instances.from_masks(masks, scores=(areas_px / (areas_px + 100)).astype(np.float32))


class OutlineInkSegmenter(InkSegmenter):
    """Finds ink and draws it in the frame that it is asked for: at the pixels' centres, without a bitmap between."""

    def segment_into(self, images_rgb: Sequence[NDArray[np.uint8]], frames: Sequence[Frame]) -> list[Instances]:
        self.batches.append(tuple(image.shape[1] for image in images_rgb))
        answers = []
        for image, frame in zip(images_rgb, frames, strict=True):
            rows = ((np.arange(frame.height_px) + 0.5) * image.shape[0] / frame.height_px).astype(int)
            columns = ((np.arange(frame.width_px) + 0.5) * image.shape[1] / frame.width_px).astype(int)
            answers.append(self._find(np.ascontiguousarray(image[rows][:, columns])))
        return answers


def draw_discs(height_px: int, width_px: int, discs_xyr: Sequence[tuple[float, float, float]]) -> NDArray[np.uint8]:
    """Draw discs of ink on white paper: centre x, centre y, radius."""
    image = np.full((height_px, width_px, 3), 255, np.uint8)
    for x, y, radius in discs_xyr:
        top, left = max(0, int(y - radius) - 1), max(0, int(x - radius) - 1)
        window = image[top : int(y + radius) + 2, left : int(x + radius) + 2]
        rows, columns = np.mgrid[: window.shape[0], : window.shape[1]] + 0.5
        window[(columns + left - x) ** 2 + (rows + top - y) ** 2 <= radius**2] = INK
    return image


def draw_grid(height_px: int, width_px: int, *, pitch_px: int, radius: float) -> NDArray[np.uint8]:
    """Draw a disc every `pitch_px` pixels."""
    half = pitch_px / 2
    discs = [(x + half, y + half, radius) for y in range(0, height_px, pitch_px) for x in range(0, width_px, pitch_px)]
    return draw_discs(height_px, width_px, discs)
