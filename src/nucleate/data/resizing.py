"""Images and masks brought to another short side, aspect kept."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks


def resized_frame(frame: Frame, short_side_px: int) -> Frame:
    """Return the frame with the given short side; um a pixel grow as the pixels do."""
    scale = short_side_px / min(frame.shape)
    return Frame(
        height_px=max(1, round(frame.height_px * scale)),
        width_px=max(1, round(frame.width_px * scale)),
        mpp=None if frame.mpp is None else frame.mpp / scale,
    )


def resize_image(image: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image in the frame's size; shrinking averages areas, enlarging is cubic."""
    if image.shape[:2] == frame.shape:
        return image
    method = cv2.INTER_AREA if frame.height_px < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (frame.width_px, frame.height_px), interpolation=method), np.uint8)


def resize_masks(masks: Masks, frame: Frame) -> Masks:
    """Return the masks in the frame's size by nearest neighbour of pixel centres; small ones may lose every pixel."""
    if masks.frame.shape == frame.shape:
        return masks
    rows = _nearest(masks.frame.height_px, frame.height_px)
    columns = _nearest(masks.frame.width_px, frame.width_px)
    windows, bitmaps = np.zeros((len(masks), 4), np.int32), []
    for index, bitmap in enumerate(masks):
        x1, y1, x2, y2 = masks.windows_xyxy[index].tolist()
        left, right = np.searchsorted(columns, (x1, x2))
        top, bottom = np.searchsorted(rows, (y1, y2))
        bitmaps.append(bitmap[rows[top:bottom, None] - y1, columns[None, left:right] - x1])
        windows[index] = (left, top, right, bottom)
    return Masks.from_bitmaps(frame, windows, bitmaps)


def resize_nearest(mask: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Return an (H, W) mask in the frame's size by nearest neighbour of pixel centres."""
    rows, columns = _nearest(mask.shape[0], frame.height_px), _nearest(mask.shape[1], frame.width_px)
    return mask[rows[:, None], columns[None, :]]


def _nearest(source_px: int, target_px: int) -> NDArray[np.int64]:
    return ((np.arange(target_px) + 0.5) * source_px / target_px).astype(np.int64)
