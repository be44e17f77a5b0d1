"""Stain in optical density: Macenko's two vectors, Reinhard's colour statistics, normalisation towards a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.errors import ConfigError

StainMethod = Literal["macenko", "reinhard"]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class StainMatrix:
    """Haematoxylin and eosin of one image.

    Attributes:
        haematoxylin_od: unit vector of optical densities, order R, G, B.
        eosin_od: the same for eosin.
        concentrations_p99: 99th percentile of the tissue's haematoxylin and eosin concentration.
    """

    haematoxylin_od: Triple
    eosin_od: Triple
    concentrations_p99: tuple[float, float]

    def vectors(self) -> NDArray[np.float64]:
        """Return (2, 3): haematoxylin, eosin."""
        return np.array([self.haematoxylin_od, self.eosin_od], np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatistics:
    """Mean and deviation of an image's tissue in CIELAB (L 0..100, a and b about -128..127)."""

    mean: Triple
    deviation: Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class StainFit:
    """What counts as stained tissue, and how Macenko's extremes are taken.

    Attributes:
        white: intensity of light through glass; 240 is what the reference's numbers were made with, and nearer to
            what scanners write for glass than 255.
        minimum_od: a pixel whose channels all lie below is glass (Macenko 2009: beta = 0.15).
        percentile: of the angles in the plane, from either end (Macenko 2009: alpha = 1).
        minimum_tissue: share of the image that must be tissue; less is glass.
        minimum_p99: total concentration that the strongest percent must reach; less is pale.
        minimum_angle_degrees: between the two vectors; less is one stain, which has no second one to scale.
    """

    white: float = 240.0
    minimum_od: float = 0.15
    percentile: float = 1.0
    minimum_tissue: float = 0.05
    minimum_p99: float = 0.3
    minimum_angle_degrees: float = 8.0


DEFAULT_FIT = StainFit()

# Macenko 2009 as its widely used implementation states the reference (natural logarithm, white 240).
MACENKO_REFERENCE = StainMatrix(
    haematoxylin_od=(0.5626, 0.7201, 0.4062),
    eosin_od=(0.2159, 0.8012, 0.5581),
    concentrations_p99=(1.9705, 1.0308),
)


def rgb_to_od(image: NDArray[np.uint8], white: float = 255.0) -> NDArray[np.float32]:
    """Return optical densities, -ln(intensity / white), of the image's shape; black counts as 1 of 255.

    Beer and Lambert: densities of stains add up where intensities multiply.
    """
    table = -np.log(np.maximum(np.arange(256), 1) / white)
    return np.asarray(table.astype(np.float32)[image])


def od_to_rgb(od: NDArray[np.floating], white: float = 255.0) -> NDArray[np.uint8]:
    """Return the 8-bit image of optical densities, the inverse of `rgb_to_od`; clipped to 0..255."""
    return np.asarray(np.clip(np.rint(white * np.exp(-od)), 0, 255), np.uint8)


def fit_macenko(image: NDArray[np.uint8], fit: StainFit = DEFAULT_FIT) -> StainMatrix | None:
    """Return the two stain vectors of an H&E image (Macenko 2009), None for a pale, glass or one-stain image.

    Args:
        image: (H, W, 3) RGB.
        fit: thresholds.
    """
    # Pixel noise widens the angles' extremes and so tilts both vectors outwards; a small blur keeps the stains.
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.8), np.uint8)
    return fit_macenko_pixels(blurred.reshape(-1, 3), fit)


