"""Size and form of nuclei, by the definitions of scikit-image's `regionprops`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Masks
from nucleate.errors import ConfigError
from nucleate.measurement.hulls import convex_areas_px
from nucleate.measurement.strips import Strip, lay_in_strips, segment_sums

# Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator": the length that a border pixel
# stands for, by 1 for itself, 2 for each border pixel beside, above or below it, 10 for each at a corner.
PERIMETER_KERNEL = np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]], np.float32)
PERIMETER_LENGTHS = np.zeros(50)
PERIMETER_LENGTHS[[5, 7, 15, 17, 25, 27]] = 1.0
PERIMETER_LENGTHS[[21, 33]] = math.sqrt(2)
PERIMETER_LENGTHS[[13, 23]] = (1 + math.sqrt(2)) / 2
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShapeMeasurements:
    """Shapes of N nuclei, each (N,) float64; NaN for a mask without pixels.

    Attributes:
        area_um2: the pixels' area.
        perimeter_um: length of the border by Benkrid and Crookes' weights, holes included; 0 for a single pixel.
        major_axis_um: longer axis of the ellipse with the mask's second moments.
        minor_axis_um: shorter axis of that ellipse; 0 for a row of pixels.
        eccentricity: of that ellipse, 0 (a circle) to 1.
        solidity: area by the area of the convex hull in whole pixels, above 0 to 1.
        circularity: 4 pi area / perimeter^2, at most 1; 1 where the perimeter is 0. A disk has about 0.93, as a
            border of pixels measures a little long.
    """

    area_um2: NDArray[np.float64]
    perimeter_um: NDArray[np.float64]
    major_axis_um: NDArray[np.float64]
    minor_axis_um: NDArray[np.float64]
    eccentricity: NDArray[np.float64]
    solidity: NDArray[np.float64]
    circularity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.area_um2)

    def columns(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Iterate over names and arrays, in order."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))


def measure_shapes(masks: Masks, mpp: float) -> ShapeMeasurements:
    """Return the masks' shapes.

    Args:
        masks: N masks.
        mpp: micrometres a pixel.

    Raises:
        ConfigError: mpp is not a positive number.
    """
    require_mpp(mpp)
    area, perimeter, convex, spread_x, spread_y, mixed = np.full((6, len(masks)), np.nan)
    for strip in lay_in_strips(masks, padding_px=1):
        areas, *moments = _moments(strip)
        area[strip.indices] = areas
        perimeter[strip.indices] = _perimeters_px(strip)
        convex[strip.indices] = convex_areas_px(strip)
        spread_x[strip.indices], spread_y[strip.indices], mixed[strip.indices] = moments
    has_pixels = area > 0
    area[~has_pixels] = perimeter[~has_pixels] = np.nan
    # Eigenvalues of the covariance, the larger first; rounding may leave a line's smaller one below zero.
    middle, radius = (spread_x + spread_y) / 2, np.hypot((spread_x - spread_y) / 2, mixed)
    large, small = np.maximum(middle + radius, 0), np.maximum(middle - radius, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        eccentricity = np.where(large == 0, 0.0, np.sqrt(1 - small / large))
        circularity = np.minimum(4 * math.pi * area / perimeter**2, 1)
        solidity = area / convex
    return ShapeMeasurements(
        area_um2=area * mpp**2,
        perimeter_um=perimeter * mpp,
        major_axis_um=4 * np.sqrt(large) * mpp,
        minor_axis_um=4 * np.sqrt(small) * mpp,
        eccentricity=eccentricity,
        solidity=solidity,
        circularity=circularity,
    )


def require_mpp(mpp: float) -> None:
    """Raise ConfigError unless mpp is a positive number."""
    if not (math.isfinite(mpp) and mpp > 0):
        raise ConfigError(f"{mpp} um a pixel: measurements need a positive number")


def _moments(strip: Strip) -> tuple[NDArray[np.float64], ...]:
    """Return (n,) areas and central second moments xx, yy, xy a pixel; NaN moments without pixels."""
    # About the cell's middle, so that large cells lose no digits.
    xs = np.arange(strip.pixels.shape[1]) - strip.pixels.shape[1] / 2
    powers = np.stack([np.ones_like(xs), xs, xs**2], axis=1)
    ones, sum_x, sum_xx = (strip.pixels.astype(np.float64) @ powers).T
    heights = np.diff(strip.row_starts)
    ys = np.arange(len(ones)) - np.repeat((strip.row_starts[:-1] + strip.row_starts[1:]) / 2, heights)
    rows = np.stack([ones, sum_x, ones * ys, sum_xx, ones * ys**2, sum_x * ys], axis=1)
    sums = segment_sums(rows, heights)
    areas = sums[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y, mean_xx, mean_yy, mean_xy = (sums[:, 1:] / areas[:, None]).T
    return areas, mean_xx - mean_x**2, mean_yy - mean_y**2, mean_xy - mean_x * mean_y


def _perimeters_px(strip: Strip) -> NDArray[np.float64]:
    border = strip.pixels - cv2.erode(strip.pixels, CROSS)
    codes = cv2.filter2D(border, cv2.CV_8U, PERIMETER_KERNEL, borderType=cv2.BORDER_CONSTANT)
    places = np.flatnonzero(border.view(np.bool_))
    owners = strip.row_owners()[places // border.shape[1]]
    lengths = PERIMETER_LENGTHS[codes.reshape(-1)[places]]
    return np.bincount(owners, weights=lengths, minlength=len(strip.indices)).astype(np.float64)
