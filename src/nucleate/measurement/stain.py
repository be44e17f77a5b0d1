"""Haematoxylin and eosin inside nuclei and in rings around them, by colour deconvolution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Masks
from nucleate.errors import ConfigError, DataError
from nucleate.measurement.shapes import require_mpp
from nucleate.measurement.strips import lay_in_strips, segment_sums

# Ruifrok and Johnston 2001: optical densities in R, G, B of haematoxylin, eosin and DAB, as scikit-image's `rgb2hed`
# has them. The third stain takes up what neither of the first two explains; without it a third of a real eosin, which
# is bluer than this one, would count as haematoxylin.
STAINS_OD = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))


@dataclass(frozen=True, slots=True, kw_only=True)
class StainSettings:
    """How stain is measured.

    Attributes:
        white_rgb: intensities of light through glass, above 0 to 255; 255 unless the slide's own white is known.
        ring_um: how far the ring reaches from a nucleus; 2 um of cytoplasm lie around most nuclei.
        minimum_ring_px: the ring's least width, so that it has pixels at a low magnification too.
    """

    white_rgb: tuple[float, float, float] = (255.0, 255.0, 255.0)
    ring_um: float = 2.0
    minimum_ring_px: float = 2.0

    def __post_init__(self) -> None:
        if len(self.white_rgb) != 3 or not all(0 < white <= 255 for white in self.white_rgb):
            raise ConfigError(f"white_rgb is {self.white_rgb}: give three intensities above 0, at most 255")
        for name in ("ring_um", "minimum_ring_px"):
            width = getattr(self, name)
            if not (math.isfinite(width) and width >= 0):
                raise ConfigError(f"{name} is {width}: give a width of at least 0")

    def ring_px(self, mpp: float) -> float:
        """Return the ring's width in pixels of `mpp` micrometres."""
        # Rounded, as 0.6 um of 0.2 um a pixel are 3 px and not a hair less.
        return round(max(self.ring_um / mpp, self.minimum_ring_px), 6)


