"""What a call wants of each of its slides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from nucleate.api.scaling import ScaleRequest
from nucleate.errors import ConfigError
from nucleate.inference import InferenceSettings
from nucleate.inference.whole_slide import WorkSettings, resident_bytes
from nucleate.measurement import StainSettings
from nucleate.slides import Region, SlideSettings

# Program, network and a row of blocks; each tile under way holds its pixels and what becomes of them. What a process
# holds before the first tile counts where it is more: another network, or a program that calls us.
BASE_GIB = 1.0
TILE_GIB = 0.06
MOST_TILES_IN_FLIGHT = 8
LEAST_GIB = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideRequest:
    """What a call wants of each of its slides.

    Attributes:
        scale: what was said of all of them.
        inference: threshold, stain, tiles, batches.
        memory_gib: that the process may hold.
        apply_colour_profile: bring the scanner's colours to sRGB.
        fresh: start anew.
        roi: nuclei are looked for in these regions alone; none takes the whole slide.
        regions: file of regions to tell counts of, once the slide is done.
    """

    scale: ScaleRequest
    inference: InferenceSettings
    memory_gib: float
    apply_colour_profile: bool
    fresh: bool
    roi: tuple[Region, ...] = ()
    regions: Path | None = None

    def __post_init__(self) -> None:
        if not self.memory_gib >= LEAST_GIB:
            raise ConfigError(f"--memory {self.memory_gib:g} GiB: at least {LEAST_GIB:g} are needed")

    @property
    def opening(self) -> SlideSettings:
        """Return how slides are opened."""
        return SlideSettings(mpp=self.scale.mpp, apply_colour_profile=self.apply_colour_profile)

    @property
    def work(self) -> WorkSettings:
        """Return how blocks are segmented, with as many tiles under way as the memory leaves room for."""
        held_gib = max(BASE_GIB, (resident_bytes() or 0) / 2**30)
        room = math.floor((self.memory_gib - held_gib) / (2 * TILE_GIB))
        return WorkSettings(
            score_threshold=self.inference.score_threshold,
            stain=self.inference.stain,
            batch_tiles=self.inference.batch_images,
            tiles_in_flight=min(max(1, room), MOST_TILES_IN_FLIGHT),
            stain_measurement=StainSettings(),
        )
