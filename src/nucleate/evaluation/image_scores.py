"""The scores of one image, their means over images, and the same scores pooled over nuclei."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, assert_never

import numpy as np

from nucleate.evaluation.matching import Overlaps
from nucleate.evaluation.panoptic import F1_THRESHOLDS, Matches
from nucleate.evaluation.tally import Tally, tally_overlaps

EmptyImageRule = Literal["one", "skip", "zero"]
EMPTY_IMAGE_RULES: tuple[EmptyImageRule, ...] = ("one", "skip", "zero")
CENTROID = "centroid"
# "IoU >= 0.50" and so on, then the centroids' rule.
DETECTION_RULES: tuple[str, ...] = (*(f"IoU >= {5 * step / 100:.2f}" for step in F1_THRESHOLDS), CENTROID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores in percent, as Detectron2 gives its AP; NaN where no image had anything to score.

    Attributes:
        dice: Dice of the foreground.
        aji: aggregated Jaccard index, greedy with reuse.
        aji_plus: AJI+, by the one-to-one assignment of the highest summed IoU.
        pq: panoptic quality at IoU > 0.5.
        sq: segmentation quality, the mean IoU of matched pairs.
        dq: detection quality at IoU > 0.5.
        f1: 2 TP / (2 TP + FP + FN) at IoU >= 0.5 (StarDist); differs from DQ at IoU = 0.5 exactly.
        precision: TP / (TP + FP) at IoU >= 0.5.
        recall: TP / (TP + FN) at IoU >= 0.5.
    """

    dice: float
    aji: float
    aji_plus: float
    pq: float
    sq: float
    dq: float
    f1: float
    precision: float
    recall: float

    @classmethod
    def all_equal(cls, value: float) -> Scores:
        """Return the same value for every score."""
        return cls(**dict.fromkeys(SCORE_NAMES, value))

    @classmethod
    def of(cls, tally: Tally) -> Scores:
        """Return the scores of counts, of one image or of several pooled; 0 where nothing is to be divided."""
        close = tally.by_iou[0]
        return cls(
            dice=100 * tally.foreground.dice,
            aji=100 * tally.jaccard.index,
            aji_plus=100 * tally.jaccard_plus.index,
            pq=100 * tally.panoptic.pq,
            sq=100 * tally.panoptic.sq,
            dq=100 * tally.panoptic.dq,
            f1=100 * close.dq,
            precision=100 * close.precision,
            recall=100 * close.recall,
        )


SCORE_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Scores))


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionScores:
    """Found and missed nuclei by one rule of what a pair is; percent.

    Attributes:
        rule: one of `DETECTION_RULES`.
        f1: 2 TP / (2 TP + FP + FN).
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
    """

    rule: str
    f1: float
    precision: float
    recall: float

    @classmethod
    def of(cls, rule: str, matches: Matches) -> DetectionScores:
        """Return the scores of counts."""
        return cls(rule=rule, f1=100 * matches.dq, precision=100 * matches.precision, recall=100 * matches.recall)

    @classmethod
    def all_equal(cls, rule: str, value: float) -> DetectionScores:
        """Return the same value three times."""
        return cls(rule=rule, f1=value, precision=value, recall=value)


def detection_scores(tally: Tally) -> tuple[DetectionScores, ...]:
    """Return the scores at each IoU threshold and, where centroids were counted, by centroid."""
    counts = tally.by_iou if tally.by_centroid is None else (*tally.by_iou, tally.by_centroid)
    return tuple(DetectionScores.of(rule, matches) for rule, matches in zip(DETECTION_RULES, counts, strict=False))


def empty_value(tally: Tally, empty_image: EmptyImageRule) -> float | None:
    """Return what the rule gives an image without any nucleus, 100 or 0; NaN: skip it; None: it has nuclei."""
    if tally.annotated or tally.predicted:
        return None
    match empty_image:
        case "one":
            return 100.0
        case "zero":
            return 0.0
        case "skip":
            return float("nan")
        case _:
            assert_never(empty_image)


def image_scores(tally: Tally, empty_image: EmptyImageRule = "one") -> Scores | None:
    """Return the scores of one image; None where the rule skips it (see `score_overlaps`)."""
    value = empty_value(tally, empty_image)
    if value is None:
        return Scores.of(tally)
    return None if np.isnan(value) else Scores.all_equal(value)


def score_overlaps(overlaps: Overlaps, empty_image: EmptyImageRule = "one") -> Scores | None:
    """Return the scores of one image in percent, from the overlaps of its two label maps.

    Args:
        overlaps: of an annotated and a predicted label map.
        empty_image: what an image scores that has neither annotated nor predicted nuclei: every score 100
            percent, every score 0, or nothing (None). With one side empty every score is 0.
    """
    return image_scores(tally_overlaps(overlaps), empty_image)


def mean_scores(scores: Sequence[Scores | None], weights: Sequence[float] | None = None) -> Scores:
    """Return each score's mean over the images that have one; NaN where none has.

    Args:
        scores: one an image.
        weights: one an image, not negative; where all are 0 the mean is 0, as nuc_eval has it.
    """
    rows = [[getattr(image, name) for name in SCORE_NAMES] for image in scores if image is not None]
    if not rows:
        return Scores.all_equal(float("nan"))
    used = None
    if weights is not None:
        used = [weight for weight, image in zip(weights, scores, strict=True) if image is not None]
        if not sum(used):
            return Scores.all_equal(0.0)
    means = np.average(np.array(rows), axis=0, weights=used)
    return Scores(**dict(zip(SCORE_NAMES, means.tolist(), strict=True)))


def mean_detection(
    tallies: Sequence[Tally], empty_image: EmptyImageRule, weights: Sequence[float] | None = None
) -> tuple[DetectionScores, ...]:
    """Return the mean over images of every rule's scores, images without nuclei by the rule; NaN where none counts."""
    rules = DETECTION_RULES if all(tally.by_centroid is not None for tally in tallies) else DETECTION_RULES[:-1]
    rows, used = [], []
    for tally, weight in zip(tallies, weights or [1.0] * len(tallies), strict=True):
        value = empty_value(tally, empty_image)
        if value is not None and np.isnan(value):
            continue
        used.append(weight)
        scores = detection_scores(tally)
        rows.append([[each.f1, each.precision, each.recall] if value is None else [value] * 3 for each in scores])
    if not rows:
        return tuple(DetectionScores.all_equal(rule, float("nan")) for rule in rules)
    if not sum(used):
        return tuple(DetectionScores.all_equal(rule, 0.0) for rule in rules)
    means = np.average(np.array(rows), axis=0, weights=used).tolist()
    return tuple(
        DetectionScores(rule=rule, f1=f1, precision=precision, recall=recall)
        for rule, (f1, precision, recall) in zip(rules, means, strict=True)
    )
