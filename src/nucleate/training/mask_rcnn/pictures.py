"""What the Mask R-CNN is fed, as images and nuclei again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks, decode_polygons
from nucleate.models.mask_rcnn import BitMasks, TrainingImage


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
