"""What the comparison ran on: the processor by its name, what it can do, what else it was doing."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from nucleate.models.run_card import current_versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A computer.

    Attributes:
        processor: its name, and its family and model where the system tells.
        processors: that this process may use.
        capabilities: OpenVINO's OPTIMIZATION_CAPABILITIES; none where it is not installed.
        units: instruction sets that matter here, of those that the system tells.
        system: the operating system.
        versions: of the packages that compute.
    """

    processor: str
    processors: int
    capabilities: tuple[str, ...]
    units: tuple[str, ...]
    system: str
    versions: dict[str, str]

    @property
    def has_bf16(self) -> bool:
        """Return whether the processor has units for bf16, as OpenVINO sees it."""
        return "BF16" in self.capabilities


def this_machine() -> Machine:
    """Describe the computer."""
    described = _cpuinfo()
    flags = described.get("flags", "").split()
    capabilities: tuple[str, ...] = ()
    versions = current_versions()
    try:
        import openvino
    except ImportError:
        pass
    else:
        capabilities = tuple(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        versions["openvino"] = openvino.__version__
    name = described.get("model name") or platform.processor() or platform.machine()
    if "model" in described:
        name += f" (family {described.get('cpu family', '?')}, model {described['model']})"
    return Machine(
        processor=name,
        processors=processors(),
        capabilities=capabilities,
        units=tuple(flag for flag in flags if re.fullmatch(r"avx2|avx512f|avx512_bf16|avx512_vnni|amx_.*", flag)),
        system=platform.platform(),
        versions=versions,
    )


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float | None:
    """Return how many processes wanted to compute, on average of the last minute; None where nobody counts."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
