"""What the star-convex recipe decides: network, scales, appearance, optimiser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nucleate.errors import ConfigError
from nucleate.training.settings import Balance, LoopSettings, Precision, check_range, check_share

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How crops are taken from images.

    Attributes:
        crop_px: side of a crop; a multiple of 32.
        diameter_px: median nuclear diameter that every source is brought to: the working scale.
        usual_scale: log-uniform variation around it, of most crops.
        wide_scale: the same for the rest.
        wide_share: share of the crops at a wide scale.
        aspect: largest stretch of one side against the other, 0.12 for 12 %.
        free_rotation: share of the crops turned by any angle; the others by quarters.
    """

    crop_px: int = 256
    diameter_px: float = 20.0
    usual_scale: Range = (0.8, 1.25)
    wide_scale: Range = (0.55, 2.0)
    wide_share: float = 0.3
    aspect: float = 0.12
    free_rotation: float = 0.5

    def __post_init__(self) -> None:
        if self.crop_px < 64 or self.crop_px % 32:
            raise ConfigError(f"{self.crop_px}: give a multiple of 32, at least 64", item="geometry.crop_px")
        if not 4 <= self.diameter_px <= 200:
            raise ConfigError(f"{self.diameter_px}: 4 to 200 px", item="geometry.diameter_px")
        for name in ("usual_scale", "wide_scale"):
            check_range(f"geometry.{name}", getattr(self, name))
        for name in ("wide_share", "aspect", "free_rotation"):
            check_share(f"geometry.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """How stain, scanner and focus are varied, each crop by itself. Ranges are log-uniform factors unless said.

    Attributes:
        untouched: share of the crops that keep their colours.
        stain: share whose haematoxylin and eosin are varied in optical density (Beer-Lambert).
        own_matrix: share of these whose stain vectors stay their own but for `matrix`.
        matrix: standard deviation added to the entries of the unit stain vectors.
        haematoxylin: factor on its concentration.
        eosin: the same.
        residual: the same for what is neither.
        bias: standard deviation added to both concentrations.
        white_od: highest optical density of a scanner's white.
        grey_od: highest optical density of a tinted background.
        lab: share whose CIELAB mean and deviation are moved towards those of another laboratory.
        colour: share with varied saturation, hue, contrast, brightness, white balance and gamma.
        focus: share that is blurred, sharpened, or sampled down and up.
        noise: share with pixel noise.
        jpeg: share that went through JPEG.
    """

    untouched: float = 0.45
    stain: float = 0.8
    own_matrix: float = 0.5
    matrix: float = 0.035
    haematoxylin: Range = (0.6, 2.0)
    eosin: Range = (0.45, 1.5)
    residual: Range = (0.6, 1.3)
    bias: float = 0.04
    white_od: float = 0.18
    grey_od: float = 0.48
    lab: float = 0.3
    colour: float = 0.75
    focus: float = 0.46
    noise: float = 0.2
    jpeg: float = 0.3

    def __post_init__(self) -> None:
        for name in ("untouched", "stain", "own_matrix", "lab", "colour", "focus", "noise", "jpeg"):
            check_share(f"appearance.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimisation:
    """AdamW beyond Detectron2's SOLVER keys: rates, decay, the average of the weights.

    The rate rises over SOLVER.WARMUP_ITERS, stays at SOLVER.BASE_LR, and falls as a cosine over the last part: a
    plateau instead of one long cosine, so that a training can be lengthened without having been spoilt.

    Attributes:
        encoder_factor: the encoder's rate relative to the decoder's.
        fall_share: the last share of the iterations, in which the rate falls.
        lowest_factor: of the rate at the end.
        average_decay: of the exponential moving average of the weights, which is what is kept and evaluated.
        mean_share: the last share of the iterations, all of which count alike in that average: for long plateaus.
        clip_norm: largest norm of all gradients together.
    """

    encoder_factor: float = 0.5
    fall_share: float = 0.4
    lowest_factor: float = 0.01
    average_decay: float = 0.998
    mean_share: float = 0.0
    clip_norm: float = 2.0

    def __post_init__(self) -> None:
        for name in ("encoder_factor", "fall_share", "lowest_factor", "average_decay", "mean_share"):
            check_share(f"optimisation.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class StarConvexRecipeSettings(LoopSettings):
    """Everything of the recipe that Detectron2 has no key for.

    Attributes:
        decoder_channels: of the decoder at strides 16, 8, 4 and 2.
        geometry: crops.
        appearance: colours.
        balance: which images how often.
        optimisation: optimiser.
        precision: of the decoder: fp32; bf16; fp16; auto takes bf16 where a timing says it is faster. The encoder stays
            fp32, since depthwise convolutions are slow backwards in bf16.
        start: of the encoder where no --weights are given.
        frozen: the encoder's weights and the statistics of all norms stay as they start: for few images.
        threads: of torch; 0 leaves torch's own choice.
        score_threshold: nuclei above it count where no validation split can choose.
    """

    decoder_channels: tuple[int, int, int, int] = (128, 96, 64, 64)
    geometry: Geometry = field(default_factory=Geometry)
    appearance: Appearance = field(default_factory=Appearance)
    balance: Balance = field(default_factory=Balance)
    optimisation: Optimisation = field(default_factory=Optimisation)
    precision: Precision = "fp32"
    start: Literal["none", "imagenet"] = "imagenet"
    frozen: bool = False
    threads: int = 0
    score_threshold: float = 0.5

    def __post_init__(self) -> None:
        LoopSettings.__post_init__(self)
        check_share("score_threshold", self.score_threshold)
