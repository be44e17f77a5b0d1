"""The mask branch (He 2017): convolutions, a doubling, one map a class or one for all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nucleate.models.mask_rcnn.layers import fill_msra, fill_normal
from nucleate.models.mask_rcnn.settings import MaskHeadSettings


@dataclass(frozen=True, slots=True)
class MaskLoss:
    """The loss, and shares of pixels: right, wrongly inside, wrongly outside; None without foreground."""

    loss: Tensor
    accuracy: float | None
    false_positive: float | None
    false_negative: float | None


class MaskHead(nn.Module):
    """`mask_fcn1`..., `deconv`, `predictor`.

    Args:
        channels: channels of the pyramid.
        class_count: K.
        settings: number and width of the convolutions, class-agnostic or not.
    """

    def __init__(self, channels: int, class_count: int, settings: MaskHeadSettings) -> None:
        super().__init__()
        width = settings.conv_channels
        self._names = [f"mask_fcn{index + 1}" for index in range(settings.conv_count)]
        for name in self._names:
            conv = nn.Conv2d(channels, width, 3, padding=1)
            fill_msra(conv)
            self.add_module(name, conv)
            channels = width
        self.deconv = nn.ConvTranspose2d(channels, width, 2, stride=2)
        self.predictor = nn.Conv2d(width, 1 if settings.class_agnostic else class_count, 1)
        fill_msra(self.deconv)
        fill_normal(self.predictor, std=0.001)
        self._class_agnostic = settings.class_agnostic

    def forward(self, pooled: Tensor, class_indices: Tensor) -> Tensor:
        """Return the (R, 2S, 2S) float32 logits of each box's class.

        Args:
            pooled: (R, C, S, S) features inside the boxes.
            class_indices: (R,) the class whose map is wanted.
        """
        for name in self._names:
            pooled = F.relu_(self.get_submodule(name)(pooled))
        maps: Tensor = self.predictor(F.relu_(self.deconv(pooled)))
        if self._class_agnostic:
            return maps[:, 0].float()
        rows = torch.arange(len(maps), device=maps.device)
        return maps[rows, class_indices].float()


def mask_loss(logits: Tensor, targets: Tensor, *, count: float) -> MaskLoss:
    """Return the mean binary cross entropy of (R, S, S) logits against (R, S, S) bool targets.

    Args:
        logits: of the boxes here.
        targets: what they should be.
        count: boxes of the whole batch, R where it is here; the sum is divided by all their pixels.
    """
    if not len(logits):
        return MaskLoss(logits.sum() * 0.0, None, None, None)
    loss = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="sum")
    loss = loss / (count * targets[0].numel())
    wrong = (logits > 0.0) != targets
    inside = int(targets.sum())
    return MaskLoss(
        loss=loss,
        accuracy=1.0 - float(wrong.sum()) / targets.numel(),
        false_positive=float((wrong & ~targets).sum()) / max(targets.numel() - inside, 1),
        false_negative=float((wrong & targets).sum()) / max(inside, 1),
    )
