"""What the network is fed, as a picture: `pictures/augmented.png`."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks, decode_polygons
from nucleate.export import OverlayStyle, draw_overlay
from nucleate.models.mask_rcnn import BitMasks, TrainingImage


def contact_sheet(
    images_rgb: Sequence[NDArray[np.uint8]], instances: Sequence[Instances], *, columns: int = 4, side_px: int = 320
) -> NDArray[np.uint8]:
    """Return images with their nuclei outlined, in rows; each fitted into a square of `side_px`."""
    tiles = []
    for image_rgb, nuclei in zip(images_rgb, instances, strict=True):
        drawn = draw_overlay(image_rgb, nuclei, ("nucleus",), style=OverlayStyle(most_labels=0))
        factor = side_px / max(drawn.shape[:2])
        size_wh = (max(1, round(drawn.shape[1] * factor)), max(1, round(drawn.shape[0] * factor)))
        small = cv2.resize(drawn, size_wh, interpolation=cv2.INTER_AREA)
        tile = np.full((side_px + 4, side_px + 4, 3), 255, np.uint8)
        tile[2 : 2 + size_wh[1], 2 : 2 + size_wh[0]] = small
        tiles.append(tile)
    blank = np.full((side_px + 4, side_px + 4, 3), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def pictured(sample: TrainingImage, *, bgr: bool) -> tuple[NDArray[np.uint8], Instances]:
    """Return what the network is fed as an (H, W, 3) RGB image and its nuclei.

    Args:
        sample: from a mapper.
        bgr: its channels are blue first.
    """
    channels = sample.image.numpy().transpose(1, 2, 0)
    image_rgb = np.ascontiguousarray(channels[:, :, ::-1] if bgr else channels).astype(np.uint8)
    frame = Frame(height_px=image_rgb.shape[0], width_px=image_rgb.shape[1])
    if isinstance(sample.masks, BitMasks):
        corners = np.array(sample.masks.corners_xy, np.int32).reshape(-1, 2)
        sizes_wh = np.array([bitmap.shape[::-1] for bitmap in sample.masks.bitmaps], np.int32).reshape(-1, 2)
        masks = Masks.from_bitmaps(frame, np.hstack([corners, corners + sizes_wh]), sample.masks.bitmaps)
    else:
        drawn = [decode_polygons(frame, [part.reshape(-1, 2) for part in parts]) for parts in sample.masks.polygons]
        masks = Masks.from_full(frame, drawn)
    nuclei = Instances(
        frame=frame,
        boxes_xyxy=sample.boxes_xyxy.numpy(),
        masks=masks,
        class_indices=sample.class_indices.numpy(),
        scores=np.ones(len(masks), np.float32),
    )
    return image_rgb, nuclei
