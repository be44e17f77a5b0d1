"""Batch norm over the images of all processes, on CPUs too, where torch's SyncBatchNorm is not built."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from nucleate.training.processes import Processes


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch norm (Ioffe 2015) whose statistics in training are those of the whole step's crops.

    Every process must bring as many pixels as the others.

    Args:
        norm: whose parameters and statistics it takes over, not copies of them; and its activation (timm's).
        processes: who takes the step.
    """

    def __init__(self, norm: nn.BatchNorm2d, processes: Processes) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.activation: nn.Module | None = getattr(norm, "act", None)
        self._processes = processes

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) normalised."""
        normalised = self._normalised(x) if self.training else super().forward(x)
        return normalised if self.activation is None else self.activation(normalised)

    def _normalised(self, x: Tensor) -> Tensor:
        values = x.float()
        pixels = self._processes.count * values.numel() // self.num_features
        mean = self._total(values.sum(dim=(0, 2, 3))) / pixels
        centred = values - mean.reshape(1, -1, 1, 1)
        variance = self._total((centred**2).sum(dim=(0, 2, 3))) / pixels
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (pixels / max(1, pixels - 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)).to(x.dtype)

    def _total(self, values: Tensor) -> Tensor:
        return cast("Tensor", _Total.apply(values, self._processes))


class _Total(torch.autograd.Function):
    """The sum over the processes. Each process' answer depends on it, so their gradients are summed too."""

    @staticmethod
    def forward(context: Any, values: Tensor, processes: Processes) -> Tensor:
        context.processes = processes
        return processes.total(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return context.processes.total(gradients[0]), None


def sync_norms(network: nn.Module, processes: Processes) -> None:
    """Replace every batch norm inside a network by one over all processes, in place; alone it stays as it is."""
    if processes.count == 1:
        return
    for owner in list(network.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(owner, name, SyncedBatchNorm(child, processes))
