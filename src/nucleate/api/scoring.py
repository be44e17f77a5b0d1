"""How `evaluate` and `compare` score: settings that become options, and the protocol made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucleate.data import CocoDataset, Split
from nucleate.errors import ConfigError
from nucleate.evaluation import (
    CentroidLimit,
    EmptyImageRule,
    EvaluationSettings,
    IntervalMethod,
    NucevalParts,
    Protocol,
    ProtocolName,
    Rasteriser,
    Resampling,
    VagueAreas,
)
from nucleate.models.star_convex.onnx_engine import Precision

USUAL_VAGUE_THRESHOLD = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSettings:
    """What `evaluate` and `compare` share.

    Attributes:
        score: nuclei above this score count for PQ, AJI and Dice, 0 to 1; unset takes the threshold stored with a
            model, 0.5 for a results list, and all nuclei of other files and folders. AP takes every detection.
        empty_image: what an image without annotated and predicted nuclei scores: 100 percent (one), 0 (zero), or
            nothing (skip).
        protocol: definitions of all scores but AP, which is COCO's: standard; nuceval, with at least one of --vague,
            --weighted, --overlapping and --ring-px; or pannuke, which also averages PQ over classes and tissues.
        vague: nuceval: folder with a mask an image, under the image's name; not 0 is vague.
        vague_threshold: nuceval: a nucleus with a greater share of its pixels in vague areas is removed; unset is
            0.25, above 1 only pixels are cut.
        weighted: nuceval: weigh images by their annotated nuclei.
        overlapping: nuceval: annotated nuclei may share pixels.
        ring_px: nuceval: width of the ring around annotated borders that counts for neither side.
        rasteriser: nuceval: how annotated polygons become pixels: coco, pixel-centres, or fillpoly as nuc_eval.
        centroid_px: longest distance of two centroids that are a pair, in pixels; unset takes half the annotated
            nucleus' equivalent diameter.
        resample_by: what intervals draw, and the test of `compare` swaps, as a whole: image, organ (in NuInsSeg a
            slide), source, or what a regular expression matches in the file name, such as a patient's number.
        interval: percentile, or bca, which corrects for bias and skewness.
        images: folder of the images, where it is not beside the annotations.
    """

    score: float | None = None
    empty_image: EmptyImageRule = "one"
    protocol: ProtocolName = "standard"
    vague: Path | None = None
    vague_threshold: float | None = None
    weighted: bool = False
    overlapping: bool = False
    ring_px: int = 0
    rasteriser: Rasteriser = "coco"
    centroid_px: float | None = None
    resample_by: str = "image"
    interval: IntervalMethod = "percentile"
    images: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings(ScoringSettings):
    """How predictions are scored.

    Attributes:
        diameter: median nuclear diameter of the images in pixels. Unset, the sources that a model with a working scale
            learned from are known, then the images' um/px in the data set; others are estimated image by image.
        mpp: um a pixel of the images, instead of the diameter.
        accurate: average a star-convex network over flips and turns of each image; eight times slower.
        precision: of a network that runs without torch: auto takes bf16 where the processor has units for it.
        batch_images: images or tiles of one size that go through the network together.
        fresh: replace an evaluation of other predictions, data or settings in the output folder.
    """

    diameter: float | None = None
    mpp: float | None = None
    accurate: bool = False
    precision: Precision = "auto"
    batch_images: int = 4
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings(ScoringSettings):
    """How results are compared; scores as `evaluate` makes them."""


DEFAULT_SETTINGS = EvaluateSettings()


def vague_areas(settings: ScoringSettings) -> VagueAreas | None:
    """Return the folder of vague areas, None where none is given.

    Raises:
        ConfigError: there is no such folder.
    """
    if settings.vague is None:
        return None
    if not settings.vague.is_dir():
        raise ConfigError(f"no folder of vague areas at {settings.vague}")
    return VagueAreas(folder=settings.vague)


def scoring_rules(settings: ScoringSettings, dataset: CocoDataset, split: Split) -> EvaluationSettings:
    """Return the rules that don't depend on the model.

    Raises:
        ConfigError: parts of `nuceval` under another protocol, or that protocol without any.
        DataError: an image has no vague area.
    """
    vague = vague_areas(settings)
    return EvaluationSettings(
        empty_image=settings.empty_image,
        split=split,
        protocol=protocol_of(settings),
        centroid_limit=CentroidLimit(distance_px=settings.centroid_px),
        resampling=Resampling(method=settings.interval),
        resample_by=settings.resample_by,
        vague_fingerprint="" if vague is None else vague.fingerprint(dataset),
    )


def protocol_of(settings: ScoringSettings) -> Protocol:
    """Return the protocol and its parts.

    Raises:
        ConfigError: parts of `nuceval` under another protocol, or that protocol without any.
    """
    if settings.vague is None and settings.vague_threshold is not None:
        raise ConfigError("--vague-threshold without vague areas: give the folder of their masks with --vague")
    threshold = None
    if settings.vague is not None:
        threshold = USUAL_VAGUE_THRESHOLD if settings.vague_threshold is None else settings.vague_threshold
    parts = NucevalParts(
        vague_threshold=threshold,
        weighted=settings.weighted,
        overlapping=settings.overlapping,
        ring_px=settings.ring_px,
        rasteriser=settings.rasteriser,
    )
    if settings.protocol == "nuceval":
        if parts == NucevalParts():
            raise ConfigError(
                "nuceval without any part is standard: add --vague, --weighted, --overlapping or --ring-px"
            )
        return Protocol(name="nuceval", parts=parts)
    return Protocol(name=settings.protocol, parts=None if parts == NucevalParts() else parts)
