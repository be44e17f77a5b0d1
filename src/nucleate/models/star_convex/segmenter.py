"""The star-convex network as a segmenter: any engine that answers its maps, and the decoding of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances
from nucleate.models.star_convex.decoding import DecodingSettings, DenseMaps, decode

SIDE_MULTIPLE_PX = 32
# At the working scale: what the network holds in memory is bounded by it, whatever the image.
TILE_PX = 1024


class DenseEngine(Protocol):
    """Runs the network."""

    @property
    def fingerprint(self) -> str:
        """Return a short text that differs where the weights do."""
        ...

    def run(self, images_rgb: NDArray[np.uint8]) -> list[DenseMaps]:
        """Return the maps of (N, H, W, 3) images whose sides are multiples of 32."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StarConvexSegmenter:
    """Images at the working scale in, nuclei out.

    Attributes:
        engine: runs the network.
        name: for people.
        class_names: what `class_indices` count.
        decoding: how maps become nuclei.
    """

    engine: DenseEngine
    name: str = "star-convex"
    class_names: tuple[str, ...] = ("nucleus",)
    decoding: DecodingSettings = field(default_factory=DecodingSettings)

    @property
    def fingerprint(self) -> str:
        """Return a short text that differs where weights or settings do."""
        return f"{self.engine.fingerprint} {self.decoding}"

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        """Return the nuclei of each (H, W, 3) image in that image's frame, best score first."""
        return self.segment_into(images_rgb, [_frame_of(image_rgb) for image_rgb in images_rgb])

    def segment_into(self, images_rgb: Sequence[NDArray[np.uint8]], frames: Sequence[Frame]) -> list[Instances]:
        """Return the nuclei of each image, drawn in the frame that the image was resampled from."""
        answers: list[Instances] = []
        for image_rgb, frame in zip(images_rgb, frames, strict=True):
            maps = self.engine.run(padded(image_rgb)[None])[0]
            answers.append(decode(maps, _frame_of(image_rgb), self.decoding, drawn_in=frame))
        return answers


def _frame_of(image_rgb: NDArray[np.uint8]) -> Frame:
    return Frame(height_px=image_rgb.shape[0], width_px=image_rgb.shape[1])


def padded(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image with its right and lower side mirrored outwards to the next multiple of 32."""
    height_px, width_px = image_rgb.shape[:2]
    bottom, right = -height_px % SIDE_MULTIPLE_PX, -width_px % SIDE_MULTIPLE_PX
    if not bottom and not right:
        return image_rgb
    # A mirror needs as many pixels as it adds; thinner images repeat their last row.
    mirrored = bottom < height_px and right < width_px
    border = cv2.BORDER_REFLECT_101 if mirrored else cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(image_rgb, 0, bottom, 0, right, border), np.uint8)
