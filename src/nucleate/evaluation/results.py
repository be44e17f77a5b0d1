"""What an evaluation found: over all images, by organ and by image, with everything that a number depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nucleate.errors import ConfigError
from nucleate.evaluation.average_precision import PrecisionTable, SizeCounts
from nucleate.evaluation.image_scores import EmptyImageRule, Scores

Protocol = Literal["standard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How predictions are scored, and what is printed with the scores.

    Attributes:
        score_threshold: predicted nuclei with a greater score make the label map for PQ, AJI and Dice. AP takes all.
        score_threshold_from: where the threshold comes from, for the report.
        empty_image: what an image without annotated and predicted nuclei scores: 100 percent (`one`, the
            published protocol's), 0 (`zero`), or nothing (`skip`).
        model: the model's name, or the results file's.
        model_fingerprint: differs where the model's weights or the results file's content do.
        split: the part of the data set.
    """

    score_threshold: float = 0.5
    score_threshold_from: str = "default"
    empty_image: EmptyImageRule = "one"
    model: str = ""
    model_fingerprint: str = ""
    split: str = "all"

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise ConfigError(f"score threshold {self.score_threshold} lies outside 0 to 1")
        if self.empty_image not in ("one", "skip", "zero"):
            raise ConfigError(f"empty_image {self.empty_image!r} is not one of one, skip, zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """The scores of one image.

    Attributes:
        image_id: the data set's.
        file_name: relative to the data set's images.
        organ: as in the data set, None where it names none.
        annotated: annotated nuclei in the label map.
        predicted: predicted nuclei in the label map.
        matched: pairs with IoU > 0.5.
        scores: None where the empty-image rule skips the image.
    """

    image_id: int
    file_name: str
    organ: str | None
    annotated: int
    predicted: int
    matched: int
    scores: Scores | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """The scores of several images.

    Attributes:
        name: "all" or an organ.
        images: how many.
        annotated: annotated nuclei in the label maps.
        predicted: predicted nuclei in the label maps.
        sizes: annotated nuclei by size class, as COCO counts them.
        scores: each score's mean over the images.
        precision: average precision on all detections.
    """

    name: str
    images: int
    annotated: int
    predicted: int
    sizes: SizeCounts
    scores: Scores
    precision: PrecisionTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Predictions against annotations; all scores in percent.

    Attributes:
        settings: how it was scored.
        protocol: the definitions of PQ, AJI and Dice (docs/evaluation-schema.md).
        data: the annotations file.
        data_fingerprint: of annotations and images; equal numbers need equal fingerprints.
        overall: all images.
        organs: one an organ, in alphabetical order; empty where the data set names none.
        images: one an image, in the data set's order.
        notes: what was left out or changed before scoring, one sentence each.
    """

    settings: EvaluationSettings
    protocol: Protocol
    data: str
    data_fingerprint: str
    overall: GroupResult
    organs: tuple[GroupResult, ...]
    images: tuple[ImageResult, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return what the command line prints: Detectron2's tables of AP, then all scores by organ."""
        from nucleate.evaluation.detectron2_text import detectron2_text
        from nucleate.evaluation.report import evaluation_to_markdown

        return f"{detectron2_text(self)}\n\n{evaluation_to_markdown(self)}"
