"""Rotation, scale, crop, flips and stain of a training image; masks are moved, boxes taken from them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks
from nucleate.training.mask_rcnn.settings import Augmentation


def random_affine(frame: Frame, settings: Augmentation, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from image to crop, in pixel-edge coordinates.

    The crop's centre is drawn so that the crop stays inside the image where it can.
    """
    scale = settings.magnification * float(np.exp(rng.uniform(*np.log(settings.scale))))
    angle = np.deg2rad(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag([
        -1.0 if rng.random() < settings.horizontal_flip else 1.0,
        -1.0 if rng.random() < settings.vertical_flip else 1.0,
    ])  # fmt: skip
    linear = scale * turn @ flip
    half_px = settings.crop_px / (2 * scale)
    centre = [
        rng.uniform(half_px, side - half_px) if side > 2 * half_px else rng.uniform(side - half_px, half_px)
        for side in (frame.width_px, frame.height_px)
    ]
    shift = settings.crop_px / 2 - linear @ np.array(centre)
    return np.concatenate([linear, shift[:, None]], axis=1)


def warp_image(image_rgb: NDArray[np.uint8], affine: NDArray[np.float64], crop_px: int) -> NDArray[np.uint8]:
    """Return the (crop_px, crop_px, 3) crop; what lies beyond the image gets its median colour."""
    fill = [float(value) for value in np.median(image_rgb[::8, ::8].reshape(-1, 3), axis=0)]
    warped = cv2.warpAffine(
        image_rgb,
        _pixel_affine(affine),
        (crop_px, crop_px),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=fill,
    )
    return np.asarray(warped, np.uint8)


def warp_instances(instances: Instances, affine: NDArray[np.float64], crop_px: int, *, min_visible: float) -> Instances:
    """Return the nuclei inside the crop, their masks moved with the image and their boxes hugging the masks.

    Args:
        instances: nuclei of the image.
        affine: (2, 3), see `random_affine`.
        crop_px: side of the crop.
        min_visible: a nucleus stays if at least this share of its area is inside.
    """
    frame = Frame(height_px=crop_px, width_px=crop_px)
    linear, shift = affine[:, :2], affine[:, 2]
    windows = instances.masks.windows_xyxy.astype(np.float64)
    corners = windows[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) @ linear.T + shift
    low = np.clip(np.floor(corners.min(axis=1)), 0, crop_px).astype(np.int32)
    high = np.clip(np.ceil(corners.max(axis=1)), 0, crop_px).astype(np.int32)
    expected_px = instances.masks.areas_px() * abs(np.linalg.det(linear))
    kept, kept_windows, bitmaps = [], [], []
    for index in np.flatnonzero((high > low).all(axis=1)):
        local = affine.copy()
        local[:, 2] = shift + linear @ windows[index, :2] - low[index]
        width_px, height_px = (high[index] - low[index]).tolist()
        source = instances.masks.bitmap(int(index)).view(np.uint8) * np.uint8(255)
        moved = cv2.warpAffine(source, _pixel_affine(local), (width_px, height_px), flags=cv2.INTER_LINEAR) >= 128
        if np.count_nonzero(moved) >= max(1.0, min_visible * expected_px[index]):
            kept.append(int(index))
            kept_windows.append((*low[index], *high[index]))
            bitmaps.append(moved)
    masks = Masks.from_bitmaps(frame, np.array(kept_windows, np.int32).reshape(-1, 4), bitmaps).cropped()
    chosen = np.array(kept, np.int64)
    return Instances.from_masks(masks, class_indices=instances.class_indices[chosen], scores=instances.scores[chosen])


def _pixel_affine(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix between pixel indices (OpenCV's, centre of the first pixel at 0) for one between edges."""
    half = np.array([0.5, 0.5])
    return np.concatenate([affine[:, :2], (affine[:, :2] @ half + affine[:, 2] - half)[:, None]], axis=1)
