"""The scores of one image by the protocol `standard`, and their means over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, assert_never

import numpy as np

from nucleate.evaluation.aji import aggregated_jaccard_index
from nucleate.evaluation.dice import foreground_dice
from nucleate.evaluation.matching import Overlaps
from nucleate.evaluation.panoptic import f1_score, panoptic_quality, true_positives_at_half

EmptyImageRule = Literal["one", "skip", "zero"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores in percent, as Detectron2 gives its AP; NaN where no image had anything to score.

    Attributes:
        dice: Dice of the foreground.
        aji: aggregated Jaccard index, greedy with reuse.
        pq: panoptic quality at IoU > 0.5.
        sq: segmentation quality, the mean IoU of matched pairs.
        dq: detection quality at IoU > 0.5.
        f1: 2 TP / (2 TP + FP + FN) at IoU >= 0.5 (StarDist); differs from DQ at IoU = 0.5 exactly.
        precision: TP / (TP + FP) at IoU >= 0.5.
        recall: TP / (TP + FN) at IoU >= 0.5.
    """

    dice: float
    aji: float
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


SCORE_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Scores))


def score_overlaps(overlaps: Overlaps, empty_image: EmptyImageRule = "one") -> Scores | None:
    """Return the scores of one image in percent, from the overlaps of its two label maps.

    Args:
        overlaps: of an annotated and a predicted label map.
        empty_image: what an image scores that has neither annotated nor predicted nuclei: every score 100
            percent, every score 0, or nothing (None). With one side empty every score is 0.
    """
    if not overlaps.annotated_count and not overlaps.predicted_count:
        match empty_image:
            case "one":
                return Scores.all_equal(100.0)
            case "zero":
                return Scores.all_equal(0.0)
            case "skip":
                return None
            case _:
                assert_never(empty_image)
    dice, aji, quality = foreground_dice(overlaps), aggregated_jaccard_index(overlaps), panoptic_quality(overlaps)
    if aji > dice / (2 - dice) + 1e-9:
        raise AssertionError(f"AJI {aji} above D / (2 - D) of Dice {dice}: the label maps or the AJI are wrong")
    found = true_positives_at_half(overlaps)
    missed, false = overlaps.annotated_count - found, overlaps.predicted_count - found
    return Scores(
        dice=100 * dice,
        aji=100 * aji,
        pq=100 * quality.pq,
        sq=100 * quality.sq,
        dq=100 * quality.dq,
        f1=100 * f1_score(found, false, missed),
        precision=100 * found / (found + false) if found else 0.0,
        recall=100 * found / (found + missed) if found else 0.0,
    )


def mean_scores(scores: Sequence[Scores | None]) -> Scores:
    """Return each score's mean over the images that have one; NaN where none has."""
    scored = [image for image in scores if image is not None]
    if not scored:
        return Scores.all_equal(float("nan"))
    return Scores(
        **{name: float(np.mean([getattr(image, name) for image in scored])) for name in SCORE_NAMES},
    )
