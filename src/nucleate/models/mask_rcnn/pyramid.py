"""The feature pyramid (Lin 2017) over a body with maps at strides 4, 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from nucleate.models.mask_rcnn.layers import NormConv2d, fill_xavier

STRIDES_PX = (4, 8, 16, 32, 64)
"""Strides of p2 to p6."""
SIZE_DIVISIBILITY_PX = 32


def padded_side_px(side_px: int) -> int:
    """Return the next side that every level of the pyramid halves evenly."""
    return -(-side_px // SIZE_DIVISIBILITY_PX) * SIZE_DIVISIBILITY_PX


"""Both sides of the network's input are padded to a multiple of this."""


class Body(Protocol):
    """What the pyramid stands on."""

    out_channels: Sequence[int]

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Return maps at strides 4, 8, 16 and 32."""
        ...


class FeaturePyramid(nn.Module):
    """Lateral 1x1 convolutions, nearest doubling and sums from the top down, 3x3 convolutions; p6 thins out p5.

    Args:
        bottom_up: the body.
        body_channels: channels of its four maps.
        channels: channels of every pyramid level.
    """

    def __init__(self, bottom_up: nn.Module, body_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        # The order of registration is Detectron2's: an optimiser's stored state is keyed by position.
        for level, in_channels in enumerate(body_channels, start=2):
            lateral = NormConv2d(in_channels, channels, 1)
            output = NormConv2d(channels, channels, 3)
            fill_xavier(lateral)
            fill_xavier(output)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)
        self.bottom_up = bottom_up
        self.channels = channels

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return p2 to p6 of a normalised (N, 3, H, W) batch; H and W are multiples of 32."""
        maps: list[Tensor] = self.bottom_up(x)
        merged: Tensor | None = None
        levels: list[Tensor] = []
        for level in range(5, 1, -1):
            lateral = self.get_submodule(f"fpn_lateral{level}")(maps[level - 2])
            merged = lateral if merged is None else lateral + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            levels.insert(0, self.get_submodule(f"fpn_output{level}")(merged))
        levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return levels
