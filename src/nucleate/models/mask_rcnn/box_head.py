"""The second stage: class scores and box deltas of every proposal, its losses, and its detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms

from nucleate.models.mask_rcnn.boxes import clip, decode_deltas, encode_deltas, smooth_l1_sum
from nucleate.models.mask_rcnn.layers import fill_msra, fill_normal, fill_xavier
from nucleate.models.mask_rcnn.settings import BoxHeadSettings, RoiSettings


@dataclass(frozen=True, slots=True)
class BoxDetections:
    """Detections of one image before the masks, best first, in network pixels."""

    boxes_xyxy: Tensor
    scores: Tensor
    class_indices: Tensor


@dataclass(frozen=True, slots=True)
class BoxLosses:
    """The two losses and the shares of right answers, None where there was nothing to count."""

    classification: Tensor
    box: Tensor
    accuracy: float | None
    foreground_accuracy: float | None
    false_negative: float | None


class BoxHead(nn.Module):
    """Convolutions (`conv1`, ...), then fully connected layers (`fc1`, ...), each with ReLU.

    Args:
        channels: channels of the pyramid.
        settings: their number and widths.
    """

    def __init__(self, channels: int, settings: BoxHeadSettings) -> None:
        super().__init__()
        self._conv_names = [f"conv{index + 1}" for index in range(settings.conv_count)]
        self._fc_names = [f"fc{index + 1}" for index in range(settings.fc_count)]
        for name in self._conv_names:
            conv = nn.Conv2d(channels, settings.conv_channels, 3, padding=1)
            fill_msra(conv)
            self.add_module(name, conv)
            channels = settings.conv_channels
        width = channels * settings.pooler_resolution_px**2
        for name in self._fc_names:
            fc = nn.Linear(width, settings.fc_channels)
            fill_xavier(fc)
            self.add_module(name, fc)
            width = settings.fc_channels
        self.out_channels = width

    def forward(self, pooled: Tensor) -> Tensor:
        """Return (R, out_channels) of pooled (R, C, S, S) features."""
        for name in self._conv_names:
            pooled = F.relu_(self.get_submodule(name)(pooled))
        hidden = pooled.flatten(1)
        for name in self._fc_names:
            hidden = F.relu_(self.get_submodule(name)(hidden))
        return hidden


class BoxPredictor(nn.Module):
    """Linear layers to K + 1 scores (background last) and to 4 deltas a class, or 4 for all.

    Args:
        channels: the box head's output.
        head: deltas' weights, loss weights.
        roi: classes, thresholds, caps.
    """

    def __init__(self, channels: int, head: BoxHeadSettings, roi: RoiSettings) -> None:
        super().__init__()
        groups = 1 if head.class_agnostic else roi.class_count
        self.cls_score = nn.Linear(channels, roi.class_count + 1)
        self.bbox_pred = nn.Linear(channels, groups * 4)
        fill_normal(self.cls_score, std=0.01)
        fill_normal(self.bbox_pred, std=0.001)
        self._head = head
        self._roi = roi

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (R, K + 1) and deltas (R, 4 * groups), float32."""
        return self.cls_score(hidden).float(), self.bbox_pred(hidden).float()

    def losses(
        self,
        scores: Tensor,
        deltas: Tensor,
        proposals_xyxy: Tensor,
        matched_xyxy: Tensor,
        classes: Tensor,
        *,
        count: float,
    ) -> BoxLosses:
        """Return the losses of all sampled proposals of a batch.

        Args:
            scores: (R, K + 1).
            deltas: (R, 4 * groups).
            proposals_xyxy: (R, 4).
            matched_xyxy: (R, 4) annotated boxes; only foreground rows count.
            classes: (R,) with K for background.
            count: sampled proposals of the whole batch, R where it is here.
        """
        foreground = torch.nonzero(classes < self._roi.class_count)[:, 0]
        classification = F.cross_entropy(scores, classes, reduction="sum") / max(count, 1.0)
        groups = deltas.view(len(deltas), -1, 4)
        group = torch.zeros_like(foreground) if self._head.class_agnostic else classes[foreground]
        targets = encode_deltas(proposals_xyxy[foreground], matched_xyxy[foreground], self._head.delta_weights)
        box = smooth_l1_sum(groups[foreground, group], targets, self._head.smooth_l1_beta)
        # By all sampled proposals, not by the foreground: each counts alike, however few there are.
        box = box / max(count, 1.0) * self._head.box_loss_weight
        right, found = _answers(scores, classes, foreground)
        background = self._roi.class_count
        return BoxLosses(
            classification=classification,
            box=box,
            accuracy=_share(right),
            foreground_accuracy=_share(found == classes[foreground]),
            false_negative=_share(found == background),
        )

    def detect(
        self, scores: Tensor, deltas: Tensor, proposals_xyxy: Sequence[Tensor], sizes_hw: Sequence[tuple[int, int]]
    ) -> list[BoxDetections]:
        """Return each image's detections: score threshold, NMS within each class, the best of the rest."""
        counts = [len(own) for own in proposals_xyxy]
        boxes = decode_deltas(deltas, torch.cat(list(proposals_xyxy)), self._head.delta_weights)
        probabilities = F.softmax(scores, dim=-1)
        return [
            self._select(own_boxes, own_probabilities, size_hw)
            for own_boxes, own_probabilities, size_hw in zip(
                torch.split(boxes, counts), torch.split(probabilities, counts), sizes_hw, strict=True
            )
        ]

    def _select(self, boxes: Tensor, probabilities: Tensor, size_hw: tuple[int, int]) -> BoxDetections:
        finite = torch.isfinite(boxes).all(dim=1) & torch.isfinite(probabilities).all(dim=1)
        boxes = clip(boxes[finite].view(int(finite.sum()), -1, 4), size_hw)
        foreground = probabilities[finite][:, :-1]
        rows, classes = torch.nonzero(foreground > self._roi.score_threshold, as_tuple=True)
        group = torch.zeros_like(classes) if self._head.class_agnostic else classes
        chosen_boxes, scores = boxes[rows, group], foreground[rows, classes]
        kept = batched_nms(chosen_boxes, scores, classes, self._roi.nms_threshold)
        if self._roi.detections_per_image >= 0:
            kept = kept[: self._roi.detections_per_image]
        return BoxDetections(chosen_boxes[kept], scores[kept], classes[kept])


def _answers(scores: Tensor, classes: Tensor, foreground: Tensor) -> tuple[Tensor, Tensor]:
    answered = scores.argmax(dim=1)
    return answered == classes, answered[foreground]


def _share(hits: Tensor) -> float | None:
    return float(hits.sum()) / len(hits) if len(hits) else None
