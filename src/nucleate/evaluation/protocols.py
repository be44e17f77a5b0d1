"""The protocols by which nuclei are scored, and the words that are printed with every number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, assert_never

from nucleate.errors import ConfigError

ProtocolName = Literal["standard", "nuceval", "pannuke"]
Rasteriser = Literal["coco", "pixel-centres", "fillpoly"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NucevalParts:
    """The parts of the protocol `nuceval`; each can be on alone.

    Attributes:
        vague_threshold: a nucleus with a greater share of its pixels in vague areas is removed, 0 or more, others
            lose their pixels there; above 1 nothing is removed whole. None leaves vague areas unused.
        weighted: mean over images weighted by annotated nuclei; False gives every image the same weight.
        overlapping: annotated nuclei may share pixels; False gives shared pixels to the later one.
        ring_px: width of the ring around annotated outlines that counts for neither side; 0 for none.
        rasteriser: how annotated polygons become pixels: `coco` (pycocotools, as everywhere else), `pixel-centres`, or
            `fillpoly`, which draws the outline too and makes a square of 10 px one of 11 (nuc_eval).
    """

    vague_threshold: float | None = None
    weighted: bool = False
    overlapping: bool = False
    ring_px: int = 0
    rasteriser: Rasteriser = "coco"

    def __post_init__(self) -> None:
        threshold = self.vague_threshold
        if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
            raise ConfigError(f"vague threshold {threshold}: a share of a nucleus is 0 or more, usually 0.25")
        if self.ring_px < 0:
            raise ConfigError(f"a ring of {self.ring_px} px: give 0 for none, or a width")
        if self.rasteriser not in ("coco", "pixel-centres", "fillpoly"):
            raise ConfigError(f"rasteriser {self.rasteriser!r} is not one of coco, pixel-centres, fillpoly")

    def __str__(self) -> str:
        words = [
            "vague areas off"
            if self.vague_threshold is None
            else f"vague areas above {self.vague_threshold:g} removed",
            f"ring {self.ring_px} px" if self.ring_px else "ring off",
            "overlapping annotations kept" if self.overlapping else "overlapping annotations flattened",
            "weighted by nuclei" if self.weighted else "images weighted alike",
            f"rasteriser {self.rasteriser}",
        ]
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A protocol and its parts.

    Attributes:
        name: `standard`; `nuceval`; or `pannuke`, which scores images as `standard` does, leaves out those without
            annotated nuclei, and averages PQ over classes and tissues too.
        parts: of `nuceval`.
    """

    name: ProtocolName = "standard"
    parts: NucevalParts | None = None

    def __post_init__(self) -> None:
        match self.name:
            case "nuceval":
                if self.parts is None:
                    object.__setattr__(self, "parts", NucevalParts())
            case "standard" | "pannuke":
                if self.parts is not None:
                    raise ConfigError(f"vague areas, weights, overlaps and ring belong to nuceval, not to {self.name}")
            case _:
                raise ConfigError(f"protocol {self.name!r} is not one of standard, nuceval, pannuke")

    def __str__(self) -> str:
        return self.name if self.parts is None else f"{self.name} ({self.parts})"

    @property
    def weighted(self) -> bool:
        """Return whether images weigh by their annotated nuclei."""
        return self.parts is not None and self.parts.weighted

    @property
    def averaging(self) -> str:
        """Return how the scores of images become one."""
        match self.name:
            case "pannuke":
                return "mean over images with annotated nuclei"
            case "standard" | "nuceval":
                return "mean over images weighted by annotated nuclei" if self.weighted else "mean over images"
            case _:
                assert_never(self.name)


STANDARD = Protocol()
