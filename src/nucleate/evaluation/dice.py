"""Dice of the foreground: all nuclei of an image together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.evaluation.matching import Overlaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreground:
    """Pixels of nuclei; images can be added up.

    Attributes:
        annotated_px: pixels of any annotated nucleus.
        predicted_px: pixels of any predicted nucleus.
        shared_px: pixels of both.
    """

    annotated_px: int
    predicted_px: int
    shared_px: int

    @property
    def dice(self) -> float:
        """Return 2 |G and P| / (|G| + |P|), 0 to 1; 0 where both are empty."""
        total = self.annotated_px + self.predicted_px
        return 2 * self.shared_px / total if total else 0.0

    def __add__(self, other: Foreground) -> Foreground:
        return Foreground(
            annotated_px=self.annotated_px + other.annotated_px,
            predicted_px=self.predicted_px + other.predicted_px,
            shared_px=self.shared_px + other.shared_px,
        )

    @classmethod
    def of_bitmaps(cls, annotated: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Foreground:
        """Return the pixels of two (H, W) foregrounds."""
        return cls(
            annotated_px=int(np.count_nonzero(annotated)),
            predicted_px=int(np.count_nonzero(predicted)),
            shared_px=int(np.count_nonzero(annotated & predicted)),
        )

    @classmethod
    def of_label_maps(cls, overlaps: Overlaps) -> Foreground:
        """Return the pixels of two label maps; in masks that overlap one another shared pixels count twice."""
        return cls(
            annotated_px=int(overlaps.annotated_areas_px.sum()),
            predicted_px=int(overlaps.predicted_areas_px.sum()),
            shared_px=int(overlaps.intersections_px.sum()),
        )


def foreground_dice(overlaps: Overlaps) -> float:
    """Return 2 |G and P| / (|G| + |P|) of two label maps, in [0, 1]; 0 where both are empty."""
    return Foreground.of_label_maps(overlaps).dice
