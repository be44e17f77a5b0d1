"""What an evaluation found: over all images, by organ and by image, with everything that a number depends on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from nucleate.errors import ConfigError, DataError
from nucleate.evaluation.average_precision import PrecisionTable, SizeCounts
from nucleate.evaluation.centroids import HALF_DIAMETER, CentroidLimit
from nucleate.evaluation.fates import AnnotatedNuclei
from nucleate.evaluation.image_scores import (
    EMPTY_IMAGE_RULES,
    DetectionScores,
    EmptyImageRule,
    Scores,
)
from nucleate.evaluation.intervals import DEFAULT_RESAMPLING, Resampling
from nucleate.evaluation.pannuke import PannukeAverages
from nucleate.evaluation.panoptic import Matches
from nucleate.evaluation.protocols import STANDARD, Protocol
from nucleate.evaluation.tally import Tally

# The scores that get an interval, and those of which models are compared.
INTERVAL_SCORES = ("pq", "sq", "dq", "aji", "aji_plus", "dice", "f1", "precision", "recall")
COMPARED_SCORES = ("pq", "aji", "dice")
NO_NUCLEI = AnnotatedNuclei(areas_px=np.zeros(0, np.int64), found=np.zeros(0, np.bool_), touching=np.zeros(0, np.bool_))


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
        protocol: the definitions.
        centroid_limit: of the pairs by centroid.
        resampling: of the intervals.
        resample_by: what is drawn as a whole: `image`; or `organ` (in NuInsSeg a slide) or `source` data set, whose
            images share more than chance; or a regular expression, whose first bracket, else whole match in the file
            name, is the group: a patient or slide.
        vague_fingerprint: differs where the vague areas do; empty where none are used.
    """

    score_threshold: float = 0.5
    score_threshold_from: str = "default"
    empty_image: EmptyImageRule = "one"
    model: str = ""
    model_fingerprint: str = ""
    split: str = "all"
    protocol: Protocol = STANDARD
    centroid_limit: CentroidLimit = HALF_DIAMETER
    resampling: Resampling = DEFAULT_RESAMPLING
    resample_by: str = "image"
    vague_fingerprint: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise ConfigError(f"score threshold {self.score_threshold} lies outside 0 to 1")
        if self.empty_image not in EMPTY_IMAGE_RULES:
            raise ConfigError(f"empty_image {self.empty_image!r} is not one of one, skip, zero")
        try:
            re.compile(self.resample_by)
        except re.error as error:
            raise ConfigError(
                f"resample_by {self.resample_by!r} is neither image, organ, source nor a regular expression: {error}"
            ) from error

    @property
    def resampled(self) -> str:
        """Return what is drawn as a whole, in words."""
        known = self.resample_by in ("image", "organ", "source")
        return self.resample_by if known else f"`{self.resample_by}` in the file name"

    def group_names(self, images: Sequence[ImageResult]) -> list[str] | None:
        """Return the name of each image's group for resampling; None where each image is drawn by itself.

        Raises:
            DataError: an image names no such group.
        """
        match self.resample_by:
            case "image":
                return None
            case "organ":
                names = [image.organ or "" for image in images]
            case "source":
                names = [image.source for image in images]
            case pattern:
                names = [_matched(pattern, image.file_name) for image in images]
        if "" in names:
            nameless = images[names.index("")].file_name
            raise DataError(f"{nameless!r} names no {self.resample_by}: resample by image")
        return names


