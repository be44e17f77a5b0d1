"""From a uint8 RGB image to the network's input: Detectron2's resize rule and channel order."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nucleate.errors import DataError
from nucleate.models.mask_rcnn.settings import ImageSettings


def resized_size_hw(size_hw: tuple[int, int], *, shortest_px: int, longest_px: int) -> tuple[int, int]:
    """Return the size after scaling the shorter side to `shortest_px`, the longer one capped at `longest_px`.

    Args:
        size_hw: height and width of the image.
        shortest_px: wanted shorter side; 0 leaves the size as it is.
        longest_px: cap of the longer side; where it bites, the shorter side gets less.

    Returns:
        Height and width, rounded half up, at least 1 pixel.
    """
    if shortest_px == 0:
        return size_hw
    height, width = size_hw
    scale = shortest_px / min(height, width)
    scaled = (1.0 * shortest_px, scale * width) if height < width else (scale * height, 1.0 * shortest_px)
    if max(scaled) > longest_px:
        shrink = longest_px / max(scaled)
        scaled = (scaled[0] * shrink, scaled[1] * shrink)
    return max(1, int(scaled[0] + 0.5)), max(1, int(scaled[1] + 0.5))


def resize_image(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image resized with Pillow's bilinear filter, which smooths when it shrinks."""
    height, width = size_hw
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def network_image(
    image_rgb: NDArray[np.uint8], settings: ImageSettings, *, resize_factor: float | None = None
) -> Tensor:
    """Return the input that `MaskRCNN.detect` takes: resized for tests, channels in INPUT.FORMAT's order.

    Args:
        image_rgb: (H, W, 3) uint8.
        settings: the network's image settings.
        resize_factor: resize every image by it; None takes Detectron2's rule, which looks at the shorter side, so
            that a nucleus' size in the network depends on the size of the image around it.

    Returns:
        (3, h, w) uint8.

    Raises:
        DataError: the image has another shape or type.
    """
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8 or not image_rgb.size:
        raise DataError(f"an image must be (H, W, 3) uint8, not {image_rgb.shape} {image_rgb.dtype}")
    height, width = image_rgb.shape[:2]
    if resize_factor is None:
        size_hw = resized_size_hw(
            (height, width), shortest_px=settings.min_size_test_px, longest_px=settings.max_size_test_px
        )
    else:
        size_hw = max(1, int(height * resize_factor + 0.5)), max(1, int(width * resize_factor + 0.5))
    resized = resize_image(image_rgb, size_hw)
    ordered = resized if settings.channel_order == "RGB" else resized[:, :, ::-1]
    return torch.from_numpy(np.ascontiguousarray(ordered.transpose(2, 0, 1)))
