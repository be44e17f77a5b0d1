"""Other laboratories' stains, scanners and focus, drawn at random for each crop.

Stain in optical density after Tellez et al. (Medical Image Analysis 2019), the white point and CIELAB statistics
because a model that sees one scanner's brightness meets every other as a stranger.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core.stain import rgb_to_od
from nucleate.training.mask_rcnn.stain_jitter import LITERATURE_STAINS_OD
from nucleate.training.star_convex.images import AnnotatedImage
from nucleate.training.star_convex.settings import Appearance, Range

# Unit vectors of optical density of other laboratories lie in these ranges (Macenko's method on 110 fields of ten
# cancers): lowest and highest R, G, B.
_HAEMATOXYLIN_OD = np.array([[0.38, 0.64, 0.30], [0.68, 0.82, 0.48]])
_EOSIN_OD = np.array([[0.07, 0.65, 0.25], [0.30, 0.95, 0.72]])
# CIELAB means and deviations of tissue: L 0..100, a, b.
_LAB_MEANS = np.array([[35.0, 2.0, -26.0], [86.0, 36.0, 4.0]])
_LAB_DEVIATIONS = np.array([[5.0, 3.0, 3.0], [25.0, 13.0, 11.0]])

Image = NDArray[np.float32]


def vary_appearance(
    image_rgb: NDArray[np.uint8], source: AnnotatedImage, settings: Appearance, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the pixels as another laboratory might have taken them.

    Args:
        image_rgb: (H, W, 3) part of the source, geometry already varied.
        source: whose stains and white point are known.
        settings: what is varied how often.
        rng: source of chance.
    """
    if rng.random() < settings.untouched:
        return image_rgb
    image = image_rgb.astype(np.float32)
    if rng.random() < settings.stain:
        image = _stain(image_rgb, source, settings, rng)
    if rng.random() < settings.lab:
        image = _towards_other_lab(image, rng)
    if rng.random() < settings.colour:
        image = _colour(image, rng)
    if rng.random() < settings.focus:
        image = _focus(image, rng)
    if rng.random() < settings.noise:
        image = image + rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 8))
    result = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if rng.random() < settings.jpeg:
        quality = int(rng.integers(25, 91))
        _, code = cv2.imencode(".jpg", result[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        result = np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[:, :, ::-1])
    return result


def _stain(
    image_rgb: NDArray[np.uint8], source: AnnotatedImage, settings: Appearance, rng: np.random.Generator
) -> Image:
    own = LITERATURE_STAINS_OD if source.stains_od is None else source.stains_od
    target = own
    if rng.random() >= settings.own_matrix:
        other = np.stack([rng.uniform(*_HAEMATOXYLIN_OD), rng.uniform(*_EOSIN_OD)])
        target = own + rng.uniform() * (_unit(other) - own)
    target = _basis(target + rng.normal(scale=settings.matrix, size=(2, 3)))
    factors = np.array(
        [_factor(settings.haematoxylin, rng), _factor(settings.eosin, rng), _factor(settings.residual, rng)]
    )
    bias = rng.normal(scale=settings.bias, size=2) @ target[:2]
    mixing = np.linalg.inv(_basis(own)) @ (factors[:, None] * target)
    od = (rgb_to_od(image_rgb) - source.white_od.astype(np.float32)) @ mixing.astype(np.float32)
    od = od + (bias + _white_od(source, settings, rng)).astype(np.float32)
    return np.asarray(255 * np.exp(-np.maximum(od, 0)), np.float32)


def _white_od(source: AnnotatedImage, settings: Appearance, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the optical density of the new background: a scanner's white, a bit of the own one, or a tinted grey."""
    kind = rng.random()
    if kind < 0.4:
        return rng.uniform(0, settings.white_od) + rng.normal(scale=0.015, size=3)
    if kind < 0.8:
        return rng.uniform() * source.white_od
    return np.asarray(rng.uniform(0, settings.grey_od) * rng.uniform(0.6, 1.0, size=3), np.float64)


def _towards_other_lab(image: Image, rng: np.random.Generator) -> Image:
    """Return the image with CIELAB mean and deviation moved towards drawn ones (Reinhard et al. 2001)."""
    lab = np.asarray(cv2.cvtColor(np.clip(image / 255, 0, 1), cv2.COLOR_RGB2LAB), np.float32)
    pixels = lab.reshape(-1, 3)
    mean, deviation = pixels.mean(axis=0), pixels.std(axis=0) + 1
    share = rng.uniform(0.3, 1.0)
    wanted_mean = mean + share * (rng.uniform(*_LAB_MEANS) - mean)
    # A pale field stays pale: the spread grows by half at most.
    ratio = np.clip(rng.uniform(*_LAB_DEVIATIONS) / deviation, 0.6, 1.6) ** share
    moved = (lab - mean) * ratio.astype(np.float32) + wanted_mean.astype(np.float32)
    return np.asarray(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_LAB2RGB) * 255, np.float32)


def _colour(image: Image, rng: np.random.Generator) -> Image:
    saturation = rng.uniform(0.0, 0.3) if rng.random() < 0.15 else rng.uniform(0.6, 1.5)
    mixing = _hue_matrix(np.deg2rad(rng.normal(scale=9.0)))
    grey = np.full((3, 3), 1 / 3)
    mixing = (grey + saturation * (np.eye(3) - grey)) @ mixing
    mixing = mixing * rng.uniform(0.94, 1.06, size=3)[:, None]
    contrast = rng.uniform(0.75, 1.25)
    turned = image @ (contrast * mixing.T).astype(np.float32)
    middle = image.mean(axis=(0, 1)) * (1 - contrast)
    turned = turned + (middle + rng.uniform(-22, 22)).astype(np.float32)
    gamma = np.exp(rng.uniform(*np.log([0.7, 1.4])))
    return np.asarray(255 * np.clip(turned / 255, 0, 1) ** np.float32(gamma), np.float32)


def _focus(image: Image, rng: np.random.Generator) -> Image:
    kind = rng.random()
    if kind < 0.45:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6)), np.float32)
    if kind < 0.7:
        soft = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.5)), np.float32)
        return image + np.float32(rng.uniform(0.3, 1.2)) * (image - soft)
    height, width = image.shape[:2]
    share = rng.uniform(0.4, 0.8)
    small = cv2.resize(
        image, (max(1, round(width * share)), max(1, round(height * share))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _hue_matrix(angle: float) -> NDArray[np.float64]:
    """Return the rotation of RGB about the grey axis (Rodrigues)."""
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross, np.float64)


def _basis(stains_od: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, 3) unit rows: the two stains and what is orthogonal to both, the residual."""
    unit = _unit(stains_od)
    residual = np.cross(unit[0], unit[1])
    return np.vstack([unit, residual / np.linalg.norm(residual)])


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float64)


def _factor(bounds: Range, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))
