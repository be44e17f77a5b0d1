"""Images brought to a model's working scale, and the nuclei brought back to the image's pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks


def magnified(image_rgb: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Return the image resampled to `factor` times its sides (cubic up, by area down), at least one pixel each."""
    if factor == 1:
        return image_rgb
    frame = magnified_frame(Frame(height_px=image_rgb.shape[0], width_px=image_rgb.shape[1]), factor)
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(image_rgb, (frame.width_px, frame.height_px), interpolation=method), np.uint8)


def magnified_frame(frame: Frame, factor: float) -> Frame:
    """Return the frame of an image that was resampled to `factor` times its sides."""
    return Frame(height_px=max(1, round(frame.height_px * factor)), width_px=max(1, round(frame.width_px * factor)))


def in_frame(instances: Instances, frame: Frame) -> Instances:
    """Return nuclei of a resampled image in the frame of the original.

    A pixel belongs to a mask where the resampled mask, interpolated linearly at the pixel's centre, is at least one
    half. Masks thinner than a pixel may lose all of theirs.
    """
    if instances.frame.shape == frame.shape:
        return instances
    to_frame_xy = np.array(
        [frame.width_px / instances.frame.width_px, frame.height_px / instances.frame.height_px], np.float64
    )
    masks = instances.masks.cropped()
    windows = np.zeros((len(masks), 4), np.int32)
    bitmaps: list[NDArray[np.bool_]] = []
    for index, bitmap in enumerate(masks):
        x1, y1, x2, y2 = masks.windows_xyxy[index].astype(np.float64)
        left, top = np.floor(np.array([x1, y1]) * to_frame_xy).astype(np.int64)
        right, bottom = np.ceil(np.array([x2, y2]) * to_frame_xy).astype(np.int64)
        right, bottom = min(right, frame.width_px), min(bottom, frame.height_px)
        along_x = _weights(np.arange(left, right), to_frame_xy[0], int(x1), bitmap.shape[1])
        along_y = _weights(np.arange(top, bottom), to_frame_xy[1], int(y1), bitmap.shape[0])
        bitmaps.append(along_y @ bitmap.astype(np.float64) @ along_x.T >= 0.5)
        windows[index] = (left, top, right, bottom)
    return Instances(
        frame=frame,
        boxes_xyxy=(instances.boxes_xyxy * np.tile(to_frame_xy, 2)).astype(np.float32),
        masks=Masks.from_bitmaps(frame, windows, bitmaps),
        class_indices=instances.class_indices,
        scores=instances.scores,
    )


def _weights(pixels: NDArray[np.int64], to_frame: float, first: int, count: int) -> NDArray[np.float64]:
    """Return (P, count): linear interpolation of `count` samples, the first at pixel `first`, zero outside."""
    positions = (pixels + 0.5) / to_frame - 0.5 - first
    return np.asarray(np.clip(1 - np.abs(positions[:, None] - np.arange(count)[None, :]), 0, 1), np.float64)
