"""The residual body with bottleneck blocks (He 2016) under Detectron2's names: stem, res2 to res5."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from nucleate.models.mask_rcnn.layers import NormConv2d, fill_msra, freeze, make_norm
from nucleate.models.mask_rcnn.settings import BackboneSettings, Norm

BLOCKS_OF_DEPTH = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class Stem(nn.Module):
    """7x7 convolution with stride 2, norm, ReLU, 3x3 max pooling with stride 2: stride 4 in all."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = NormConv2d(3, channels, 7, stride=2, norm=make_norm(norm, channels))
        fill_msra(self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H/4, W/4)."""
        return F.max_pool2d(F.relu_(self.conv1(x)), kernel_size=3, stride=2, padding=1)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a shortcut, which is a convolution where the channel count changes.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        middle_channels: channels of the 3x3 convolution.
        stride: 2 in the first block of res3 to res5.
        settings: where the stride sits, groups, norm.
    """

    def __init__(
        self, in_channels: int, out_channels: int, middle_channels: int, stride: int, settings: BackboneSettings
    ) -> None:
        super().__init__()
        norm = settings.norm
        # Tensor shapes don't tell where the stride sits; only the configuration does.
        stride_1x1, stride_3x3 = (stride, 1) if settings.stride_in_1x1 else (1, stride)
        self.shortcut: NormConv2d | None = None
        if in_channels != out_channels:
            self.shortcut = NormConv2d(in_channels, out_channels, 1, stride=stride, norm=make_norm(norm, out_channels))
        self.conv1 = NormConv2d(
            in_channels, middle_channels, 1, stride=stride_1x1, norm=make_norm(norm, middle_channels)
        )
        self.conv2 = NormConv2d(
            middle_channels,
            middle_channels,
            3,
            stride=stride_3x3,
            groups=settings.groups,
            norm=make_norm(norm, middle_channels),
        )
        self.conv3 = NormConv2d(middle_channels, out_channels, 1, norm=make_norm(norm, out_channels))
        for layer in (self.conv1, self.conv2, self.conv3, self.shortcut):
            if layer is not None:
                fill_msra(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H / stride, W / stride)."""
        out = F.relu_(self.conv1(x))
        out = F.relu_(self.conv2(out))
        out = self.conv3(out)
        out += x if self.shortcut is None else self.shortcut(x)
        return F.relu_(out)


class ResNet(nn.Module):
    """The body; answers the maps of res2 to res5, at strides 4, 8, 16 and 32.

    Args:
        settings: depth, widths, norm, frozen stages.
    """

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        self.stem = Stem(settings.stem_channels, settings.norm)
        self.out_channels: list[int] = []
        in_channels = settings.stem_channels
        for index, blocks in enumerate(BLOCKS_OF_DEPTH[settings.depth]):
            out_channels = settings.res2_channels * 2**index
            middle_channels = settings.groups * settings.width_per_group * 2**index
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 and index > 0 else 1
                stage.append(Bottleneck(in_channels, out_channels, middle_channels, stride, settings))
                in_channels = out_channels
            self.add_module(f"res{index + 2}", stage)
            self.out_channels.append(out_channels)
        for part in self.parts()[: settings.freeze_at]:
            freeze(part)

    def parts(self) -> list[nn.Module]:
        """Return stem and stages in order, as FREEZE_AT counts them."""
        return [self.stem, *(self.get_submodule(f"res{stage}") for stage in range(2, 6))]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the four stages' maps of a normalised (N, 3, H, W) batch."""
        maps = []
        for index, part in enumerate(self.parts()):
            x = part(x)
            if index > 0:
                maps.append(x)
        return maps
