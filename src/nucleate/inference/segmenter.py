"""What a model must be able to do to segment images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances


class Segmenter(Protocol):
    """A batch of RGB images in, one `Instances` an image out."""

    @property
    def name(self) -> str:
        """Return the model's name, for people."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes that `class_indices` count."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a short text that differs where weights or settings do."""
        ...

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        """Return the nuclei of each (H, W, 3) image in that image's frame; sizes may differ."""
        ...


@runtime_checkable
class OutlineSegmenter(Protocol):
    """A segmenter whose nuclei are outlines, not bitmaps: it can draw them at any size without loss."""

    def segment_into(self, images_rgb: Sequence[NDArray[np.uint8]], frames: Sequence[Frame]) -> list[Instances]:
        """Return the nuclei of each image, drawn in the frame that the image was resampled from."""
        ...
