"""Several models on the same images: one table, and what their differences are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nucleate.errors import DataError
from nucleate.evaluation.intervals import PairedDifference, paired_difference
from nucleate.evaluation.report_tables import markdown_table
from nucleate.evaluation.results import INTERVAL_SCORES, Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDifference:
    """A model's score less that of the first model, on the images that both score.

    Attributes:
        model: the place of the later model among the compared ones, from 1.
        score: its name in `Scores`.
        paired: difference in points of percent, interval and p-value.
        images: how many both score; with `empty_image` `skip` fewer than there are.
    """

    model: int
    score: str
    paired: PairedDifference
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Models on the same images, by the same rules but for each one's score threshold.

    Attributes:
        evaluations: one a model; the first is what the others are compared with.
        differences: PQ, AJI and Dice of every other model.
    """

    evaluations: tuple[Evaluation, ...]
    differences: tuple[ScoreDifference, ...]

    def summary(self) -> str:
        """Return the table of the models, that of the differences, and what the numbers depend on."""
        first = self.evaluations[0]
        settings = first.settings
        names = [f"{place}: {each.settings.model}" for place, each in enumerate(self.evaluations, start=1)]
        models = [
            [
                name,
                f"{each.settings.score_threshold:g}",
                *(_with_interval(each, score) for score in INTERVAL_SCORES),
                f"{each.overall.precision.segm.ap:.1f}",
            ]
            for name, each in zip(names, self.evaluations, strict=True)
        ]
        differences = [
            [
                f"{names[each.model - 1]} less {names[0]}",
                each.score,
                f"{each.paired.difference:+.2f}",
                f"{each.paired.interval.low:+.2f} to {each.paired.interval.high:+.2f}",
                f"{each.paired.p_value:.4f}",
                str(each.images),
            ]
            for each in self.differences
        ]
        level = f"{100 * settings.resampling.level:g} % interval"
        rules = (
            f"{first.overall.images} images ({settings.split}), protocol `{settings.protocol}`, "
            f"{settings.protocol.averaging}; {settings.resampling.method} bootstrap, {settings.resampling.resamples} "
            f"resamples by {settings.resample_by}; p-values by swapping the models within each {settings.resample_by}, "
            "both directions, not corrected for the number of comparisons. Percent."
        )
        notes = [
            f"- {name}: {note}." for name, each in zip(names, self.evaluations, strict=True) for note in each.notes
        ]
        parts = [
            markdown_table(["model", "score above", "PQ", "AJI", "Dice", "segm AP at 100"], models),
            markdown_table(["difference", "score", "points", level, "p", "images"], differences),
            "\n".join([rules, *notes]),
        ]
        return "\n\n".join(parts) + "\n"


def compare_evaluations(evaluations: Sequence[Evaluation]) -> Comparison:
    """Return the paired differences of the later models to the first.

    Raises:
        DataError: fewer than two models, or they were scored on other images or by other rules.
    """
    if len(evaluations) < 2:
        raise DataError(f"{len(evaluations)} model to compare: give two or more")
    first = evaluations[0]
    for each in evaluations[1:]:
        _check_alike(first, each)
    return Comparison(
        evaluations=tuple(evaluations),
        differences=tuple(
            _difference(first, each, place, score)
            for place, each in enumerate(evaluations[1:], start=2)
            for score in INTERVAL_SCORES
        ),
    )


def _check_alike(first: Evaluation, other: Evaluation) -> None:
    ours, theirs = first.settings, other.settings
    for name, one, two in (
        ("data", first.data_fingerprint, other.data_fingerprint),
        ("split", ours.split, theirs.split),
        ("protocol", str(ours.protocol), str(theirs.protocol)),
        ("vague areas", ours.vague_fingerprint, theirs.vague_fingerprint),
        ("empty image rule", ours.empty_image, theirs.empty_image),
        ("groups", ours.resample_by, theirs.resample_by),
    ):
        if one != two:
            raise DataError(f"{ours.model} and {theirs.model} were scored with another {name}: {one!r} and {two!r}")


def _difference(first: Evaluation, other: Evaluation, place: int, score: str) -> ScoreDifference:
    pairs = [
        (ours, theirs, ours.scores, theirs.scores)
        for ours, theirs in zip(first.images, other.images, strict=True)
        if ours.scores is not None and theirs.scores is not None
    ]
    settings = first.settings
    weights = [float(ours.annotated) for ours, *_ in pairs]
    paired = paired_difference(
        np.array([getattr(scores, score) for _, _, scores, _ in pairs], np.float64),
        np.array([getattr(scores, score) for *_, scores in pairs], np.float64),
        weights=np.array(weights) if settings.protocol.weighted else None,
        groups=settings.group_names([ours for ours, *_ in pairs]),
        settings=settings.resampling,
    )
    return ScoreDifference(model=place, score=score, paired=paired, images=len(pairs))


def _with_interval(evaluation: Evaluation, score: str) -> str:
    value = getattr(evaluation.overall.scores, score)
    interval = next(each for each in evaluation.intervals if each.score == score)
    return f"{value:.1f} ({interval.low:.1f} to {interval.high:.1f})"
