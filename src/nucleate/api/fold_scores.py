"""What cross-validation reports: each fold's scores on its test images, their mean and standard deviation."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucleate.errors import ResultsError
from nucleate.evaluation import Evaluation, detectron2_scores
from nucleate.evaluation.report_tables import SCORE_HEADINGS
from nucleate.files import write_json, write_text
from nucleate.pages import Table

SCORES_NAME = "test_scores.json"
JSON_NAME, MARKDOWN_NAME = "cross_validation.json", "cross_validation.md"
_OWN = ("pq", "sq", "dq", "aji", "dice")
_SHOWN = (
    *(SCORE_HEADINGS[name] for name in _OWN),
    "segm/AP",
    "segm/AP50",
    "segm/APs",
    "segm/APm",
    "bbox/AP",
    "bbox/AP50",
)
_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScores:
    """The scores of one fold.

    Attributes:
        fold: from 0.
        images: that were scored.
        nuclei: annotated on them.
        score_threshold: as the fold's own validation images chose it.
        scores: percent by name, PQ, SQ, DQ, AJI, Dice and Detectron2's `segm/AP`; NaN where undefined.
    """

    fold: int
    images: int
    nuclei: int
    score_threshold: float
    scores: Mapping[str, float]

    @classmethod
    def of(cls, fold: int, evaluation: Evaluation) -> FoldScores:
        """Return the scores of an evaluation on a fold's test images."""
        overall = evaluation.overall
        own = {SCORE_HEADINGS[name]: float(getattr(overall.scores, name)) for name in _OWN}
        return cls(
            fold=fold,
            images=overall.images,
            nuclei=overall.annotated,
            score_threshold=evaluation.settings.score_threshold,
            scores={**own, **detectron2_scores(evaluation)},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; undefined scores are null."""
        return {
            "fold": self.fold,
            "images": self.images,
            "nuclei": self.nuclei,
            "score_threshold": self.score_threshold,
            "scores": _plain(self.scores),
        }

    def write(self, run_folder: Path) -> None:
        """Write the scores into the fold's run folder: it is done when they are there."""
        write_json(run_folder / SCORES_NAME, self.to_dict(), indent=1)

    @classmethod
    def read(cls, run_folder: Path) -> FoldScores | None:
        """Return the scores that a fold's run folder holds, None where it has none yet.

        Raises:
            ResultsError: the file is damaged.
        """
        path = run_folder / SCORES_NAME
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            scores = {
                str(name): math.nan if value is None else float(value) for name, value in content["scores"].items()
            }
            return cls(
                fold=int(content["fold"]),
                images=int(content["images"]),
                nuclei=int(content["nuclei"]),
                score_threshold=float(content["score_threshold"]),
                scores=scores,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultsError("is damaged: remove it, and the fold is scored again", path=path) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidationReport:
    """The folds of a data set, trained and scored.

    Attributes:
        folder: holds the run folders `fold-0`, `fold-1` and so on.
        name: of the folds.
        recipe: by which they were trained.
        fold_count: of the data set.
        folds: the scored ones, by rising number.
    """

    folder: Path
    name: str
    recipe: str
    fold_count: int
    folds: tuple[FoldScores, ...]

    @property
    def is_complete(self) -> bool:
        """Return whether every fold is scored."""
        return len(self.folds) == self.fold_count

    def values(self, score: str) -> tuple[float, ...]:
        """Return a score of each fold where it is defined."""
        every = (fold.scores.get(score, math.nan) for fold in self.folds)
        return tuple(value for value in every if not math.isnan(value))

    def mean(self, score: str) -> float:
        """Return the mean over the folds where the score is defined, percent; NaN for none."""
        values = self.values(score)
        return statistics.fmean(values) if values else math.nan

    def deviation(self, score: str) -> float:
        """Return the standard deviation over folds (n - 1 in the denominator), in points; NaN for fewer than two."""
        values = self.values(score)
        return statistics.stdev(values) if len(values) > 1 else math.nan

    def summary(self) -> str:
        """Return the table for people, and what is missing."""
        return f"{self.markdown()}\n{self._remaining()}"

    def markdown(self) -> str:
        """Return one row a score, one column a fold, mean and deviation once all folds are there."""
        headings = ["percent", *(f"fold {fold.fold}" for fold in self.folds)]
        if self.is_complete:
            headings += ["mean", "deviation"]
        rows = [self._row(name) for name in _SHOWN if self.values(name)]
        rows += [
            self._counts("images", [str(fold.images) for fold in self.folds]),
            self._counts("nuclei", [str(fold.nuclei) for fold in self.folds]),
            self._counts("score threshold", [f"{fold.score_threshold:.2f}" for fold in self.folds]),
        ]
        about = (
            f"Recipe {self.recipe}, {self.name}: each fold's test images, scored once; thresholds by its own validation"
            " images. Protocol standard, means over images; AP at 100 detections an image. The deviation is that of the"
            f" {self.fold_count} folds (n - 1)."
        )
        return f"{about}\n\n{Table.of(headings, rows).markdown()}\n"

    def write(self) -> None:
        """Write cross_validation.json and cross_validation.md into the folder."""
        names = sorted({name for fold in self.folds for name in fold.scores})
        document = {
            "schema_version": _SCHEMA,
            "units": "percent",
            "name": self.name,
            "recipe": self.recipe,
            "protocol": "standard",
            "folds": [fold.to_dict() for fold in self.folds],
            "mean": _plain({name: self.mean(name) for name in names}),
            "standard_deviation": _plain({name: self.deviation(name) for name in names}),
        }
        write_json(self.folder / JSON_NAME, document, indent=1)
        write_text(self.folder / MARKDOWN_NAME, f"# Cross-validation\n\n{self.markdown()}")

    def _row(self, name: str) -> list[str]:
        cells = [name.replace("/", " "), *(f"{fold.scores.get(name, math.nan):.1f}" for fold in self.folds)]
        return [*cells, f"{self.mean(name):.1f}", f"{self.deviation(name):.1f}"] if self.is_complete else cells

    def _counts(self, name: str, cells: list[str]) -> list[str]:
        return [name, *cells, "", ""] if self.is_complete else [name, *cells]

    def _remaining(self) -> str:
        if self.is_complete:
            return f"{self.folder / JSON_NAME}, {MARKDOWN_NAME}; the runs: {self.folder / 'fold-0'} and so on"
        there = {fold.fold for fold in self.folds}
        missing = ", ".join(str(fold) for fold in range(self.fold_count) if fold not in there)
        return f"{len(there)} of {self.fold_count} folds; mean and deviation come with the others: {missing}"


def _plain(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in scores.items()}
