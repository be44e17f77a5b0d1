"""What a recipe decides beyond Detectron2's keys: augmentation, precision, threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nucleate.errors import ConfigError
from nucleate.training.settings import Balance, LoopSettings, Precision, check_range, check_share


@dataclass(frozen=True, slots=True, kw_only=True)
class StainJitter:
    """Haematoxylin and eosin varied in optical density (Beer-Lambert), then the scanner's white and contrast.

    Attributes:
        probability: share of the images that are changed.
        matrix: standard deviation added to each entry of the unit stain vectors.
        haematoxylin: lowest and highest factor on its concentration, log-uniform.
        eosin: the same for eosin.
        bias: standard deviation added to both concentrations.
        white: lowest and highest factor on transmitted light, log-uniform.
        hue_degrees: standard deviation of a rotation of hue.
        noise: highest standard deviation of pixel noise, in grey levels.
        blur_px: highest standard deviation of a Gaussian blur.
    """

    probability: float = 0.0
    matrix: float = 0.02
    haematoxylin: tuple[float, float] = (0.75, 1.4)
    eosin: tuple[float, float] = (0.7, 1.3)
    bias: float = 0.03
    white: tuple[float, float] = (0.85, 1.2)
    hue_degrees: float = 4.0
    noise: float = 4.0
    blur_px: float = 0.8

    def __post_init__(self) -> None:
        check_share("stain.probability", self.probability)
        for name in ("haematoxylin", "eosin", "white"):
            check_range(f"stain.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How training images are varied.

    Attributes:
        enabled: False gives Detectron2's own mapper (resize by INPUT.MIN_SIZE_TRAIN, INPUT.RANDOM_FLIP).
        crop_px: side of the square that the network sees; a multiple of 32.
        horizontal_flip: probability.
        vertical_flip: probability.
        rotation_degrees: largest angle either way; 180 is any rotation. Masks are rotated, boxes taken from them.
        magnification: of the images in the network, in training and afterwards (INPUT.MIN_SIZE_TEST follows it).
        scale: lowest and highest variation of it, log-uniform.
        min_visible: a nucleus cut by the border is kept while this share of it is inside.
        stain: colour variation.
    """

    enabled: bool = True
    crop_px: int = 512
    horizontal_flip: float = 0.5
    vertical_flip: float = 0.5
    rotation_degrees: float = 180.0
    magnification: float = 1.0
    scale: tuple[float, float] = (0.8, 1.25)
    min_visible: float = 0.2
    stain: StainJitter = field(default_factory=StainJitter)

    def __post_init__(self) -> None:
        if self.crop_px < 64 or self.crop_px % 32:
            raise ConfigError(f"{self.crop_px}: give a multiple of 32, at least 64", item="augmentation.crop_px")
        for name in ("horizontal_flip", "vertical_flip", "min_visible"):
            check_share(f"augmentation.{name}", getattr(self, name))
        check_range("augmentation.scale", self.scale)
        if not 0.1 <= self.magnification <= 10:
            raise ConfigError(f"{self.magnification}: between 0.1 and 10", item="augmentation.magnification")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRCNNRecipeSettings(LoopSettings):
    """Settings of ours that Detectron2's configuration has no key for.

    Attributes:
        augmentation: how training images are varied.
        balance: which images how often; the default takes each once before any twice.
        average_decay: of an exponential moving average of the weights, which is then what is kept and evaluated; 0
            keeps the weights themselves.
        precision: fp32; bf16 or fp16 autocast; auto takes bf16 where a timing on this processor or GPU says so.
        channels_last: memory format of convolutions; faster on CPUs with depthwise convolutions.
        start: what is loaded where no --weights are given; imagenet exists for EfficientNet-Lite0 (its package).
        threads: of torch; 0 leaves torch's own choice.
        score_threshold: nuclei above it count where no validation split can choose.
    """

    augmentation: Augmentation = field(default_factory=Augmentation)
    balance: Balance = field(default_factory=lambda: Balance(source=1.0, organ=1.0))
    average_decay: float = 0.0
    precision: Precision = "fp32"
    channels_last: bool = False
    start: Literal["none", "imagenet"] = "none"
    threads: int = 0
    score_threshold: float = 0.5

    def __post_init__(self) -> None:
        LoopSettings.__post_init__(self)
        check_share("score_threshold", self.score_threshold)
        if not 0 <= self.average_decay < 1:
            raise ConfigError(f"{self.average_decay}: 0 (no average) to below 1", item="average_decay")
