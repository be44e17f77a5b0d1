"""Which device a network runs on when nobody says."""

from __future__ import annotations

import torch

from nucleate.errors import ConfigError

_KINDS = ("cuda", "mps", "cpu")


def default_device() -> torch.device:
    """Return the first NVIDIA GPU, else Apple's GPU, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def parse_device(name: str | None) -> torch.device:
    """Return the device that a user named ("cpu", "cuda", "cuda:1", "mps"); None takes `default_device`.

    Raises:
        ConfigError: there is no such device here.
    """
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"no device {name!r}: use one of {', '.join(_KINDS)}") from None
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not present.get(device.type, False):
        raise ConfigError(f"no device {name!r} on this machine; without a name it takes {default_device()}")
    return device
