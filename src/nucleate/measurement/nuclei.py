"""All that is measured of a nucleus in its image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Masks
from nucleate.errors import DataError
from nucleate.measurement.shapes import ShapeMeasurements, measure_shapes
from nucleate.measurement.stain import DEFAULT_STAIN, StainMeasurements, StainSettings, measure_stain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NucleusMeasurements:
    """Shape and stain of N nuclei.

    Attributes:
        shapes: of N nuclei.
        stain: of the same nuclei.
    """

    shapes: ShapeMeasurements
    stain: StainMeasurements

    def __post_init__(self) -> None:
        if len(self.shapes) != len(self.stain):
            raise DataError(f"shapes of {len(self.shapes)} nuclei with stain of {len(self.stain)}")

    def __len__(self) -> int:
        return len(self.shapes)

    def columns(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Iterate over names and (N,) arrays in the order of `NUCLEUS_COLUMNS`."""
        return chain(self.shapes.columns(), self.stain.columns())


def measure_nuclei(
    image_rgb: NDArray[np.uint8], masks: Masks, *, mpp: float, settings: StainSettings = DEFAULT_STAIN
) -> NucleusMeasurements:
    """Return the nuclei's shape and stain; a mask without pixels has NaN everywhere.

    Args:
        image_rgb: (H, W, 3) pixels of the masks' frame.
        masks: N masks: all nuclei of the image, as rings leave all of them out.
        mpp: micrometres a pixel.
        settings: white and the ring's width.

    Raises:
        DataError: the image's size is not the frame's.
        ConfigError: mpp is not a positive number.
    """
    return NucleusMeasurements(
        shapes=measure_shapes(masks, mpp), stain=measure_stain(image_rgb, masks, mpp=mpp, settings=settings)
    )