DEFAULT_STAIN = StainSettings()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StainMeasurements:
    """Stain of N nuclei, each (N,) float64; NaN where there is no pixel.

    Optical densities are to base 10, as in QuPath: 1 lets a tenth of the light through. Noise and other dyes may make
    them negative. Deviations are over the pixels, divided by their number.

    Attributes:
        haematoxylin_od_mean: mean haematoxylin inside the nucleus.
        haematoxylin_od_sd: its standard deviation.
        eosin_od_mean: mean eosin inside the nucleus.
        eosin_od_sd: its standard deviation.
        ring_haematoxylin_od_mean: mean haematoxylin in the ring: pixels of no nucleus whose centre is at most the
            ring's width from a pixel centre of this nucleus.
        ring_haematoxylin_od_sd: its standard deviation.
        ring_eosin_od_mean: mean eosin in the ring.
        ring_eosin_od_sd: its standard deviation.
    """

    haematoxylin_od_mean: NDArray[np.float64]
    haematoxylin_od_sd: NDArray[np.float64]
    eosin_od_mean: NDArray[np.float64]
    eosin_od_sd: NDArray[np.float64]
    ring_haematoxylin_od_mean: NDArray[np.float64]
    ring_haematoxylin_od_sd: NDArray[np.float64]
    ring_eosin_od_mean: NDArray[np.float64]
    ring_eosin_od_sd: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.haematoxylin_od_mean)

    def columns(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Iterate over names and arrays, in order."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))


def measure_stain(
    image_rgb: NDArray[np.uint8], masks: Masks, *, mpp: float, settings: StainSettings = DEFAULT_STAIN
) -> StainMeasurements:
    """Return the stain inside the nuclei and around them.

    Rings end at the image's border, and at the other nuclei of `masks` only: pass all nuclei of the image.

    Args:
        image_rgb: (H, W, 3) pixels of the masks' frame.
        masks: N masks.
        mpp: micrometres a pixel.
        settings: white and the ring's width.

    Raises:
        DataError: the image's size is not the frame's.
        ConfigError: mpp is not a positive number.
    """
    require_mpp(mpp)
    if image_rgb.shape != (*masks.frame.shape, 3):
        raise DataError(f"an image of shape {image_rgb.shape} with masks of one of shape {masks.frame.shape}")
    ring_px = settings.ring_px(mpp)
    margin_px = int(ring_px)
    reach = _disk(ring_px)
    rgba, occupied = _with_margin(image_rgb, masks, margin_px)
    unmixing = _Unmixing(settings)
    measured = np.full((8, len(masks)), np.nan)
    for strip in lay_in_strips(masks, padding_px=margin_px):
        cells = strip.cut_out(rgba)
        is_inside = strip.pixels.view(np.bool_)
        is_reached = cv2.dilate(strip.pixels, reach, borderType=cv2.BORDER_CONSTANT, borderValue=0).view(np.bool_)
        is_ring = is_reached & ~strip.cut_out(occupied)
        for first, is_chosen in ((0, is_inside), (4, is_ring)):
            row_counts = cv2.reduce(is_chosen.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_64F)
            counts = segment_sums(np.asarray(row_counts[:, 0], np.float64), np.diff(strip.row_starts)).astype(np.int64)
            stains = unmixing.stains(cells[is_chosen])
            measured[first : first + 4, strip.indices] = _means_and_deviations(stains, counts)
    names = [field.name for field in fields(StainMeasurements)]
    return StainMeasurements(**dict(zip(names, measured, strict=True)))


def _with_margin(
    image_rgb: NDArray[np.uint8], masks: Masks, margin_px: int
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return the image, four bytes a pixel, and where it's a nucleus or the margin, so that no ring leaves the image.

    Both are (H + 2 margin_px, W + 2 margin_px).
    """
    height, width = masks.frame.shape
    padded = np.zeros((height + 2 * margin_px, width + 2 * margin_px, 4), np.uint8)
    occupied = np.ones(padded.shape[:2], np.bool_)
    inner = slice(margin_px, margin_px + height), slice(margin_px, margin_px + width)
    padded[inner] = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2RGBA)
    nuclei = occupied[inner]
    nuclei[:] = False
    for (x1, y1, x2, y2), bitmap in zip(masks.windows_xyxy.tolist(), masks, strict=True):
        nuclei[y1:y2, x1:x2] |= bitmap
    return padded.view(np.uint32)[..., 0], occupied


class _Unmixing:
    """Colour deconvolution into haematoxylin and eosin."""

    def __init__(self, settings: StainSettings) -> None:
        # Black counts as 1 of 255: the logarithm of 0 is no density.
        intensities = np.maximum(np.arange(256), 1)[:, None]
        self._densities = np.zeros((256, 1, 4), np.float32)
        self._densities[:, 0, :3] = -np.log10(intensities / np.asarray(settings.white_rgb))
        self._weights = np.zeros((2, 4), np.float32)
        self._weights[:, :3] = np.linalg.inv(np.asarray(STAINS_OD))[:, :2].T

    def stains(self, rgba: NDArray[np.uint32]) -> NDArray[np.float64]:
        """Return (2, M) densities of haematoxylin and eosin of M pixels."""
        if len(rgba) == 0:
            return np.zeros((2, 0))
        densities = cv2.LUT(rgba.view(np.uint8).reshape(-1, 1, 4), self._densities).reshape(-1, 4)
        return (self._weights @ densities.T).astype(np.float64)


def _means_and_deviations(stains: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (4, n): mean and deviation of the first stain, then of the second; NaN for a run without pixels."""
    rows = []
    for stain in stains:
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = segment_sums(stain, counts) / counts
            variance = segment_sums(stain**2, counts) / counts - mean**2
        rows += [mean, np.sqrt(np.maximum(variance, 0))]
    return np.stack(rows)


def _disk(radius_px: float) -> NDArray[np.uint8]:
    """Return the square bitmap of the pixels at most a radius from its middle."""
    reach = np.arange(-int(radius_px), int(radius_px) + 1) ** 2
    return (reach[:, None] + reach <= radius_px**2).astype(np.uint8)
