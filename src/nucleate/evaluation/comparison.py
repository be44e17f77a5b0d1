"""Several models on the same images: one table, and what their differences are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nucleate.errors import DataError
from nucleate.evaluation.intervals import PairedDifference, paired_difference
from nucleate.evaluation.report_tables import SCORE_HEADINGS
from nucleate.evaluation.results import COMPARED_SCORES, Evaluation
from nucleate.pages import Table

NAMES_SHOWN = 20


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
        left_out: file names of the images that some models have and others lack.
    """

    evaluations: tuple[Evaluation, ...]
    differences: tuple[ScoreDifference, ...]
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the models' names with their places, from 1."""
        return tuple(f"{place}: {each.settings.model}" for place, each in enumerate(self.evaluations, start=1))

    def summary(self) -> str:
        """Return the table of the models, that of the differences, and what the numbers depend on."""
        notes = [f"- {note}" for note in self.notes()]
        parts = [
            self.model_table().markdown(),
            self.difference_table().markdown(),
            "\n".join([self.rules(), *notes]),
        ]
        return "\n\n".join(parts) + "\n"

    def model_table(self) -> Table:
        """Return each model's scores with intervals."""
        rows = [
            [
                name,
                f"{each.settings.score_threshold:g}",
                *(_with_interval(each, score) for score in COMPARED_SCORES),
                f"{each.overall.precision.segm.ap:.1f}",
            ]
            for name, each in zip(self.names, self.evaluations, strict=True)
        ]
        headings = [SCORE_HEADINGS[score] for score in COMPARED_SCORES]
        return Table.of(["model", "score above", *headings, "mask AP (coco, at 100)"], rows)

    def difference_table(self) -> Table:
        """Return the paired differences with intervals and p-values."""
        rows = [
            [
                f"{self.names[each.model - 1]} less {self.names[0]}",
                SCORE_HEADINGS[each.score],
                f"{each.paired.difference:+.2f}",
                f"{each.paired.interval.low:+.2f} to {each.paired.interval.high:+.2f}",
                f"{each.paired.p_value:.4f}",
                str(each.images),
            ]
            for each in self.differences
        ]
        level = f"{100 * self.evaluations[0].settings.resampling.level:g} % interval"
        return Table.of(["difference", "score", "points", level, "p", "images"], rows)

    def rules(self) -> str:
        """Return what the numbers depend on."""
        first, settings = self.evaluations[0], self.evaluations[0].settings
        return (
            f"{first.overall.images} images ({settings.split}), protocol `{settings.protocol}`, "
            f"{settings.protocol.averaging}; {settings.resampling.method} bootstrap, {settings.resampling.resamples} "
            f"resamples by {settings.resampled}; p-values by swapping the models within each {settings.resampled}, "
            "both directions, not corrected for the number of comparisons. Percent."
        )

    def notes(self) -> tuple[str, ...]:
        """Return what was left out or changed before scoring: of all models, then by model."""
        of_all = [note for note in self.evaluations[0].notes if all(note in each.notes for each in self.evaluations)]
        common = [self._left_out(), *of_all] if self.left_out else of_all
        pairs = zip(self.names, self.evaluations, strict=True)
        alone = [f"{name}: {note}" for name, each in pairs for note in each.notes if note not in of_all]
        return tuple(f"{note}." for note in (*common, *alone))

    def _left_out(self) -> str:
        count, shown = len(self.left_out), ", ".join(self.left_out[:NAMES_SHOWN])
        images = (
            "1 image that not all models have was" if count == 1 else f"{count} images that not all models have were"
        )
        more = f" and {count - NAMES_SHOWN} more" if count > NAMES_SHOWN else ""
        return f"{images} left out of all scores here: {shown}{more}"

    def conclusions(self) -> tuple[str, ...]:
        """Return one sentence a later model: by which scores it differs from the first beyond chance.

        Both must say so: the interval and the p-value. With few groups the bootstrap's interval is too narrow.
        """
        chance = 1 - self.evaluations[0].settings.resampling.level
        sentences = []
        for place, name in enumerate(self.names[1:], start=2):
            said = []
            for each in (each for each in self.differences if each.model == place):
                interval, points = each.paired.interval, each.paired.difference
                name_of_score = SCORE_HEADINGS[each.score]
                ends = f"{interval.low:+.1f} to {interval.high:+.1f}"
                if interval.low <= 0 <= interval.high:
                    said.append(f"not told apart in {name_of_score} ({ends})")
                elif each.paired.p_value >= chance:
                    said.append(f"doubtful in {name_of_score} ({ends}, but p {each.paired.p_value:.2f})")
                else:
                    word = "better" if points > 0 else "worse"
                    said.append(f"{word} in {name_of_score} by {abs(points):.1f} points ({ends})")
            sentences.append(f"{name} against {self.names[0]}: {', '.join(said)}.")
        return tuple(sentences)


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
            for score in COMPARED_SCORES
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
