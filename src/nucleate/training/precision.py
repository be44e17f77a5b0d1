"""Which arithmetic is fast on the processor at hand, by a timing instead of a guess."""

from __future__ import annotations

import time

import torch
from torch.nn import functional as F

from nucleate.training.settings import Precision

_CHANNELS, _SIDE_PX, _ROUNDS = 96, 64, 5


def resolve_precision(wanted: Precision, device: torch.device) -> tuple[torch.dtype | None, str]:
    """Return the autocast type, None for fp32, and a line for the log that says why.

    A 3x3 convolution is timed in both, forwards and backwards: processors with bfloat16 units (AMX, AVX512-BF16)
    win by 2 to 3, those without lose by 10.
    """
    if wanted == "fp32":
        return None, "precision fp32"
    if wanted == "bf16":
        return torch.bfloat16, "precision bf16, as asked"
    fp32_s, bf16_s = _convolution_seconds(device, torch.float32), _convolution_seconds(device, torch.bfloat16)
    timing = f"a 3x3 convolution takes {fp32_s * 1e3:.1f} ms in fp32, {bf16_s * 1e3:.1f} ms in bf16 here"
    # A network is more than convolutions; a small gain is not worth fewer digits.
    return (
        (torch.bfloat16, f"precision bf16: {timing}") if bf16_s < 0.7 * fp32_s else (None, f"precision fp32: {timing}")
    )


def _convolution_seconds(device: torch.device, dtype: torch.dtype) -> float:
    images = torch.ones(4, _CHANNELS, _SIDE_PX, _SIDE_PX, device=device, dtype=dtype, requires_grad=True)
    kernel = torch.ones(_CHANNELS, _CHANNELS, 3, 3, device=device, dtype=dtype, requires_grad=True)
    fastest = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        F.conv2d(images, kernel, padding=1).sum().backward()  # type: ignore[no-untyped-call]
        _wait(device)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
