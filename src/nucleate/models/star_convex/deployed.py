"""The network rewritten for engines: the same numbers from fewer multiplications, and nothing moved needlessly.

Growing a map to twice its size by repeating each cell and convolving it with 3 x 3 weights multiplies the same cell
several times. A transposed convolution of 4 x 4 weights with a stride of 2, each the sum of those that met the same
cell, answers the same with 4 products a pixel and channel instead of 9. The answers stay as the convolutions leave
them: distances as logarithms, of which decoding asks a few cells alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nucleate.models.efficientnet_lite0 import PIXEL_MEAN, PIXEL_STD
from nucleate.models.star_convex.network import DecoderStage, StarConvexNetwork
from nucleate.models.star_convex.rays import RAYS

_SHARES = 3
_MEETING = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
"""Which of three weights along one axis meet the same cell of the smaller map, for the four of a transposed one."""
_PARTING = torch.linalg.pinv(_MEETING)


class DeployedNetwork(nn.Module):
    """What is exported: uint8 images to shares and logarithms of distances.

    Args:
        network: in `eval()` mode; its weights are copied.
    """

    def __init__(self, network: StarConvexNetwork) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.stages = nn.ModuleList(_DeployedStage(stage) for stage in network.stages())
        self.shares = _part(network.head, slice(0, _SHARES))
        self.log_distances = _part(network.head, slice(_SHARES, _SHARES + RAYS))

    def forward(self, images_rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, 3, h, w) depth, inside and quality from 0 to 1, and (N, 32, h, w) logarithms of distances.

        Args:
            images_rgb: (N, H, W, 3) uint8.
        """
        images = images_rgb.permute(0, 3, 1, 2).float()
        *skips, x = self.encoder((images - PIXEL_MEAN) / PIXEL_STD)
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = stage(x, skip)
        return self.shares(x).sigmoid(), self.log_distances(x)


class _DeployedStage(nn.Module):
    @torch.no_grad()
    def __init__(self, stage: DecoderStage) -> None:
        super().__init__()
        convolution, norm = stage.merge[0], stage.merge[1]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weights = convolution.weight * factor[:, None, None, None]
        below, skip = weights[:, : stage.below], weights[:, stage.below :]
        self.grow = nn.ConvTranspose2d(below.shape[1], len(weights), kernel_size=4, stride=2, padding=1)
        self.grow.weight.copy_(_met(below))
        assert self.grow.bias is not None
        self.grow.bias.copy_(norm.bias - norm.running_mean * factor)
        self.skip = nn.Conv2d(skip.shape[1], len(weights), kernel_size=3, padding=1, bias=False)
        self.skip.weight.copy_(skip)
        self.refine = stage.refine

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        answer: Tensor = self.refine(F.relu(self.skip(skip) + self.grow(below)))
        return answer


@torch.no_grad()
def _part(head: nn.Conv2d, channels: slice) -> nn.Conv2d:
    assert head.bias is not None
    weights = head.weight[channels]
    part = nn.Conv2d(head.in_channels, len(weights), kernel_size=1)
    assert part.bias is not None
    part.weight.copy_(weights)
    part.bias.copy_(head.bias[channels])
    return part


def _met(weights: Tensor) -> Tensor:
    """Return the (I, O, 4, 4) weights that answer on a map what (O, I, 3, 3) ones answer on the repeated one."""
    return torch.einsum("ac,oicd,bd->ioab", _MEETING, weights, _MEETING)


def parted(weights: Tensor) -> Tensor:
    """Return the (O, I, 3, 3) weights whose sums (I, O, 4, 4) ones are, by least squares where these are rounded."""
    return torch.einsum("ca,ioab,db->oicd", _PARTING, weights, _PARTING)
