"""Which arithmetic is fast on the processor at hand, by a timing instead of a guess."""

from __future__ import annotations

import logging
import time

import torch
from torch.nn import functional as F

from nucleate.errors import ConfigError
from nucleate.training.processes import Processes
from nucleate.training.settings import Precision

_CHANNELS, _SIDE_PX, _ROUNDS = 96, 64, 5
_TYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_log = logging.getLogger(__name__)


def resolve_precision(wanted: Precision, device: torch.device) -> tuple[torch.dtype | None, str]:
    """Return the autocast type, None for fp32, and a line for the log that says why.

    A 3x3 convolution is timed in both, forwards and backwards: processors with bfloat16 units (AMX, AVX512-BF16)
    win by 2 to 3, those without lose by 10.

    Raises:
        ConfigError: fp16 where the device has none.
    """
    if wanted == "fp32":
        return None, "precision fp32"
    if wanted == "bf16":
        return torch.bfloat16, "precision bf16, as asked"
    if wanted == "fp16":
        _check_fp16(device)
        return torch.float16, "precision fp16, as asked; the loss is scaled"
    fp32_s, bf16_s = _convolution_seconds(device, torch.float32), _convolution_seconds(device, torch.bfloat16)
    timing = f"a 3x3 convolution takes {fp32_s * 1e3:.1f} ms in fp32, {bf16_s * 1e3:.1f} ms in bf16 here"
    # A network is more than convolutions; a small gain is not worth fewer digits.
    return (
        (torch.bfloat16, f"precision bf16: {timing}") if bf16_s < 0.7 * fp32_s else (None, f"precision fp32: {timing}")
    )


def agreed_precision(
    wanted: Precision, device: torch.device, processes: Processes, *, before: str | None
) -> tuple[str, torch.dtype | None]:
    """Return the precision of a training by name, and its autocast type, the same in all processes.

    Args:
        wanted: the recipe's; what a timing decides is decided once, since a resumed training must not change it.
        device: where.
        processes: who train; the first one's timing counts.
        before: what a resumed training began with; None for a new one.

    Raises:
        ConfigError: fp16 where the device has none.
    """
    names = list(_TYPES)
    if wanted == "auto" and before in _TYPES:
        _log.info("precision %s, as this training began; set precision=... for another", before)
        name = str(before)
    else:
        dtype, why = resolve_precision(wanted, device)
        _log.info("%s", why)
        name = next(each for each, type_ in _TYPES.items() if type_ == dtype)
    name = names[processes.of_first(names.index(name))]
    return name, _TYPES[name]


def loss_scaler(dtype: torch.dtype | None, device: torch.device) -> torch.amp.GradScaler | None:
    """Return what keeps gradients of fp16 from vanishing (Micikevicius 2018); None for types with a wide exponent."""
    return torch.amp.GradScaler(device.type) if dtype is torch.float16 else None


def _check_fp16(device: torch.device) -> None:
    try:
        _convolution_seconds(device, torch.float16, rounds=1, side_px=8)
    except RuntimeError as error:
        raise ConfigError(f"fp16 is not computed on this {device.type}: take bf16 or fp32", item="precision") from error


def _convolution_seconds(
    device: torch.device, dtype: torch.dtype, *, rounds: int = _ROUNDS, side_px: int = _SIDE_PX
) -> float:
    images = torch.ones(4, _CHANNELS, side_px, side_px, device=device, dtype=dtype, requires_grad=True)
    kernel = torch.ones(_CHANNELS, _CHANNELS, 3, 3, device=device, dtype=dtype, requires_grad=True)
    fastest = float("inf")
    for _ in range(rounds):
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
