"""Stain and scanner varied: haematoxylin and eosin in optical density, white point, hue, noise, blur.

Tellez et al., Medical Image Analysis 2019, for stain augmentation by colour deconvolution; ranges in `StainJitter`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core.stain import rgb_to_od
from nucleate.training.mask_rcnn.settings import StainJitter

# Ruifrok and Johnston 2001, unit vectors of optical density: haematoxylin, eosin.
LITERATURE_STAINS_OD = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])


def jitter_stain(
    image_rgb: NDArray[np.uint8],
    stains_od: NDArray[np.float64] | None,
    settings: StainJitter,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the image with other stain, light and sharpness, or unchanged with 1 - `settings.probability`.

    Args:
        image_rgb: (H, W, 3).
        stains_od: (2, 3) unit vectors of the image's haematoxylin and eosin; None takes the literature's.
        settings: ranges.
        rng: source of chance.
    """
    if rng.random() >= settings.probability:
        return image_rgb
    own = _basis(LITERATURE_STAINS_OD if stains_od is None else stains_od)
    target = _basis(own[:2] + rng.normal(scale=settings.matrix, size=(2, 3)))
    factors = np.array([_log_uniform(settings.haematoxylin, rng), _log_uniform(settings.eosin, rng), 1.0])
    mixing = np.linalg.inv(own) @ (factors[:, None] * target)
    bias = rng.normal(scale=settings.bias, size=2) @ target[:2]
    white = 255.0 * _log_uniform(settings.white, rng)
    od = rgb_to_od(image_rgb) @ mixing.astype(np.float32) + bias.astype(np.float32)
    changed = white * np.exp(-od)
    if settings.noise and rng.random() < 0.3:
        changed += rng.normal(scale=rng.uniform(0, settings.noise), size=changed.shape)
    result = np.clip(changed, 0, 255).astype(np.uint8)
    if settings.hue_degrees:
        result = _turn_hue(result, float(rng.normal(scale=settings.hue_degrees)))
    if settings.blur_px and rng.random() < 0.3:
        result = np.asarray(cv2.GaussianBlur(result, (0, 0), rng.uniform(0.2, max(0.21, settings.blur_px))), np.uint8)
    return result


def _basis(stains_od: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, 3) unit rows: the two stains and what is orthogonal to both, the residual."""
    unit = stains_od / np.linalg.norm(stains_od, axis=1, keepdims=True)
    residual = np.cross(unit[0], unit[1])
    return np.vstack([unit, residual / np.linalg.norm(residual)])


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _turn_hue(image_rgb: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    hsv = np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2HSV))
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + round(degrees / 2)) % 180
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
