"""`nucleate compare`: results that exist, side by side on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from nucleate.api.evaluate import RESULTS_PATH, score_part
from nucleate.api.predictions import AnnotatedSide, ScoredPart, fingerprint, read_annotations, read_predictions
from nucleate.api.scoring import EvaluateSettings, scoring_rules
from nucleate.data import Split
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.evaluation import (
    Comparison,
    EmptyImageRule,
    Evaluation,
    EvaluationSettings,
    FoundPredictions,
    IntervalMethod,
    ProtocolName,
    Rasteriser,
    ResampleBy,
    compare_evaluations,
    read_results_file,
    write_comparison,
)
from nucleate.files import folder_lock
from nucleate.models.run_card import RunCard
from nucleate.readers import detect_format


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """How results are compared; scores as `evaluate` makes them.

    Attributes:
        score: nuclei above this score count, 0 to 1; unset takes the threshold stored with a run, 0.5 for a results
            file, and all nuclei of a results folder.
        empty_image: what an image without annotated and predicted nuclei scores: 100 percent (one), 0 (zero), or
            nothing (skip).
        protocol: standard, nuceval or pannuke.
        vague: nuceval: folder with a mask an image, under the image's name; not 0 is vague.
        vague_threshold: nuceval: a nucleus with a greater share of its pixels in vague areas is removed; unset is 0.25.
        weighted: nuceval: weigh images by their annotated nuclei.
        overlapping: nuceval: annotated nuclei may share pixels.
        ring_px: nuceval: width of the ring around annotated borders that counts for neither side.
        rasteriser: nuceval: how annotated polygons become pixels: coco, pixel-centres, or fillpoly as nuc_eval.
        resample_by: what intervals draw, and the test swaps, as a whole: image, organ (in NuInsSeg a slide) or source.
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
    resample_by: ResampleBy = "image"
    interval: IntervalMethod = "percentile"
    images: Path | None = None

    def scoring(self) -> EvaluateSettings:
        """Return the same settings for `evaluate`."""
        return EvaluateSettings(**{each.name: getattr(self, each.name) for each in fields(self)})


DEFAULT_SETTINGS = CompareSettings()


def compare(
    paths: Sequence[Path],
    *,
    on: Split | None = None,
    output: Path | None = None,
    settings: CompareSettings = DEFAULT_SETTINGS,
) -> Comparison:
    """Compare the results of models on the same images: one table, paired differences to the first.

    Args:
        paths: two or more results, then the annotations. Results are runs that `evaluate` has scored, folders of
            `segment`, and nuclei of any format that `evaluate` reads; annotations likewise.
        on: the split; unset takes test where there is one, else val, else all.
        output: folder for comparison.html, comparison.md and comparison.json; unset writes none.
        settings: threshold, rules.

    Raises:
        ConfigError: fewer than two results.
        DataError: results and annotations don't fit.
        ResultsError: the output is a file, or can't be written.
    """
    if len(paths) < 3:
        raise ConfigError("give two or more results to compare, and the annotations as the last argument")
    *results, annotations = (Path(path) for path in paths)
    if output is not None and output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output is a folder", path=output)
    scoring = settings.scoring()
    annotated = read_annotations(annotations, on, scoring)
    comparison = compare_evaluations([_scored(path, annotated, scoring) for path in results])
    if output is not None:
        with folder_lock(output):
            write_comparison(output, comparison)
    return comparison


def _scored(path: Path, annotated: AnnotatedSide, settings: EvaluateSettings) -> Evaluation:
    if detect_format(path) is not None or not path.is_dir():
        read = read_predictions(path, annotated)
        rules = read.conditions(scoring_rules(settings, read.part.dataset, read.part.split), settings)
        return _score(read.part, read.found, rules, settings)
    card, file, part = RunCard.read(path), path / RESULTS_PATH, annotated.part
    if not file.is_file():
        raise DataError("no results here: `nucleate evaluate` or `nucleate segment` makes them", path=file)
    if part is None:
        raise DataError("a run's results have the ids of its data set: give that as the last argument", path=path)
    found = read_results_file(file, part.dataset, part.whole)
    rules = replace(
        scoring_rules(settings, part.dataset, part.split),
        score_threshold=card.score_threshold if settings.score is None else settings.score,
        score_threshold_from=f"stored with the model, {card.score_threshold_from}"
        if settings.score is None
        else "given",
        model=path.name,
        model_fingerprint=fingerprint(file),
    )
    return _score(part, found, rules, settings)


def _score(
    part: ScoredPart, found: FoundPredictions, rules: EvaluationSettings, settings: EvaluateSettings
) -> Evaluation:
    if part.dataset.nuclei and not any(len(image.instances) for image in found.predictions):
        raise DataError(
            f"no detection in any image of the split {part.split}: these are other images' results", item=rules.model
        )
    return score_part(part, found, rules, settings)
