"""What a training step learns from: an image with boxes, classes and masks, and the losses it answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.ops import roi_align

from nucleate.errors import DataError

_SMALLEST_SIDE_PX = 0.1
"""Boxes count as at least this wide when a polygon is scaled to a box."""
_INSIDE = 0.5


@dataclass(frozen=True, slots=True)
class PolygonMasks:
    """Outlines of the nuclei of one image (INPUT.MASK_FORMAT polygon).

    Args:
        polygons: for each nucleus its parts; a part is x1, y1, x2, y2, ... in network pixels, float64, 3 points
            or more. A nucleus without parts has an empty mask.
    """

    polygons: tuple[tuple[NDArray[np.float64], ...], ...]

    def __len__(self) -> int:
        return len(self.polygons)

    def inside_boxes(self, nucleus_indices: Tensor, boxes_xyxy: Tensor, side_px: int) -> Tensor:
        """Return what each box sees of its nucleus, drawn by pycocotools on a grid of `side_px` squared.

        Args:
            nucleus_indices: (R,) which nucleus each box looks at.
            boxes_xyxy: (R, 4) in network pixels.
            side_px: side of the answer.

        Returns:
            (R, side_px, side_px) bool on the boxes' device.
        """
        boxes = boxes_xyxy.detach().cpu().numpy()
        masks = np.zeros((len(boxes), side_px, side_px), dtype=np.bool_)
        for row, (nucleus, box) in enumerate(zip(nucleus_indices.tolist(), boxes, strict=True)):
            masks[row] = _draw_in_box(self.polygons[nucleus], box, side_px)
        return torch.from_numpy(masks).to(boxes_xyxy.device)


@dataclass(frozen=True, slots=True)
class BitMasks:
    """Bitmaps of the nuclei of one image (INPUT.MASK_FORMAT bitmask), each cropped to its own window.

    Args:
        height_px: height of the image's frame.
        width_px: width of the image's frame.
        corners_xy: for each nucleus the left and top pixel of its window.
        bitmaps: for each nucleus (h, w) bool; the window lies in the frame; outside it the mask is empty.

    Raises:
        DataError: the two lists differ in length, or a window leaves the frame.
    """

    height_px: int
    width_px: int
    corners_xy: tuple[tuple[int, int], ...]
    bitmaps: tuple[NDArray[np.bool_], ...]

    def __post_init__(self) -> None:
        if len(self.corners_xy) != len(self.bitmaps):
            raise DataError(f"{len(self.corners_xy)} window corners for {len(self.bitmaps)} bitmaps")
        for index, ((left, top), bitmap) in enumerate(zip(self.corners_xy, self.bitmaps, strict=True)):
            height, width = bitmap.shape
            if min(left, top) < 0 or left + width > self.width_px or top + height > self.height_px:
                raise DataError(
                    f"window {left},{top} of {width}x{height} px leaves the frame of {self.width_px}x{self.height_px}",
                    item=f"nucleus {index}",
                )

    def __len__(self) -> int:
        return len(self.bitmaps)

    def inside_boxes(self, nucleus_indices: Tensor, boxes_xyxy: Tensor, side_px: int) -> Tensor:
        """Return what each box sees of its nucleus: RoIAlign of the full-frame bitmap, at least one half.

        One nucleus at a time is drawn into one shared frame, so the numbers are those of full bitmaps and the
        memory that of one. See `PolygonMasks.inside_boxes` for arguments and answer.
        """
        boxes = boxes_xyxy.detach().float().cpu()
        masks = torch.zeros((len(boxes), side_px, side_px), dtype=torch.bool)
        frame = torch.zeros((1, 1, self.height_px, self.width_px))
        nuclei = nucleus_indices.cpu()
        for nucleus in torch.unique(nuclei).tolist():
            (left, top), bitmap = self.corners_xy[nucleus], self.bitmaps[nucleus]
            window = frame[0, 0, top : top + bitmap.shape[0], left : left + bitmap.shape[1]]
            window.copy_(torch.from_numpy(bitmap))
            rows = torch.nonzero(nuclei == nucleus)[:, 0]
            seen = roi_align(frame, [boxes[rows]], side_px, spatial_scale=1.0, sampling_ratio=0, aligned=True)
            masks[rows] = seen[:, 0] >= _INSIDE
            window.zero_()
        return masks.to(boxes_xyxy.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingImage:
    """One image of a training batch, already resized and flipped.

    Args:
        image: (3, H, W) uint8 or float on 0..255, channels in INPUT.FORMAT's order.
        boxes_xyxy: (N, 4) float32 in this image's pixels; N may be 0.
        class_indices: (N,) int64 in 0..K-1.
        masks: N masks.

    Raises:
        DataError: shapes or counts don't fit each other.
    """

    image: Tensor
    boxes_xyxy: Tensor
    class_indices: Tensor
    masks: PolygonMasks | BitMasks

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[0] != 3:
            raise DataError(f"an image must be (3, H, W), not {tuple(self.image.shape)}")
        count = len(self.masks)
        if self.boxes_xyxy.shape != (count, 4) or self.class_indices.shape != (count,):
            raise DataError(
                f"{count} masks with boxes of shape {tuple(self.boxes_xyxy.shape)} "
                f"and classes of shape {tuple(self.class_indices.shape)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMetrics:
    """The numbers that Detectron2 logs beside the losses; None where there was nothing to count."""

    num_pos_anchors: float
    num_neg_anchors: float
    num_fg_samples: float
    num_bg_samples: float
    cls_accuracy: float | None
    fg_cls_accuracy: float | None
    false_negative: float | None
    mask_accuracy: float | None
    mask_false_positive: float | None
    mask_false_negative: float | None

    def logged(self) -> tuple[tuple[str, float], ...]:
        """Return (Detectron2's metric name, value) of those that were counted."""
        named = (
            ("rpn/num_pos_anchors", self.num_pos_anchors),
            ("rpn/num_neg_anchors", self.num_neg_anchors),
            ("roi_head/num_fg_samples", self.num_fg_samples),
            ("roi_head/num_bg_samples", self.num_bg_samples),
            ("fast_rcnn/cls_accuracy", self.cls_accuracy),
            ("fast_rcnn/fg_cls_accuracy", self.fg_cls_accuracy),
            ("fast_rcnn/false_negative", self.false_negative),
            ("mask_rcnn/accuracy", self.mask_accuracy),
            ("mask_rcnn/false_positive", self.mask_false_positive),
            ("mask_rcnn/false_negative", self.mask_false_negative),
        )
        return tuple((name, value) for name, value in named if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLosses:
    """The five weighted losses of a step, scalar tensors with gradients, and the logged numbers."""

    loss_cls: Tensor
    loss_box_reg: Tensor
    loss_mask: Tensor
    loss_rpn_cls: Tensor
    loss_rpn_loc: Tensor
    metrics: TrainingMetrics

    def named(self) -> tuple[tuple[str, Tensor], ...]:
        """Return (Detectron2's name, loss), in Detectron2's order."""
        names = ("loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc")
        return tuple((name, getattr(self, name)) for name in names)

    def total(self) -> Tensor:
        """Return the sum, which the training step differentiates."""
        return torch.stack([loss for _, loss in self.named()]).sum()

    def logged(self) -> tuple[tuple[str, float], ...]:
        """Return (Detectron2's metric name, value) of what was counted beside the losses."""
        return self.metrics.logged()


def _draw_in_box(polygons: Sequence[NDArray[np.float64]], box: NDArray[np.float32], side_px: int) -> NDArray[np.uint8]:
    if not polygons:
        return np.zeros((side_px, side_px), dtype=np.uint8)
    # float32 like the boxes: the rounding of the scale decides pixels on the outline.
    scale_x = np.float32(side_px) / np.maximum(box[2] - box[0], np.float32(_SMALLEST_SIDE_PX))
    scale_y = np.float32(side_px) / np.maximum(box[3] - box[1], np.float32(_SMALLEST_SIDE_PX))
    scaled = []
    for polygon in polygons:
        moved = polygon.astype(np.float64)
        moved[0::2] = (moved[0::2] - box[0]) * scale_x
        moved[1::2] = (moved[1::2] - box[1]) * scale_y
        scaled.append(moved.tolist())
    parts = coco_mask.frPyObjects(scaled, side_px, side_px)
    drawn: NDArray[np.uint8] = coco_mask.decode(coco_mask.merge(parts))
    return drawn
