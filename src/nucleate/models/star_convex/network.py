"""The star-convex network: an EfficientNet-Lite0 encoder and a U-Net decoder that answer nuclei cell by cell.

StarDist's formulation (Schmidt et al., MICCAI 2018): each cell of the output tells whether it lies in a nucleus, how
deep, and how far the outline is along 32 rays. One more map tells how good that outline is (its polar IoU, as in
PolarMask, Xie et al., CVPR 2020), since depth says little about quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nucleate.models.efficientnet_lite0 import PIXEL_MEAN, PIXEL_STD, EfficientNetLite0
from nucleate.models.star_convex.rays import LOG_DISTANCE_BOUNDS, RAYS

SIDE_MULTIPLE_PX = 32
_USUAL_DISTANCE_LOG = 2.0
_RARE = -2.0
"""Logit that maps start at: most cells lie in no nucleus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StarConvexMaps:
    """What the network says of a batch; a cell covers 2 x 2 pixels of the input.

    Attributes:
        depth: (N, h, w) logits of the distance to the outline relative to the deepest point of the nucleus.
        inside: (N, h, w) logits of lying in a nucleus.
        quality: (N, h, w) logits of the polar IoU of the cell's own outline.
        log_distances: (N, 32, h, w) logarithm of the distances to the outline in input pixels.
    """

    depth: Tensor
    inside: Tensor
    quality: Tensor
    log_distances: Tensor


class StarConvexNetwork(nn.Module):
    """The network.

    Args:
        decoder_channels: of the decoder at strides 16, 8, 4 and 2.

    Attributes:
        decoder_dtype: lower precision of the decoder; None for the weights' own.

    Raises:
        MissingExtraError: timm is not installed.
    """

    def __init__(self, decoder_channels: tuple[int, int, int, int] = (128, 96, 64, 64)) -> None:
        super().__init__()
        self.decoder_channels = decoder_channels
        self.decoder_dtype: torch.dtype | None = None
        self._is_frozen = False
        self.encoder = EfficientNetLite0()
        *skips, deepest = self.encoder.out_channels
        stages, below = [], deepest
        for skip, channels in zip(reversed(skips), decoder_channels, strict=True):
            stages.append(DecoderStage(below, skip, channels))
            below = channels
        self.decoder = nn.ModuleList(stages)
        self.head = nn.Conv2d(below, 3 + RAYS, kernel_size=1)
        _fill_head(self.head)

    def stages(self) -> list[DecoderStage]:
        """Return the decoder's stages, coarsest first."""
        return [stage for stage in self.decoder if isinstance(stage, DecoderStage)]

    def freeze(self) -> None:
        """Take the encoder's weights and the statistics of all norms out of training, for good.

        The decoder's convolutions, its norms' factors and shifts, and the head stay trainable.
        """
        self.encoder.requires_grad_(requires_grad=False)
        self._is_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's signature
        """Switch between training and use; the statistics of a frozen network's norms stay in use."""
        super().train(mode)
        if self._is_frozen:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> StarConvexMaps:
        """Return the maps of (N, 3, H, W) images, RGB from 0 to 255; H and W are multiples of 32."""
        normalised = (images - PIXEL_MEAN) / PIXEL_STD
        # Depthwise convolutions are faster in channels_last, the decoder's in NCHW (measured on CPUs, both ways).
        maps = self.encoder(normalised.contiguous(memory_format=torch.channels_last))
        with torch.autocast(images.device.type, dtype=self.decoder_dtype, enabled=self.decoder_dtype is not None):
            x = maps[-1].contiguous()
            for stage, skip in zip(self.decoder, reversed(maps[:-1]), strict=True):
                x = stage(x, skip.contiguous())
        # Distances need more digits than bf16 has.
        answer = self.head(x.float())
        return StarConvexMaps(
            depth=answer[:, 0],
            inside=answer[:, 1],
            quality=answer[:, 2],
            log_distances=answer[:, 3:].clamp(*LOG_DISTANCE_BOUNDS),
        )


class DecoderStage(nn.Module):
    """One step up: the map below, grown to twice its size, and the encoder's map of that size.

    Args:
        below: channels of the map below.
        skip: channels of the encoder's map.
        channels: of the answer.
    """

    def __init__(self, below: int, skip: int, channels: int) -> None:
        super().__init__()
        self.below = below
        self.merge = _convolution(below + skip, channels)
        self.refine = _convolution(channels, channels)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Return the map of the encoder's map's size."""
        larger = F.interpolate(below, scale_factor=2.0, mode="nearest")
        answer: Tensor = self.refine(self.merge(torch.cat([larger, skip], dim=1)))
        return answer


def _convolution(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _fill_head(head: nn.Conv2d) -> None:
    nn.init.normal_(head.weight, std=0.01)
    assert head.bias is not None
    with torch.no_grad():
        head.bias[:2] = _RARE
        head.bias[2] = 0.0
        head.bias[3:] = _USUAL_DISTANCE_LOG