def fit_macenko_pixels(pixels: NDArray[np.uint8], fit: StainFit = DEFAULT_FIT) -> StainMatrix | None:
    """Return the two stain vectors of (N, 3) RGB colours that are free of noise (see `fit_macenko`)."""
    od = rgb_to_od(pixels, fit.white).astype(np.float64)
    tissue = od[(od > fit.minimum_od).any(axis=1)]
    if len(tissue) < max(16, fit.minimum_tissue * len(od)):
        return None
    _, axes = np.linalg.eigh(np.cov(tissue, rowvar=False))
    plane = axes[:, [2, 1]]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    projected = tissue @ plane
    angles = np.arctan2(projected[:, 1], projected[:, 0])
    low, high = np.percentile(angles, [fit.percentile, 100 - fit.percentile])
    if math.degrees(high - low) < fit.minimum_angle_degrees:
        return None
    pair = [_unit(plane @ np.array([math.cos(angle), math.sin(angle)])) for angle in (low, high)]
    # Haematoxylin absorbs red, eosin hardly does.
    haematoxylin, eosin = sorted(pair, key=lambda vector: -vector[0])
    concentrations = _concentrations(tissue, np.stack([haematoxylin, eosin]))
    p99 = np.percentile(concentrations, 99, axis=1)
    if p99.min() <= 0 or p99.sum() < fit.minimum_p99:
        return None
    return StainMatrix(
        haematoxylin_od=_triple(haematoxylin),
        eosin_od=_triple(eosin),
        concentrations_p99=(round(float(p99[0]), 6), round(float(p99[1]), 6)),
    )


def fit_reinhard(image: NDArray[np.uint8], fit: StainFit = DEFAULT_FIT) -> LabStatistics | None:
    """Return the colour statistics of an image's tissue (Reinhard 2001, in CIELAB), None for pale and glass images.

    Args:
        image: (H, W, 3) RGB.
        fit: thresholds.
    """
    od = rgb_to_od(image, fit.white)
    tissue = (od > fit.minimum_od).any(axis=2)
    if tissue.sum() < max(16, fit.minimum_tissue * tissue.size):
        return None
    if np.percentile(np.linalg.norm(od[tissue], axis=1), 99) < fit.minimum_p99:
        return None
    lab = _lab(image)[tissue].astype(np.float64)
    deviation = lab.std(axis=0)
    if deviation.min() < 1e-3:
        return None
    return LabStatistics(mean=_triple(lab.mean(axis=0)), deviation=_triple(deviation))


def median_statistics(statistics: Sequence[LabStatistics]) -> LabStatistics:
    """Return the median of at least one image's statistics, number by number."""
    return LabStatistics(
        mean=_triple(np.median([each.mean for each in statistics], axis=0)),
        deviation=_triple(np.median([each.deviation for each in statistics], axis=0)),
    )


# Of each channel: what the image itself shows for glass, a few hot pixels aside.
WHITE_PERCENTILE = 99.5

