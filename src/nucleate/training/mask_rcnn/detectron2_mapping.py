"""Detectron2's DatasetMapper: shortest side resized, random flip, polygons or bitmaps; the literal recipe's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nucleate.core import Frame, Masks, Rle, decode_polygons, decode_rles
from nucleate.data import CocoDataset
from nucleate.data.coco_file import CocoAnnotation
from nucleate.errors import ConfigError, DataError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import BitMasks, PolygonMasks, TrainingImage
from nucleate.models.mask_rcnn.preprocessing import resize_image, resized_size_hw
from nucleate.training.mask_rcnn.mapping import bit_masks

# Detectron2's filter_empty_instances.
_SMALLEST_BOX_SIDE_PX = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeChoice:
    """INPUT.MIN_SIZE_TRAIN, MAX_SIZE_TRAIN, MIN_SIZE_TRAIN_SAMPLING, RANDOM_FLIP."""

    min_sizes_px: tuple[int, ...]
    max_size_px: int
    sampling: str
    flip: str

    @classmethod
    def from_config(cls, config: DetectronConfig) -> ResizeChoice:
        """Read the choice off a configuration.

        Raises:
            ConfigError: a value that Detectron2 has no meaning for, or INPUT.CROP, which is not built.
        """
        if config.get("INPUT.CROP.ENABLED"):
            raise ConfigError("not built: use augmentation.crop_px of our recipes", item="INPUT.CROP.ENABLED")
        sizes: Any = config.get("INPUT.MIN_SIZE_TRAIN")
        choice = cls(
            min_sizes_px=tuple(sizes) if isinstance(sizes, tuple | list) else (int(sizes),),
            max_size_px=int(config.get("INPUT.MAX_SIZE_TRAIN")),  # type: ignore[arg-type]
            sampling=str(config.get("INPUT.MIN_SIZE_TRAIN_SAMPLING")),
            flip=str(config.get("INPUT.RANDOM_FLIP")),
        )
        if choice.sampling not in ("choice", "range"):
            raise ConfigError(f"{choice.sampling!r}: choice or range", item="INPUT.MIN_SIZE_TRAIN_SAMPLING")
        if choice.flip not in ("horizontal", "vertical", "none"):
            raise ConfigError(f"{choice.flip!r}: horizontal, vertical or none", item="INPUT.RANDOM_FLIP")
        return choice

    def draw(self, rng: np.random.Generator) -> tuple[int, bool]:
        """Return the shortest side of this image, and whether it is flipped."""
        sizes = self.min_sizes_px
        side_px = int(rng.integers(sizes[0], sizes[-1] + 1)) if self.sampling == "range" else int(rng.choice(sizes))
        return side_px, self.flip != "none" and rng.random() < 0.5


@dataclass(kw_only=True)
class DetectronMapper:
    """Detectron2's DatasetMapper for a training split.

    Attributes:
        dataset: the training split.
        record_indices: which of its images, in the order that the batch plan counts them.
        resize: sides and flip.
        bitmask: INPUT.MASK_FORMAT is bitmask; polygon mode refuses run-length codes, as Detectron2 does.
        bgr: the network takes blue first.
    """

    dataset: CocoDataset
    record_indices: tuple[int, ...]
    resize: ResizeChoice
    bitmask: bool
    bgr: bool

    def __call__(self, record_index: int, rng: np.random.Generator) -> TrainingImage:
        """Return the image of a plan's index, resized and flipped by `rng`."""
        side_px, flipped = self.resize.draw(rng)
        return self.mapped(record_index, side_px=side_px, flip=self.resize.flip if flipped else "none")

    def mapped(self, record_index: int, *, side_px: int, flip: str) -> TrainingImage:
        """Return an image at a given size.

        Args:
            record_index: the plan's index.
            side_px: shortest side, limited by the longest.
            flip: horizontal, vertical or none.
        """
        index = self.record_indices[record_index]
        record = self.dataset.records[index]
        image_rgb = self.dataset.read_image(record)
        frame = Frame(height_px=image_rgb.shape[0], width_px=image_rgb.shape[1])
        new_height, new_width = resized_size_hw(frame.shape, shortest_px=side_px, longest_px=self.resize.max_size_px)
        resized = resize_image(image_rgb, (new_height, new_width))
        target = Frame(height_px=new_height, width_px=new_width)
        resized = _flipped_image(resized, flip)
        channels = resized[:, :, ::-1] if self.bgr else resized
        scale_xy = np.array([new_width / frame.width_px, new_height / frame.height_px])
        annotations = _loaded(self.dataset.entries[record.image_id])
        boxes = np.array([_moved_box(each, scale_xy, target, flip) for each in annotations], np.float64)
        boxes = boxes.reshape(-1, 4).astype(np.float32)
        classes = np.array([self.dataset.category_ids.index(each.category_id) for each in annotations], np.int64)
        fits: NDArray[np.bool_] = np.all(boxes[:, 2:] - boxes[:, :2] > _SMALLEST_BOX_SIDE_PX, axis=1)
        polygons = [_moved_polygons(each, scale_xy, target, flip) for each in annotations]
        if not self.bitmask:
            for each in annotations:
                if isinstance(each.segmentation, Rle):
                    raise DataError(
                        "has run-length codes, which INPUT.MASK_FORMAT polygon refuses: set INPUT.MASK_FORMAT=bitmask",
                        path=self.dataset.annotations_path,
                        item=record.file_name,
                    )
            masks: PolygonMasks | BitMasks = PolygonMasks(
                tuple(parts for parts, fit in zip(polygons, fits, strict=True) if fit)
            )
        else:
            full = [_drawn(each, parts, frame, target, flip) for each, parts in zip(annotations, polygons, strict=True)]
            fits &= np.array([bool(bitmap.any()) for bitmap in full], np.bool_).reshape(-1)
            masks = bit_masks(Masks.from_full(target, [bitmap for bitmap, fit in zip(full, fits, strict=True) if fit]))
        return TrainingImage(
            image=torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1))),
            boxes_xyxy=torch.from_numpy(boxes[fits]),
            class_indices=torch.from_numpy(classes[fits]),
            masks=masks,
        )


