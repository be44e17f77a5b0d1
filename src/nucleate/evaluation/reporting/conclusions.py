"""What an evaluation's numbers say, as sentences: what is strong, what is weak, and how far the numbers carry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nucleate.evaluation.fates import recall_by_area, recall_by_contact
from nucleate.evaluation.results import Evaluation, GroupResult, interval_of

ConclusionKind = Literal["strong", "weak", "note"]
# Smaller differences, in points of percent, are not worth a sentence.
NOTABLE_POINTS = 2.0
NOTABLE_COUNT = 0.05
FEW_IMAGES = 20
ORGANS_NAMED = 5
# The interval of two or three images is little more than their range.
FEWEST_OF_AN_ORGAN = 4
DETECTRON2_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """One sentence or two.

    Attributes:
        kind: praise, a fault, or a remark on the numbers.
        text: with the numbers that it rests on.
    """

    kind: ConclusionKind
    text: str


def conclusions(evaluation: Evaluation) -> tuple[Conclusion, ...]:
    """Return what follows from the numbers, strengths and faults before remarks."""
    found = [*_headline(evaluation), *_detection(evaluation.overall), *_organs(evaluation), *_size(evaluation)]
    found += [*_contact(evaluation), *_counts(evaluation.overall), *_reach(evaluation), *_bound(evaluation)]
    found += _undefined(evaluation)
    order: tuple[ConclusionKind, ...] = ("strong", "weak", "note")
    return tuple(sorted(found, key=lambda each: order.index(each.kind)))


def _headline(evaluation: Evaluation) -> Iterator[Conclusion]:
    overall = evaluation.overall
    scores = overall.scores
    if math.isnan(scores.pq):
        yield Conclusion(kind="note", text="No image counts, so no mean is defined.")
        return
    if abs(scores.dq - scores.sq) >= NOTABLE_POINTS:
        outlines, finding = f"outlines (SQ {scores.sq:.1f})", f"nuclei missed or invented (DQ {scores.dq:.1f})"
        worse, better = (finding, outlines) if scores.dq < scores.sq else (outlines, finding)
        yield Conclusion(kind="weak", text=f"PQ {scores.pq:.1f} loses more by {worse} than by {better}.")
    strict = overall.detection[5].f1
    yield Conclusion(
        kind="note",
        text=f"F1 is {overall.detection[0].f1:.1f} where a pair needs IoU 0.5, {strict:.1f} at 0.75 and "
        f"{overall.detection[9].f1:.1f} at 0.95: the fall is what outlines cost, the rest is nuclei not found.",
    )


def _detection(overall: GroupResult) -> Iterator[Conclusion]:
    # Pooled: an image without predictions has no precision that its mean could show.
    precision, recall = overall.pooled.precision, overall.pooled.recall
    numbers = f"(pooled over nuclei: {precision:.1f} and {recall:.1f})"
    if not overall.tally.panoptic.true_positives:
        return
    if abs(precision - recall) < NOTABLE_POINTS:
        text = f"Precision and recall are balanced {numbers}: about as many nuclei are missed as invented."
        yield Conclusion(kind="strong", text=text)
    elif precision > recall:
        text = f"Precision is above recall by {precision - recall:.1f} points {numbers}: nuclei are missed rather than "
        yield Conclusion(kind="weak", text=text + "invented.")
    else:
        text = (
            f"Precision is below recall by {recall - precision:.1f} points {numbers}: nuclei are invented rather than "
        )
        yield Conclusion(kind="weak", text=text + "missed.")


def _organs(evaluation: Evaluation) -> Iterator[Conclusion]:
    mean = evaluation.overall.scores.pq
    strong, weak = [], []
    for group in evaluation.organs:
        interval = interval_of(group.intervals, "pq")
        if interval is None or math.isnan(interval.low) or group.images < FEWEST_OF_AN_ORGAN:
            continue
        if interval.low > mean:
            strong.append(group)
        elif interval.high < mean:
            weak.append(group)
    strong.sort(key=lambda group: -group.scores.pq)
    weak.sort(key=lambda group: group.scores.pq)
    if strong:
        text = f"PQ lies above the mean of all images ({mean:.1f}), its whole interval too, in {_named(strong)}."
        yield Conclusion(kind="strong", text=text)
    if weak:
        text = f"PQ lies below the mean of all images ({mean:.1f}), its whole interval too, in {_named(weak)}."
        yield Conclusion(kind="weak", text=text)
    by_image = interval_of(evaluation.overall.intervals, "pq")
    by_organ = interval_of(evaluation.organ_intervals, "pq")
    if by_image is None or by_organ is None or math.isnan(by_image.low) or math.isnan(by_organ.low):
        return
    wide, narrow = by_organ.high - by_organ.low, by_image.high - by_image.low
    text = (
        f"The interval of PQ is {by_image.low:.1f} to {by_image.high:.1f} by image and {by_organ.low:.1f} to "
        f"{by_organ.high:.1f} by organ"
    )
    if wide > narrow:
        text += ", which is wider: images of an organ are alike (in NuInsSeg they share a slide), so that images speak "
        text += "of other images of these organs, organs of other organs."
    yield Conclusion(kind="note", text=text.rstrip(".") + ".")


def _size(evaluation: Evaluation) -> Iterator[Conclusion]:
    bins = recall_by_area(evaluation.nuclei, 4)
    if len(bins) < 2:
        return
    worst, best = min(bins, key=lambda each: each.recall), max(bins, key=lambda each: each.recall)
    if best.recall - worst.recall >= NOTABLE_POINTS:
        yield Conclusion(
            kind="weak",
            text=f"Of nuclei of {worst.name} {worst.recall:.1f} % are found (IoU > 0.5), of those of {best.name} "
            f"{best.recall:.1f} %.",
        )
    else:
        text = f"Nuclei of all sizes are found alike: {worst.recall:.1f} to {best.recall:.1f} % of each fourth by area."
        yield Conclusion(kind="strong", text=text)


def _contact(evaluation: Evaluation) -> Iterator[Conclusion]:
    touching, isolated = recall_by_contact(evaluation.nuclei)
    if not touching.annotated or not isolated.annotated:
        return
    gap = isolated.recall - touching.recall
    share = 100 * touching.annotated / (touching.annotated + isolated.annotated)
    numbers = f"{touching.recall:.1f} % of touching and {isolated.recall:.1f} % of isolated nuclei are found"
    if gap >= NOTABLE_POINTS:
        yield Conclusion(kind="weak", text=f"Nuclei that touch another are harder: {numbers}; {share:.0f} % touch.")
    else:
        yield Conclusion(
            kind="strong", text=f"Nuclei that touch another are found as well: {numbers}; {share:.0f} % touch."
        )


def _counts(overall: GroupResult) -> Iterator[Conclusion]:
    tally, errors = overall.tally, overall.count_errors
    if overall.annotated and abs(overall.predicted - overall.annotated) > NOTABLE_COUNT * overall.annotated:
        share = 100 * (overall.predicted - overall.annotated) / overall.annotated
        yield Conclusion(
            kind="weak",
            text=f"{overall.predicted} nuclei are predicted where {overall.annotated} are annotated ({share:+.0f} %; "
            f"an image is off by {errors.mean_absolute:.1f} in the mean).",
        )
    more, fewer = max(tally.splits, tally.merges), min(tally.splits, tally.merges)
    if more >= 10 and more >= 1.5 * fewer:
        what = "Merging is the commoner fault" if tally.merges > tally.splits else "Splitting is the commoner fault"
        yield Conclusion(
            kind="weak",
            text=f"{what}: {tally.merges} predictions hold several annotated nuclei, {tally.splits} annotated nuclei "
            "hold several predictions.",
        )


def _reach(evaluation: Evaluation) -> Iterator[Conclusion]:
    crowded = sum(image.annotated > DETECTRON2_LIMIT for image in evaluation.images)
    precision = evaluation.overall.precision
    if crowded and precision.segm_uncapped.max_detections > DETECTRON2_LIMIT:
        yield Conclusion(
            kind="note",
            text=f"{crowded} of {evaluation.overall.images} images hold more than {DETECTRON2_LIMIT} annotated nuclei, "
            f"where AP at {DETECTRON2_LIMIT} detections can't reach 100: mask AP50 is {precision.segm.ap50:.1f} there "
            f"and {precision.segm_uncapped.ap50:.1f} with all detections.",
        )
    if evaluation.overall.images < FEW_IMAGES:
        text = f"{evaluation.overall.images} images are few: bootstrap intervals of so few are somewhat too narrow."
        yield Conclusion(kind="note", text=text)


def _bound(evaluation: Evaluation) -> Iterator[Conclusion]:
    parts = evaluation.settings.protocol.parts
    if parts is not None and parts.overlapping:
        text = "Annotated nuclei may share pixels here, so that AJI is not bound by D / (2 - D) of Dice D."
        yield Conclusion(kind="note", text=text)
        return
    shares = [
        image.tally.jaccard.index * (2 - image.tally.foreground.dice) / image.tally.foreground.dice
        for image in evaluation.images
        if image.tally.foreground.dice
    ]
    if shares:
        mean = 100 * sum(shares) / len(shares)
        yield Conclusion(
            kind="note",
            text=f"AJI is at most D / (2 - D) of Dice D, the Jaccard index of the foreground, in each of the "
            f"{len(shares)} images with common pixels (checked); it reaches {mean:.0f} % of that bound in the mean: "
            "the rest is lost by pairing nuclei wrongly or not at all. The bound does not hold for means over images.",
        )


def _undefined(evaluation: Evaluation) -> Iterator[Conclusion]:
    reasons = dict.fromkeys(reason for result in evaluation.overall.precision for reason in result.undefined)
    for reason in reasons:
        name, _, why = reason.partition(": ")
        yield Conclusion(kind="note", text=f"{name} is nan: {why}.")
    empty = [group for group in evaluation.organs if not group.annotated]
    if empty:
        yield Conclusion(kind="note", text=f"No nucleus is annotated in {_names(empty)}: AP is nan there.")
    lone = [group for group in evaluation.organs if group.images == 1]
    if lone:
        text = f"One image alone tells nothing of others: no interval (nan) for {_names(lone)}."
        yield Conclusion(kind="note", text=text)
    if evaluation.overall.images == 1:
        yield Conclusion(kind="note", text="One image alone tells nothing of others: its intervals are nan.")


def _named(groups: list[GroupResult]) -> str:
    named = [f"{group.name} ({group.scores.pq:.1f})" for group in groups[:ORGANS_NAMED]]
    more = len(groups) - ORGANS_NAMED
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _names(groups: list[GroupResult]) -> str:
    return ", ".join(group.name for group in groups)