# Noise in optical density grows by this at most; above it one of the stains is hardly there.
MAX_NOISE_GAIN = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StainNormalisation:
    """Images moved to a reference's stain; recorded with a data set and a model, so that it is done again alike.

    Attributes:
        method: `macenko` scales the two stains' concentrations, `reinhard` shifts colours in CIELAB.
        macenko_reference: used by `macenko`.
        reinhard_reference: used by `reinhard`, a data set's own median.
    """

    method: StainMethod
    macenko_reference: StainMatrix | None = None
    reinhard_reference: LabStatistics | None = None

    def __post_init__(self) -> None:
        given = {"macenko": self.macenko_reference is not None, "reinhard": self.reinhard_reference is not None}
        if [method for method, is_given in given.items() if is_given] != [self.method]:
            raise ConfigError(f"stain normalisation {self.method!r} needs its own reference and no other")

    @classmethod
    def macenko(cls, reference: StainMatrix = MACENKO_REFERENCE) -> StainNormalisation:
        """Return Macenko's method towards the literature's reference, or another."""
        return cls(method="macenko", macenko_reference=reference)

    @classmethod
    def reinhard(cls, reference: LabStatistics) -> StainNormalisation:
        """Return Reinhard's method towards a reference."""
        return cls(method="reinhard", reinhard_reference=reference)

    def apply(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the (H, W, 3) image in the reference's stain; pale and glass images come back unchanged."""
        if self.macenko_reference is not None:
            return _apply_macenko(image_rgb, self.macenko_reference)
        if self.reinhard_reference is not None:
            return _apply_reinhard(image_rgb, self.reinhard_reference)
        return image_rgb

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values that JSON and YAML hold."""
        numbers: dict[str, Any] = {}
        if self.macenko_reference is not None:
            numbers["haematoxylin_od"] = list(self.macenko_reference.haematoxylin_od)
            numbers["eosin_od"] = list(self.macenko_reference.eosin_od)
            numbers["concentrations_p99"] = list(self.macenko_reference.concentrations_p99)
        if self.reinhard_reference is not None:
            numbers["lab_mean"] = list(self.reinhard_reference.mean)
            numbers["lab_deviation"] = list(self.reinhard_reference.deviation)
        return {"method": self.method, **numbers}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StainNormalisation:
        """Return what `to_dict` gave.

        Raises:
            ConfigError: an unknown method, or a number is missing or not finite.
        """
        match value.get("method"):
            case "macenko":
                return cls.macenko(
                    StainMatrix(
                        haematoxylin_od=_numbers3(value, "haematoxylin_od"),
                        eosin_od=_numbers3(value, "eosin_od"),
                        concentrations_p99=_numbers(value, "concentrations_p99", 2)[:2],  # type: ignore[arg-type]
                    )
                )
            case "reinhard":
                return cls.reinhard(
                    LabStatistics(mean=_numbers3(value, "lab_mean"), deviation=_numbers3(value, "lab_deviation"))
                )
            case other:
                raise ConfigError(f"unknown stain normalisation {other!r}: macenko or reinhard", item="stain.method")


def _apply_macenko(image: NDArray[np.uint8], reference: StainMatrix) -> NDArray[np.uint8]:
    white = np.percentile(image.reshape(-1, 3), WHITE_PERCENTILE, axis=0)
    if white.min() < 1:
        return image
    # Scanners and microscopes differ in what they write for glass (NuInsSeg's brightest pixels are near 154, 120,
    # 132). Against a white that no pixel has, both stains lie close together and their difference is noise.
    balanced = np.asarray(np.clip(np.rint(image * (DEFAULT_FIT.white / white)), 0, 255), np.uint8)
    fitted = fit_macenko(balanced)
    if fitted is None:
        return image
    scale = np.array(reference.concentrations_p99) / np.array(fitted.concentrations_p99)
    moved = reference.vectors().T @ np.diag(scale) @ np.linalg.pinv(fitted.vectors().T)
    if np.linalg.norm(moved, 2) > MAX_NOISE_GAIN:
        return image
    od = rgb_to_od(balanced, DEFAULT_FIT.white) @ moved.T.astype(np.float32)
    return od_to_rgb(od, DEFAULT_FIT.white)


def _apply_reinhard(image: NDArray[np.uint8], reference: LabStatistics) -> NDArray[np.uint8]:
    fitted = fit_reinhard(image)
    if fitted is None:
        return image
    scale = np.array(reference.deviation) / np.array(fitted.deviation)
    lab = (_lab(image) - np.array(fitted.mean)) * scale + np.array(reference.mean)
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(np.rint(rgb * 255), 0, 255), np.uint8)


def _concentrations(od: NDArray[np.floating], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (2, N) amounts of the two stains in (N, 3) densities, by least squares."""
    # As lstsq does, which for so many right-hand sides starts threads that mostly wait for each other.
    return np.asarray(np.linalg.pinv(vectors.T, rcond=3 * np.finfo(np.float64).eps) @ od.T.astype(np.float64))


def _lab(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    # Stains absorb: noise may tilt a vector a little below zero in the channel that its stain lets through.
    clipped = np.maximum(vector, 0.0)
    return np.asarray(clipped / max(float(np.linalg.norm(clipped)), 1e-12))


def _triple(values: NDArray[np.floating]) -> Triple:
    first, second, third = (round(float(value), 6) for value in values)
    return first, second, third


def _numbers(value: Mapping[str, Any], key: str, count: int) -> tuple[float, ...]:
    numbers = value.get(key)
    fits = isinstance(numbers, (list, tuple)) and len(numbers) == count
    if not fits or not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers or ()):
        raise ConfigError(f"{count} numbers are needed, found {numbers!r}", item=f"stain.{key}")
    return tuple(float(number) for number in numbers or ())


def _numbers3(value: Mapping[str, Any], key: str) -> Triple:
    first, second, third = _numbers(value, key, 3)
    return first, second, third
