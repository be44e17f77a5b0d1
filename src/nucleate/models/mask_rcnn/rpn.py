"""The region proposal network (Ren 2015): an objectness and four deltas for every anchor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms

from nucleate.models.mask_rcnn.anchors import level_anchors
from nucleate.models.mask_rcnn.boxes import clip, decode_deltas, encode_deltas, larger_than, smooth_l1_sum
from nucleate.models.mask_rcnn.layers import fill_normal
from nucleate.models.mask_rcnn.matching import ABOVE, BELOW, Matches, match_boxes
from nucleate.models.mask_rcnn.sampling import Sampler
from nucleate.models.mask_rcnn.settings import AnchorSettings, RPNSettings
from nucleate.models.whole_batch import ONE_PROCESS, WholeBatch


@dataclass(frozen=True, slots=True)
class Proposals:
    """Proposals of one image, best first: (R, 4) boxes in network pixels and (R,) objectness logits."""

    boxes_xyxy: Tensor
    logits: Tensor


@dataclass(frozen=True, slots=True)
class RPNOutput:
    """Raw answers on p2 to p6: anchors (P_l, 4), logits (N, P_l) and deltas (N, P_l, 4) of each level."""

    anchors: list[Tensor]
    logits: list[Tensor]
    deltas: list[Tensor]


@dataclass(frozen=True, slots=True)
class RPNLosses:
    """The two weighted losses, and how many anchors an image took part as positives and negatives."""

    objectness: Tensor
    box: Tensor
    positives_per_image: float
    negatives_per_image: float


class RPNHead(nn.Module):
    """One 3x3 convolution, then 1x1 convolutions for objectness and deltas, shared by all levels."""

    def __init__(self, channels: int, anchors_per_cell: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness_logits = nn.Conv2d(channels, anchors_per_cell, 1)
        self.anchor_deltas = nn.Conv2d(channels, anchors_per_cell * 4, 1)
        for layer in (self.conv, self.objectness_logits, self.anchor_deltas):
            fill_normal(layer, std=0.01)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, H * W * A) and deltas (N, H * W * A, 4) of one level, ordered as its anchors."""
        hidden = F.relu_(self.conv(level))
        logits = self.objectness_logits(hidden).permute(0, 2, 3, 1).flatten(1)
        deltas = self.anchor_deltas(hidden)
        count, _, height, width = deltas.shape
        deltas = deltas.view(count, -1, 4, height, width).permute(0, 3, 4, 1, 2).flatten(1, -2)
        return logits, deltas


