"""Crops of training images: any rotation, flip and scale; several images side by side where one is too small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.models.star_convex.rays import GRID_PX
from nucleate.training.star_convex.images import AnnotatedImage
from nucleate.training.star_convex.settings import Geometry
from nucleate.training.star_convex.targets import UNKNOWN, Patch, trace_patch

_MOSAIC_BELOW = 0.8
"""An image whose shorter side fills less of the crop than this shares it with three others."""
_SEAM_SHARE = (0.35, 0.65)
_FINE_BELOW = 0.8
"""Smaller scales are taken at twice the size and averaged: no aliasing."""

Window = tuple[int, int, int, int]
Recolour = Callable[[NDArray[np.uint8], AnnotatedImage, np.random.Generator], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """What the network sees of one crop and should answer; h and w are half its sides.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        labels: (h, w) int32, 0 outside of nuclei, -1 unknown; numbers of different images may be equal.
        depth: (h, w) float32, 0..1.
        distances_px: (K, 32) float32, of the cells with a positive label, row by row.
        visible: (K, 32) bool.
    """

    image_rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    depth: NDArray[np.float32]
    distances_px: NDArray[np.float32]
    visible: NDArray[np.bool_]


def take_crop(
    first: AnnotatedImage,
    magnification: float,
    others: Callable[[], tuple[AnnotatedImage, float]],
    geometry: Geometry,
    recolour: Recolour,
    rng: np.random.Generator,
) -> Crop:
    """Return a random crop.

    Args:
        first: the image that the crop is for.
        magnification: what brings it to the working scale.
        others: draws another image and its magnification, for mosaics.
        geometry: what is varied.
        recolour: changes a patch's colours.
        rng: source of chance.
    """
    side = geometry.crop_px
    variation = _draw_scale(geometry, rng)
    shorter_px = min(first.image_rgb.shape[:2]) * magnification * variation
    image = np.zeros((side, side, 3), np.uint8)
    cells = side // GRID_PX
    labels, depth = np.zeros((cells, cells), np.int32), np.zeros((cells, cells), np.float32)
    distances = np.zeros((cells, cells, 0), np.float32)
    visible = np.zeros((cells, cells, 0), np.bool_)
    for window in _windows(side, rng, mosaic=shorter_px < _MOSAIC_BELOW * side):
        source, scale = (first, magnification) if window[:2] == (0, 0) else others()
        patch = _draw_patch(source, window, scale * variation, geometry, rng)
        x1, y1, x2, y2 = window
        image[y1:y2, x1:x2] = recolour(_pixels(source.image_rgb, patch), source, rng)
        traced = trace_patch(source.labels, patch)
        rows = slice(y1 // GRID_PX, y2 // GRID_PX), slice(x1 // GRID_PX, x2 // GRID_PX)
        labels[rows] = traced.labels
        depth[rows] = np.where(traced.labels > 0, np.maximum(_depth(source.depth, patch), 1 / 255), 0)
        if not distances.shape[2]:
            rays = traced.distances_px.shape[1]
            distances, visible = np.zeros((cells, cells, rays), np.float32), np.zeros((cells, cells, rays), np.bool_)
        distances[rows][traced.labels > 0] = traced.distances_px
        visible[rows][traced.labels > 0] = traced.visible
    return Crop(
        image_rgb=image,
        labels=labels,
        depth=depth,
        distances_px=distances[labels > 0],
        visible=visible[labels > 0],
    )


def _draw_scale(geometry: Geometry, rng: np.random.Generator) -> float:
    bounds = geometry.wide_scale if rng.random() < geometry.wide_share else geometry.usual_scale
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _windows(side: int, rng: np.random.Generator, *, mosaic: bool) -> list[Window]:
    if not mosaic:
        return [(0, 0, side, side)]
    x, y = (GRID_PX * round(side * rng.uniform(*_SEAM_SHARE) / GRID_PX) for _ in range(2))
    return [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]


def _draw_patch(
    source: AnnotatedImage,
    window: Window,
    scale: float,
    geometry: Geometry,
    rng: np.random.Generator,
) -> Patch:
    free = rng.random() < geometry.free_rotation
    angle = rng.uniform(0, 2 * np.pi) if free else np.pi / 2 * rng.integers(4)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.exp(rng.uniform(-geometry.aspect, geometry.aspect) / 2)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    to_image = np.linalg.inv(scale * np.diag([stretch, flip / stretch]) @ turn)
    x1, y1, x2, y2 = window
    half_px = np.abs(to_image) @ np.array([(x2 - x1) / 2, (y2 - y1) / 2])
    height_px, width_px = source.labels.shape
    centre = [
        rng.uniform(half, length - half) if length > 2 * half else rng.uniform(length - half, half)
        for half, length in zip(half_px, (width_px, height_px), strict=True)
    ]
    shift = np.array(centre) - to_image @ np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    return Patch(window_xyxy=window, to_image=np.concatenate([to_image, shift[:, None]], axis=1))


def _pixels(image_rgb: NDArray[np.uint8], patch: Patch) -> NDArray[np.uint8]:
    scale = float(np.abs(np.linalg.det(patch.to_image[:, :2])) ** -0.5)
    if scale >= _FINE_BELOW:
        return np.asarray(_sampled(image_rgb, patch, 1.0), np.uint8)
    x1, y1, x2, y2 = patch.window_xyxy
    fine = _sampled(image_rgb, patch, 0.5)
    return np.asarray(cv2.resize(fine, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA), np.uint8)


def _depth(depth: NDArray[np.uint8], patch: Patch) -> NDArray[np.float32]:
    return np.asarray(_sampled(depth, patch, float(GRID_PX)), np.float32) / np.float32(255)


def _sampled(image: NDArray[np.uint8], patch: Patch, pixel_px: float) -> NDArray[np.uint8]:
    """Return the patch with pixels of `pixel_px` crop pixels; what lies beyond the image is its mirror image."""
    x1, y1, x2, y2 = patch.window_xyxy
    linear = patch.to_image[:, :2] * pixel_px
    start = patch.to_image[:, :2] @ np.array([x1, y1]) + patch.to_image[:, 2]
    # OpenCV counts from the first pixel's centre.
    shift = start + linear @ np.array([0.5, 0.5]) - 0.5
    matrix = np.concatenate([linear, shift[:, None]], axis=1)
    size = round((x2 - x1) / pixel_px), round((y2 - y1) / pixel_px)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def known_cells(crop: Crop) -> NDArray[np.bool_]:
    """Return (h, w): cells that lie in an image and in no crowd."""
    return np.asarray(crop.labels != UNKNOWN)