def _matched(pattern: str, file_name: str) -> str:
    match = re.search(pattern, PurePosixPath(file_name).name)
    if match is None:
        raise DataError(
            f"resample_by {pattern!r} is neither image, organ nor source, and matches nothing in the file name",
            item=file_name,
        )
    return str(match.group(1) if match.re.groups else match.group(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """The scores of one image.

    Attributes:
        image_id: the data set's.
        file_name: relative to the data set's images.
        organ: as in the data set, None where it names none.
        source: the data set that it comes from, "" when unknown.
        species: as in the data set, None where it names none.
        tally: the counts that the scores are made of.
        scores: None where the image is skipped: by the empty-image rule, or by `pannuke` without annotated nuclei.
    """

    image_id: int
    file_name: str
    organ: str | None
    source: str
    tally: Tally
    scores: Scores | None
    species: str | None = None

    @property
    def annotated(self) -> int:
        """Return the annotated nuclei that count."""
        return self.tally.annotated

    @property
    def predicted(self) -> int:
        """Return the predicted nuclei that count."""
        return self.tally.predicted

    @property
    def matched(self) -> int:
        """Return the pairs with IoU > 0.5."""
        return self.tally.panoptic.true_positives


@dataclass(frozen=True, slots=True, kw_only=True)
class CountErrors:
    """Predicted less annotated nuclei of an image, over images, each image alike.

    Attributes:
        mean: with its sign.
        mean_absolute: without.
    """

    mean: float
    mean_absolute: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreInterval:
    """A bootstrap interval of a score's mean over images, percent; NaN where there is one group or none.

    Attributes:
        score: its name in `Scores`.
        low: lower end.
        high: upper end.
    """

    score: str
    low: float
    high: float


def interval_of(intervals: Sequence[ScoreInterval], score: str) -> ScoreInterval | None:
    """Return the interval of a score, None where there is none."""
    return next((each for each in intervals if each.score == score), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """The scores of several images.

    Attributes:
        name: "all", an organ or a species.
        images: how many.
        sizes: annotated nuclei by size class, as COCO counts them.
        scores: each score's mean over the images, as the protocol averages.
        pooled: the same scores of all nuclei together: counts added up, divided once.
        detection: F1, precision and recall by IoU and by centroid, averaged as `scores`.
        count_errors: predicted less annotated nuclei.
        tally: the counts of all images added up.
        precision: average precision on all detections.
        intervals: of `scores`, resampled by image whatever the settings say.
    """

    name: str
    images: int
    sizes: SizeCounts
    scores: Scores
    pooled: Scores
    detection: tuple[DetectionScores, ...]
    count_errors: CountErrors
    tally: Tally
    precision: PrecisionTable
    intervals: tuple[ScoreInterval, ...] = ()

    @property
    def annotated(self) -> int:
        """Return the annotated nuclei that count."""
        return self.tally.annotated

    @property
    def predicted(self) -> int:
        """Return the predicted nuclei that count."""
        return self.tally.predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """The scores of one class, from pairs within it on `standard`'s label maps; percent.

    Attributes:
        name: of the class.
        matches: one-to-one pairs with IoU >= 0.5, of all images added up.
        pq: mean over the images that hold annotated nuclei of the class, as for mPQ; NaN where none does.
    """

    name: str
    matches: Matches
    pq: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Predictions against annotations; all scores in percent.

    Attributes:
        settings: how it was scored.
        data: the annotations file.
        data_fingerprint: of annotations and images; equal numbers need equal fingerprints.
        overall: all images.
        organs: one an organ, in alphabetical order; empty where the data set names none.
        species: one a species, likewise.
        classes: one a class; empty where the data set has one class.
        images: one an image, in the data set's order.
        intervals: of the means over all images, resampled as the settings say.
        organ_intervals: of the same means, resampled by organ; empty where an image names none.
        nuclei: the annotated nuclei of all images.
        pannuke: averages of PQ over classes and tissues, where that is the protocol or there are several classes.
        notes: what was left out or changed before scoring, one sentence each.
    """

    settings: EvaluationSettings
    data: str
    data_fingerprint: str
    overall: GroupResult
    organs: tuple[GroupResult, ...]
    images: tuple[ImageResult, ...]
    intervals: tuple[ScoreInterval, ...]
    organ_intervals: tuple[ScoreInterval, ...] = ()
    species: tuple[GroupResult, ...] = ()
    classes: tuple[ClassResult, ...] = ()
    nuclei: AnnotatedNuclei = field(default=NO_NUCLEI, repr=False, compare=False)
    pannuke: PannukeAverages | None = None
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return what the command line prints: Detectron2's tables of AP, then scores by organ, not all details."""
        from nucleate.evaluation.detectron2_text import detectron2_text
        from nucleate.evaluation.report_tables import evaluation_to_markdown

        return f"{detectron2_text(self)}\n\n{evaluation_to_markdown(self, details=False)}"
