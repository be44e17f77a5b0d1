"""Convolutions with Detectron2's parameter names (`conv1.weight`, `conv1.norm.bias`), its frozen norm and its fills."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nucleate.models.mask_rcnn.settings import Norm

FROZEN_NORM_EPS = 1e-5


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics and affine terms are buffers: no gradient, no decay, never updated.

    Args:
        channels: number of channels.
        eps: added to the variance.
        activation: applied to the answer; None for none.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = FROZEN_NORM_EPS, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.eps = eps
        self.activation = activation
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels) - eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) normalised with the frozen numbers."""
        normalised = self._normalised(x)
        return normalised if self.activation is None else self.activation(normalised)

    def _normalised(self, x: Tensor) -> Tensor:
        if not x.requires_grad:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        # With gradients Detectron2 scales and shifts: less memory than batch_norm's backward, other float noise.
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        shape = (1, -1, 1, 1)
        return (x * scale.reshape(shape).to(x.dtype)).add_(shift.reshape(shape).to(x.dtype))

    @classmethod
    def frozen(cls, norm: nn.BatchNorm2d) -> FrozenBatchNorm:
        """Return a frozen norm with the numbers of a trainable one, and its activation where it has one (timm)."""
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("a norm without running statistics can't be frozen")
        frozen = cls(norm.num_features, norm.eps, getattr(norm, "act", None))
        frozen.weight.copy_(norm.weight.detach())
        frozen.bias.copy_(norm.bias.detach())
        frozen.running_mean.copy_(norm.running_mean)
        frozen.running_var.copy_(norm.running_var)
        return frozen


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return the norm layer of a configuration's MODEL.RESNETS.NORM."""
    return FrozenBatchNorm(channels) if norm == "FrozenBN" else nn.BatchNorm2d(channels)


class NormConv2d(nn.Conv2d):
    """A convolution, then its norm (named `norm`), then ReLU where asked.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_px: side of the kernel; padding keeps the size at stride 1.
        stride: step of the kernel.
        groups: groups of channels.
        norm: the layer after the convolution; with one the convolution has no bias.
    """

    norm: nn.Module | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_px: int,
        *,
        stride: int = 1,
        groups: int = 1,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_px,
            stride=stride,
            padding=kernel_px // 2,
            groups=groups,
            bias=norm is None,
        )
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of (N, C, H, W), normalised."""
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)


def freeze(module: nn.Module) -> None:
    """Take a module out of training: no gradients, and every batch norm inside becomes a frozen one, in place."""
    for parameter in module.parameters():
        parameter.requires_grad = False
    freeze_norms(module)


def freeze_norms(module: nn.Module) -> None:
    """Replace every batch norm inside a module by a frozen one, in place; convolutions stay trainable."""
    for owner in list(module.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(owner, name, FrozenBatchNorm.frozen(child))


def fill_msra(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Initial weights of convolutions before ReLU (He 2015): normal, by fan-out; bias 0."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    _zero_bias(layer.bias)


def fill_xavier(layer: nn.Conv2d | nn.Linear) -> None:
    """Initial weights as Caffe2's XavierFill: uniform in +-sqrt(3 / fan-in); bias 0."""
    nn.init.kaiming_uniform_(layer.weight, a=1)
    _zero_bias(layer.bias)


def fill_normal(layer: nn.Conv2d | nn.Linear, std: float) -> None:
    """Initial weights of predictors: normal with a small deviation; bias 0."""
    nn.init.normal_(layer.weight, std=std)
    _zero_bias(layer.bias)


def _zero_bias(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias)
