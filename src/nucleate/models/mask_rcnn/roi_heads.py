"""Boxes, then masks, for every proposal: the second stage with its training sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nucleate.models.mask_rcnn.box_head import BoxDetections, BoxHead, BoxLosses, BoxPredictor
from nucleate.models.mask_rcnn.mask_head import MaskHead, MaskLoss, mask_loss
from nucleate.models.mask_rcnn.matching import ABOVE, match_boxes
from nucleate.models.mask_rcnn.pooling import pool_boxes
from nucleate.models.mask_rcnn.rpn import Proposals
from nucleate.models.mask_rcnn.sampling import Sampler
from nucleate.models.mask_rcnn.settings import BoxHeadSettings, MaskHeadSettings, MaskRCNNSettings
from nucleate.models.mask_rcnn.training_targets import TrainingImage
from nucleate.models.whole_batch import ONE_PROCESS, WholeBatch


@dataclass(frozen=True, slots=True)
class Detections:
    """Detections of one image in the network's frame, best first.

    Args:
        size_hw: the image's height and width before padding, network pixels.
        boxes_xyxy: (D, 4) float32.
        scores: (D,) float32, falling.
        class_indices: (D,) int64.
        mask_probabilities: (D, S, S) float32, the nucleus inside its box.
    """

    size_hw: tuple[int, int]
    boxes_xyxy: Tensor
    scores: Tensor
    class_indices: Tensor
    mask_probabilities: Tensor


@dataclass(frozen=True, slots=True)
class RoiSample:
    """The proposals of one image that train the second stage, foreground first.

    Args:
        boxes_xyxy: (R, 4).
        classes: (R,) with K for background.
        annotated_indices: (R,) the annotated nucleus of each; 0 where the image has none.
        matched_xyxy: (R, 4) that nucleus' box.
    """

    boxes_xyxy: Tensor
    classes: Tensor
    annotated_indices: Tensor
    matched_xyxy: Tensor


@dataclass(frozen=True, slots=True)
class RoiLosses:
    """Losses of the second stage, and foreground and background samples an image."""

    box: BoxLosses
    mask: MaskLoss
    foreground_per_image: float
    background_per_image: float


class RoiHeads(nn.Module):
    """Box head, box predictor and mask head.

    Args:
        channels: channels of the pyramid.
        settings: the network's settings.
    """

    def __init__(self, channels: int, settings: MaskRCNNSettings) -> None:
        super().__init__()
        self.box_head = BoxHead(channels, settings.box_head)
        self.box_predictor = BoxPredictor(self.box_head.out_channels, settings.box_head, settings.roi)
        self.mask_head = MaskHead(channels, settings.roi.class_count, settings.mask_head)
        self._settings = settings

    def detect(
        self, features: Sequence[Tensor], proposals: Sequence[Proposals], sizes_hw: Sequence[tuple[int, int]]
    ) -> list[Detections]:
        """Return each image's detections with their masks."""
        boxes = [own.boxes_xyxy for own in proposals]
        scores, deltas = self._predict_boxes(features, boxes)
        found = self.box_predictor.detect(scores, deltas, boxes, sizes_hw)
        logits = self._predict_masks(
            features, [own.boxes_xyxy for own in found], torch.cat([own.class_indices for own in found])
        )
        masks = torch.split(logits.sigmoid(), [len(own.scores) for own in found])
        return [
            _with_masks(own, own_masks, size_hw) for own, own_masks, size_hw in zip(found, masks, sizes_hw, strict=True)
        ]

    def losses(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Proposals],
        batch: Sequence[TrainingImage],
        sampler: Sampler,
        whole: WholeBatch = ONE_PROCESS,
    ) -> RoiLosses:
        """Return the losses of a batch; the annotation must lie on the features' device."""
        samples = [self.sample(own, image, sampler) for own, image in zip(proposals, batch, strict=True)]
        scores, deltas = self._predict_boxes(features, [sample.boxes_xyxy for sample in samples])
        classes = torch.cat([sample.classes for sample in samples])
        foreground = int((classes < self._settings.roi.class_count).sum())
        counts = whole.total(torch.tensor([float(len(classes)), float(foreground)])).tolist()
        box = self.box_predictor.losses(
            scores,
            deltas,
            torch.cat([sample.boxes_xyxy for sample in samples]),
            torch.cat([sample.matched_xyxy for sample in samples]),
            classes,
            count=counts[0],
        )
        return RoiLosses(
            box=box,
            mask=self._mask_loss(features, samples, batch, count=counts[1]),
            foreground_per_image=foreground / len(batch),
            background_per_image=(len(classes) - foreground) / len(batch),
        )

    @torch.no_grad()
    def sample(self, proposals: Proposals, image: TrainingImage, sampler: Sampler) -> RoiSample:
        """Return the proposals of one image that train the second stage."""
        roi = self._settings.roi
        annotated = image.boxes_xyxy
        boxes = proposals.boxes_xyxy
        if roi.append_annotated:
            boxes = torch.cat((boxes, annotated))
        thresholds = (roi.iou_threshold, roi.iou_threshold)
        matches = match_boxes(annotated, boxes, thresholds, ties="thresholds only")
        background = torch.full_like(matches.annotated_indices, roi.class_count)
        classes = background
        if len(annotated):
            matched_classes = image.class_indices[matches.annotated_indices]
            classes = torch.where(matches.labels == ABOVE, matched_classes, background)
        chosen = sampler.sample(
            torch.nonzero(classes != roi.class_count)[:, 0],
            torch.nonzero(classes == roi.class_count)[:, 0],
            count=roi.batch_size_per_image,
            positive_fraction=roi.positive_fraction,
        )
        rows = torch.cat(chosen)
        nuclei = matches.annotated_indices[rows]
        matched = annotated[nuclei] if len(annotated) else boxes[rows]
        return RoiSample(boxes[rows], classes[rows], nuclei, matched)

    def _predict_boxes(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        pooled = _pool(features, boxes, self._settings.box_head)
        scores, deltas = self.box_predictor(self.box_head(pooled))
        return scores, deltas

    def _predict_masks(self, features: Sequence[Tensor], boxes: Sequence[Tensor], classes: Tensor) -> Tensor:
        logits: Tensor = self.mask_head(_pool(features, boxes, self._settings.mask_head), classes)
        return logits

    def _mask_loss(
        self,
        features: Sequence[Tensor],
        samples: Sequence[RoiSample],
        batch: Sequence[TrainingImage],
        *,
        count: float,
    ) -> MaskLoss:
        boxes, classes, targets = [], [], []
        side_px = self._settings.mask_head.pooler_resolution_px * 2
        for sample, image in zip(samples, batch, strict=True):
            rows = torch.nonzero(sample.classes < self._settings.roi.class_count)[:, 0]
            boxes.append(sample.boxes_xyxy[rows])
            classes.append(sample.classes[rows])
            targets.append(image.masks.inside_boxes(sample.annotated_indices[rows], boxes[-1], side_px))
        logits = self._predict_masks(features, boxes, torch.cat(classes))
        return mask_loss(logits, torch.cat(targets), count=count)


def _pool(features: Sequence[Tensor], boxes: Sequence[Tensor], settings: BoxHeadSettings | MaskHeadSettings) -> Tensor:
    return pool_boxes(
        features,
        boxes,
        resolution_px=settings.pooler_resolution_px,
        sampling_ratio=settings.pooler_sampling_ratio,
    )


def _with_masks(found: BoxDetections, masks: Tensor, size_hw: tuple[int, int]) -> Detections:
    return Detections(size_hw, found.boxes_xyxy, found.scores, found.class_indices, masks)