class RPN(nn.Module):
    """Proposes boxes, and learns from annotated ones.

    Args:
        channels: channels of the pyramid.
        anchors: sizes and ratios.
        settings: thresholds, samples and caps.
    """

    def __init__(self, channels: int, anchors: AnchorSettings, settings: RPNSettings) -> None:
        super().__init__()
        self.rpn_head = RPNHead(channels, anchors.anchors_per_cell)
        self._anchors = anchors
        self._settings = settings

    def forward(self, features: Sequence[Tensor]) -> RPNOutput:
        """Return the raw answers on p2 to p6."""
        sizes_hw = [(level.shape[-2], level.shape[-1]) for level in features]
        anchors = level_anchors(self._anchors, sizes_hw, features[0].device)
        pairs = [self.rpn_head(level) for level in features]
        return RPNOutput(anchors, [logits for logits, _ in pairs], [deltas for _, deltas in pairs])

    @torch.no_grad()
    def propose(self, output: RPNOutput, sizes_hw: Sequence[tuple[int, int]]) -> list[Proposals]:
        """Return the proposals of each image.

        Args:
            output: the raw answers.
            sizes_hw: each image's size before padding, at which boxes are clipped.

        Raises:
            FloatingPointError: in training, where an answer is not finite: the network has diverged.
        """
        settings = self._settings
        before = settings.pre_nms_topk_train if self.training else settings.pre_nms_topk_test
        boxes, scores, levels = [], [], []
        for level, (anchors, logits, deltas) in enumerate(
            zip(output.anchors, output.logits, output.deltas, strict=True)
        ):
            top, order = logits.float().topk(min(before, logits.shape[1]), dim=1)
            chosen = torch.gather(deltas, 1, order[:, :, None].expand(-1, -1, 4))
            decoded = decode_deltas(chosen.reshape(-1, 4), anchors[order].reshape(-1, 4), settings.delta_weights)
            boxes.append(decoded.view(len(logits), -1, 4))
            scores.append(top)
            levels.append(torch.full((order.shape[1],), level, dtype=torch.int64, device=top.device))
        all_boxes, all_scores, all_levels = torch.cat(boxes, dim=1), torch.cat(scores, dim=1), torch.cat(levels)
        return [
            self._select(all_boxes[image], all_scores[image], all_levels, size_hw)
            for image, size_hw in enumerate(sizes_hw)
        ]

    def _select(self, boxes: Tensor, logits: Tensor, levels: Tensor, size_hw: tuple[int, int]) -> Proposals:
        finite = torch.isfinite(boxes).all(dim=1) & torch.isfinite(logits)
        if self.training and not bool(finite.all()):
            raise FloatingPointError("the network's proposals are not finite: training has diverged")
        boxes = clip(boxes, size_hw)
        usable = finite & larger_than(boxes, self._settings.min_box_size_px)
        boxes, logits, levels = boxes[usable], logits[usable], levels[usable]
        # On logits, not on their sigmoid: saturated scores would tie.
        kept = batched_nms(boxes, logits, levels, self._settings.nms_threshold)
        after = self._settings.post_nms_topk_train if self.training else self._settings.post_nms_topk_test
        kept = kept[:after]
        return Proposals(boxes[kept], logits[kept])

    @torch.no_grad()
    def match_anchors(self, anchors: Tensor, annotated_xyxy: Tensor) -> Matches:
        """Return each anchor's best annotated box and its label before sampling."""
        return match_boxes(annotated_xyxy, anchors, self._settings.iou_thresholds, ties="keep best")

    def losses(
        self,
        output: RPNOutput,
        annotated_xyxy: Sequence[Tensor],
        sampler: Sampler,
        whole: WholeBatch = ONE_PROCESS,
    ) -> RPNLosses:
        """Return the losses against each image's annotated boxes (N, 4); N may be 0."""
        settings = self._settings
        anchors = torch.cat(output.anchors)
        logits, deltas = torch.cat(output.logits, dim=1), torch.cat(output.deltas, dim=1)
        chosen_logits, labels, predicted, targets = [], [], [], []
        for image, boxes in enumerate(annotated_xyxy):
            matches = self.match_anchors(anchors, boxes)
            positive, negative = sampler.sample(
                torch.nonzero(matches.labels == ABOVE)[:, 0],
                torch.nonzero(matches.labels == BELOW)[:, 0],
                count=settings.batch_size_per_image,
                positive_fraction=settings.positive_fraction,
            )
            used = torch.zeros(len(anchors), dtype=torch.bool, device=anchors.device)
            used[positive] = True
            # Anchor order, not the order of the draw: float sums depend on it.
            positive = torch.nonzero(used)[:, 0]
            is_positive = used.clone()
            used[negative] = True
            chosen_logits.append(logits[image][used])
            labels.append(is_positive[used])
            predicted.append(deltas[image][positive])
            matched = boxes[matches.annotated_indices[positive]] if len(boxes) else boxes
            targets.append(encode_deltas(anchors[positive], matched, settings.delta_weights))
        truth = torch.cat(labels)
        objectness = F.binary_cross_entropy_with_logits(
            torch.cat(chosen_logits).float(), truth.float(), reduction="sum"
        )
        box = smooth_l1_sum(torch.cat(predicted).float(), torch.cat(targets), settings.smooth_l1_beta)
        image_count = len(annotated_xyxy)
        # By the sample's nominal size, not by what was found.
        normaliser = settings.batch_size_per_image * float(whole.total(torch.tensor(float(image_count))))
        positives = int(truth.sum())
        return RPNLosses(
            objectness=objectness / normaliser * settings.objectness_loss_weight,
            box=box / normaliser * settings.box_loss_weight,
            positives_per_image=positives / image_count,
            negatives_per_image=(len(truth) - positives) / image_count,
        )
