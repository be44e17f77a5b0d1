"""`nucleate compare`: results that exist, side by side on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nucleate.api.evaluate import RESULTS_PATH, score_part
from nucleate.api.predictions import AnnotatedSide, fingerprint, read_annotations, read_predictions
from nucleate.api.scored_part import ScoredPart
from nucleate.api.scoring import CompareSettings, ScoringSettings, scoring_rules
from nucleate.data import Split
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.evaluation import (
    Comparison,
    Evaluation,
    EvaluationSettings,
    FoundPredictions,
    compare_evaluations,
    read_results_file,
    write_comparison,
)
from nucleate.files import folder_lock
from nucleate.models.run_card import RunCard
from nucleate.readers import detect_format

DEFAULT_SETTINGS = CompareSettings()


def compare(
    paths: Sequence[Path],
    *,
    on: Split | None = None,
    output: Path | None = None,
    settings: CompareSettings = DEFAULT_SETTINGS,
) -> Comparison:
    """Compare the results of models on the images that all have: one table, paired differences to the first.

    Args:
        paths: two or more results, then the annotations. Results are runs that `evaluate` has scored, outputs of
            `evaluate` and of `segment`, and nuclei of any format that `evaluate` reads; annotations likewise.
        on: the split; unset takes test where there is one, else val, else all.
        output: folder for comparison.html, comparison.md and comparison.json; unset writes none.
        settings: threshold, rules.

    Raises:
        ConfigError: fewer than two results.
        DataError: results and annotations don't fit, or no image is in all of them.
        ResultsError: the output is a file, or can't be written.
    """
    if len(paths) < 3:
        raise ConfigError("give two or more results to compare, and the annotations as the last argument")
    *results, annotations = (Path(path) for path in paths)
    if output is not None and output.exists() and not output.is_dir():
        raise ResultsError("is a file: --output is a folder", path=output)
    annotated = read_annotations(annotations, on, settings)
    found = [_read(path, annotated, settings) for path in results]
    common, left_out = _common_images(found)
    scored = [each.scored(common, settings) for each in found]
    if annotated.part is None:
        # Sizes that no file states are the bounds of both sides' nuclei, which make another data set for every model.
        data = fingerprint(annotations)
        scored = [replace(each, data_fingerprint=data) for each in scored]
    comparison = replace(compare_evaluations(scored), left_out=left_out)
    if output is not None:
        with folder_lock(output):
            write_comparison(output, comparison)
    return comparison


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Result:
    """One model's predictions, on the images that it shares with the annotations."""

    part: ScoredPart
    found: FoundPredictions
    rules: EvaluationSettings

    @property
    def names(self) -> list[str]:
        return [record.file_name for record in self.part.dataset.records]

    def scored(self, common: set[str], settings: ScoringSettings) -> Evaluation:
        records = tuple(record for record in self.part.dataset.records if record.file_name in common)
        ids = {record.image_id for record in records}
        part = replace(self.part, dataset=replace(self.part.dataset, records=records))
        kept = tuple(image for image in self.found.predictions if image.image_id in ids)
        return score_part(part, replace(self.found, predictions=kept), self.rules, settings)


def _common_images(results: Sequence[_Result]) -> tuple[set[str], tuple[str, ...]]:
    """Return the images that all models have, and those that only some have, in the annotations' order.

    Raises:
        DataError: there is no common one.
    """
    common = set(results[0].names).intersection(*(each.names for each in results[1:]))
    if not common:
        counts = ", ".join(f"{each.rules.model} has {len(each.names)}" for each in results)
        raise DataError(f"no annotated image that all models have: {counts}")
    every = dict.fromkeys(name for each in results for name in each.names)
    return common, tuple(name for name in every if name not in common)


def _read(path: Path, annotated: AnnotatedSide, settings: ScoringSettings) -> _Result:
    if detect_format(path) is not None or not path.is_dir():
        read = read_predictions(path, annotated)
        rules = read.conditions(scoring_rules(settings, read.part.dataset, read.part.split), settings)
        return _checked(_Result(part=read.part, found=read.found, rules=rules))
    card, file, part = RunCard.read(path), path / RESULTS_PATH, annotated.part
    if not file.is_file():
        raise DataError("no results here: `nucleate evaluate` or `nucleate segment` makes them", path=file)
    if part is None:
        raise DataError("a run's results have the ids of its data set: give that as the last argument", path=path)
    rules = replace(
        scoring_rules(settings, part.dataset, part.split),
        score_threshold=card.score_threshold if settings.score is None else settings.score,
        score_threshold_from=f"stored with the model, {card.score_threshold_from}"
        if settings.score is None
        else "given",
        model=path.name,
        model_fingerprint=fingerprint(file),
    )
    return _checked(_Result(part=part, found=read_results_file(file, part.dataset, part.whole), rules=rules))


def _checked(result: _Result) -> _Result:
    if result.part.dataset.nuclei and not any(len(image.instances) for image in result.found.predictions):
        raise DataError(
            f"no detection in any image of the split {result.part.split}: these are other images' results",
            item=result.rules.model,
        )
    return result
