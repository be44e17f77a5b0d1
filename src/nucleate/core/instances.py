"""The nuclei of one image, annotated or predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core.frame import Frame
from nucleate.core.masks import Masks
from nucleate.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instances:
    """N nuclei of one image. Zero nuclei is an ordinary value.

    Attributes:
        frame: the image's grid.
        boxes_xyxy: (N, 4) float32, half-open, pixels; a model's boxes need not hug their masks.
        masks: N masks in the same frame.
        class_indices: (N,) int64, 0-based.
        scores: (N,) float32 in [0, 1]; 1.0 for manual annotations.
    """

    frame: Frame
    boxes_xyxy: NDArray[np.float32]
    masks: Masks
    class_indices: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes_xyxy", np.asarray(self.boxes_xyxy, np.float32).reshape(-1, 4))
        object.__setattr__(self, "class_indices", np.asarray(self.class_indices, np.int64).reshape(-1))
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32).reshape(-1))
        counts = {len(self.boxes_xyxy), len(self.masks), len(self.class_indices), len(self.scores)}
        if len(counts) != 1:
            raise DataError(f"boxes, masks, classes and scores differ in number: {sorted(counts)}")
        if self.masks.frame.shape != self.frame.shape:
            raise DataError(f"masks of an image of {self.masks.frame.shape} in one of {self.frame.shape}")
        if not np.isfinite(self.boxes_xyxy).all():
            raise DataError("a box has a coordinate that is not a number")
        if len(self) and not (self.scores.min() >= 0 and self.scores.max() <= 1):
            raise DataError("a score lies outside 0 to 1")
        if len(self) and self.class_indices.min() < 0:
            raise DataError("a class index is negative")

    @classmethod
    def empty(cls, frame: Frame) -> Instances:
        """Return an image without nuclei."""
        return cls.from_masks(Masks.empty(frame))

    @classmethod
    def from_masks(
        cls,
        masks: Masks,
        *,
        class_indices: NDArray[np.int64] | None = None,
        scores: NDArray[np.float32] | None = None,
    ) -> Instances:
        """Return instances whose boxes hug their masks; class 0 and score 1.0 unless given."""
        count = len(masks)
        return cls(
            frame=masks.frame,
            boxes_xyxy=masks.cropped().windows_xyxy.astype(np.float32),
            masks=masks,
            class_indices=np.zeros(count, np.int64) if class_indices is None else class_indices,
            scores=np.ones(count, np.float32) if scores is None else scores,
        )

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def select(self, indices: NDArray[np.integer] | NDArray[np.bool_] | Sequence[int]) -> Instances:
        """Return the nuclei at the given indices (or where a boolean is true), in that order."""
        chosen = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else np.int64)]
        return Instances(
            frame=self.frame,
            boxes_xyxy=self.boxes_xyxy[chosen],
            masks=self.masks.select(chosen),
            class_indices=self.class_indices[chosen],
            scores=self.scores[chosen],
        )

    def above(self, score_threshold: float) -> Instances:
        """Return the nuclei whose score is greater than the threshold."""
        return self.select(self.scores > score_threshold)

    def without_empty_masks(self) -> Instances:
        """Return the nuclei that hold at least one pixel."""
        return self.select(self.masks.areas_px() > 0)
