"""A start without pretrained weights: frozen norms need statistics, or activations grow until they overflow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nucleate.models.mask_rcnn.layers import FrozenBatchNorm
from nucleate.models.mask_rcnn.network import MaskRCNN


@torch.no_grad()
def fill_frozen_statistics(network: MaskRCNN, images: Sequence[Tensor]) -> int:
    """Fill the mean and variance of every frozen norm from a batch, layer after layer, in one forward pass.

    Without loaded weights Detectron2's frozen norms keep mean 0 and variance 1: full-size R50 is NaN in the fourth
    iteration. Filled once (and with MODEL.BACKBONE.FREEZE_AT 0), the network trains best of the variants that were
    measured, and its checkpoint is a valid one of Detectron2's, with FrozenBN.

    Args:
        network: with initial weights; affine terms stay as they are.
        images: a few training images as `TrainingImage.image` holds them; several give better statistics.

    Returns:
        How many norms were filled; 0 where the network has trainable batch norm.
    """
    norms = [module for module in network.modules() if isinstance(module, FrozenBatchNorm)]
    handles = [norm.register_forward_pre_hook(_fill) for norm in norms]
    try:
        network.backbone(network.batch(images).tensor)
    finally:
        for handle in handles:
            handle.remove()
    return len(norms)


def _fill(norm: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
    assert isinstance(norm, FrozenBatchNorm)
    variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