def _flipped_image(image: NDArray[Any], flip: str) -> NDArray[Any]:
    return {"horizontal": image[:, ::-1], "vertical": image[::-1], "none": image}[flip]


def _loaded(annotations: Sequence[CocoAnnotation]) -> list[CocoAnnotation]:
    """Return what Detectron2's COCO loader keeps: no crowds, nothing without a polygon of three points."""
    return [
        each
        for each in annotations
        if not each.is_crowd
        and (isinstance(each.segmentation, Rle) or any(len(part) >= 3 for part in each.segmentation))
    ]


def _moved_box(
    annotation: CocoAnnotation, scale_xy: NDArray[np.float64], target: Frame, flip: str
) -> NDArray[np.float64]:
    if annotation.box_xyxy is None:
        raise DataError("has no bbox, which Detectron2's mapper needs", item=f"annotation {annotation.annotation_id}")
    corners = np.array(annotation.box_xyxy).reshape(2, 2) * scale_xy
    corners = np.sort(_flipped_points(corners, target, flip), axis=0)
    return np.clip(corners, 0, [target.width_px, target.height_px]).reshape(-1)


def _flipped_points(points_xy: NDArray[np.float64], target: Frame, flip: str) -> NDArray[np.float64]:
    if flip == "none":
        return points_xy
    moved = points_xy.copy()
    axis, side_px = (0, target.width_px) if flip == "horizontal" else (1, target.height_px)
    moved[:, axis] = side_px - moved[:, axis]
    return moved


def _moved_polygons(
    annotation: CocoAnnotation, scale_xy: NDArray[np.float64], target: Frame, flip: str
) -> tuple[NDArray[np.float64], ...]:
    if isinstance(annotation.segmentation, Rle):
        return ()
    parts = (part for part in annotation.segmentation if len(part) >= 3)
    return tuple(_flipped_points(part * scale_xy, target, flip).reshape(-1) for part in parts)


def _drawn(
    annotation: CocoAnnotation, polygons: tuple[NDArray[np.float64], ...], frame: Frame, target: Frame, flip: str
) -> NDArray[np.bool_]:
    if not isinstance(annotation.segmentation, Rle):
        return decode_polygons(target, [part.reshape(-1, 2) for part in polygons])
    full = decode_rles(frame, [annotation.segmentation]).full(0)
    resized = Image.fromarray(full).resize((target.width_px, target.height_px), Image.Resampling.NEAREST)
    return np.asarray(_flipped_image(np.asarray(resized), flip), np.bool_)
