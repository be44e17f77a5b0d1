"""Predictions and annotations drawn over an image, in this package's style."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, unique
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, Rle, decode_polygons, decode_rles, rle_from_counts
from nucleate.core import Instances as Nuclei
from nucleate.detectron2.data.catalog import Metadata
from nucleate.detectron2.evaluation.coco_evaluation import nuclei_of
from nucleate.detectron2.structures import BoxMode, Instances
from nucleate.export import OverlayStyle, draw_overlay
from nucleate.files import rgb_from_array, write_image

__all__ = ["ColorMode", "VisImage", "Visualizer"]

_UNLABELLED = OverlayStyle(most_labels=0)


@unique
class ColorMode(Enum):
    """How the image under the drawing looks.

    IMAGE and SEGMENTATION leave it as it is; IMAGE_BW turns what no mask covers grey.
    """

    IMAGE = 0
    SEGMENTATION = 1
    IMAGE_BW = 2


class VisImage:
    """A drawing.

    Args:
        image_rgb: (H, W, 3) uint8.
    """

    def __init__(self, image_rgb: NDArray[np.uint8]) -> None:
        self._image_rgb = image_rgb

    def get_image(self) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8, RGB."""
        return self._image_rgb

    def save(self, filepath: str | os.PathLike[str]) -> None:
        """Write the drawing as PNG, JPEG or TIFF, by the file's suffix."""
        write_image(Path(filepath), self._image_rgb)


class Visualizer:
    """Draws over an image; each call draws over what the last one left.

    Args:
        img_rgb: (H, W, 3), RGB, 0 to 255.
        metadata: whose `thing_classes` name the classes.
        scale: size of the drawing relative to the image.
        instance_mode: see `ColorMode`.
    """

    def __init__(
        self,
        img_rgb: NDArray[Any],
        metadata: Metadata | None = None,
        scale: float = 1.0,
        instance_mode: ColorMode = ColorMode.IMAGE,
    ) -> None:
        self._original_rgb = rgb_from_array(np.ascontiguousarray(np.asarray(img_rgb).clip(0, 255).astype(np.uint8)))
        self._scale = scale
        self._mode = instance_mode
        self._class_names: Sequence[str] = (metadata.get("thing_classes") or ()) if metadata is not None else ()
        height, width = self._original_rgb.shape[:2]
        self._size_wh = max(1, round(width * scale)), max(1, round(height * scale))
        self._canvas_rgb = _resized(self._original_rgb, self._size_wh)

    def draw_instance_predictions(self, predictions: Instances) -> VisImage:
        """Draw a prediction's boxes, masks and, where there is room, classes and scores; it may lie on any device."""
        return self._draw(nuclei_of(predictions), labelled=True)

    def draw_dataset_dict(self, dic: Mapping[str, Any]) -> VisImage:
        """Draw the annotations of a registered data set's dict."""
        height, width = self._original_rgb.shape[:2]
        frame = Frame(height_px=height, width_px=width)
        entries = list(dic.get("annotations", ()))
        masks = Masks.from_full(frame, (_drawn(frame, entry.get("segmentation") or ()) for entry in entries))
        nuclei = Nuclei.from_masks(
            masks, class_indices=np.array([int(each["category_id"]) for each in entries], np.int64)
        )
        boxes = [
            fitted
            if entry.get("bbox") is None
            else BoxMode.convert(entry["bbox"], entry.get("bbox_mode", BoxMode.XYWH_ABS), BoxMode.XYXY_ABS)
            for entry, fitted in zip(entries, nuclei.boxes_xyxy.tolist(), strict=True)
        ]
        return self._draw(replace(nuclei, boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4)), labelled=False)

    def get_output(self) -> VisImage:
        """Return what was drawn so far."""
        return VisImage(self._canvas_rgb)

    def _draw(self, nuclei: Nuclei, *, labelled: bool) -> VisImage:
        scaled = _scaled(nuclei, self._size_wh)
        if self._mode is ColorMode.IMAGE_BW:
            covered = np.zeros(scaled.frame.shape, np.bool_)
            for index, (x1, y1, x2, y2) in enumerate(scaled.masks.windows_xyxy.tolist()):
                covered[y1:y2, x1:x2] |= scaled.masks.bitmap(index)
            grey = np.asarray(cv2.cvtColor(self._canvas_rgb, cv2.COLOR_RGB2GRAY))
            self._canvas_rgb = np.where(covered[..., None], self._canvas_rgb, grey[..., None])
        highest = int(nuclei.class_indices.max()) if len(nuclei) else -1
        spare = (f"class {index + 1}" for index in range(len(self._class_names), highest + 1))
        names = (*self._class_names, *spare)
        style = OverlayStyle() if labelled else _UNLABELLED
        self._canvas_rgb = draw_overlay(self._canvas_rgb, scaled, names, style=style)
        return VisImage(self._canvas_rgb)


def _resized(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    if (image.shape[1], image.shape[0]) == size_wh:
        return image.copy()
    shrinks = size_wh[0] < image.shape[1]
    return np.asarray(
        cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
    )


def _scaled(nuclei: Nuclei, size_wh: tuple[int, int]) -> Nuclei:
    frame = Frame(height_px=size_wh[1], width_px=size_wh[0])
    if frame.shape == nuclei.frame.shape:
        return nuclei
    full = (
        cv2.resize(nuclei.masks.full(index).astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
        for index in range(len(nuclei))
    )
    factors = [size_wh[0] / nuclei.frame.width_px, size_wh[1] / nuclei.frame.height_px] * 2
    return Nuclei(
        frame=frame,
        boxes_xyxy=nuclei.boxes_xyxy * np.array(factors, np.float32),
        masks=Masks.from_full(frame, full),
        class_indices=nuclei.class_indices,
        scores=nuclei.scores,
    )


def _drawn(frame: Frame, segmentation: Any) -> NDArray[np.bool_]:
    if not segmentation:
        return np.zeros(frame.shape, np.bool_)
    if not isinstance(segmentation, Mapping):
        return decode_polygons(frame, [np.asarray(ring, np.float64).reshape(-1, 2) for ring in segmentation])
    counts, size_hw = segmentation["counts"], tuple(segmentation["size"])
    if isinstance(counts, list):
        return decode_rles(frame, [rle_from_counts(frame, counts)]).full(0)
    text = counts.decode("ascii") if isinstance(counts, bytes) else str(counts)
    return decode_rles(frame, [Rle(size_hw=size_hw, counts=text)]).full(0)
