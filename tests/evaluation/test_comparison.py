from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nucleate.errors import DataError
from nucleate.evaluation import Evaluation, EvaluationSettings, compare_evaluations, evaluate_predictions
from tests.evaluation.drawings import Box, predict, write_dataset

G: Box = (5, 15, 10, 20)
SHIFTED: Box = (5, 15, 11, 21)


def _evaluation(folder: Path, found: list[list[Box]], settings: EvaluationSettings | None = None) -> Evaluation:
    dataset = write_dataset(folder, [[G]] * 4)
    predictions = [predict(number, boxes, [0.9] * len(boxes)) for number, boxes in enumerate(found, start=1)]
    return evaluate_predictions(dataset, predictions, settings)


def test_differences_are_paired_by_image(tmp_path: Path) -> None:
    worse, better = _evaluation(tmp_path, [[SHIFTED]] * 4), _evaluation(tmp_path, [[G]] * 4)
    comparison = compare_evaluations([worse, better, worse])
    pq = comparison.differences[0]
    assert (pq.model, pq.score, pq.images) == (2, "pq", 4)
    assert pq.paired.difference == pytest.approx(100 - 81.818, abs=1e-3)
    assert pq.paired.p_value == 2 / 16
    assert [each.paired.p_value for each in comparison.differences[3:]] == [1, 1, 1]


def test_the_table_has_a_row_a_model_and_one_a_difference(tmp_path: Path) -> None:
    settings = EvaluationSettings(model="a")
    first = _evaluation(tmp_path, [[SHIFTED]] * 4, settings)
    text = compare_evaluations([first, _evaluation(tmp_path, [[G]] * 4, settings)]).summary()
    assert "| 2: a | 0.5 | 100.0 (100.0 to 100.0) |" in text
    assert "| 2: a less 1: a | PQ | +18.18 | +18.18 to +18.18 | 0.1250 | 4 |" in text
    assert "protocol `standard`" in text


def test_images_that_one_model_skips_are_not_paired(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G], []])
    settings = EvaluationSettings(empty_image="skip")
    quiet = evaluate_predictions(dataset, [predict(1, [G], [0.9]), predict(2, [], [])], settings)
    loud = evaluate_predictions(dataset, [predict(1, [G], [0.9]), predict(2, [G], [0.9])], settings)
    assert [each.images for each in compare_evaluations([quiet, loud]).differences] == [1, 1, 1]


def test_models_scored_by_other_rules_are_refused(tmp_path: Path) -> None:
    first = _evaluation(tmp_path, [[G]] * 4)
    other = _evaluation(tmp_path, [[G]] * 4, EvaluationSettings(empty_image="zero"))
    with pytest.raises(DataError, match="another empty image rule: 'one' and 'zero'"):
        compare_evaluations([first, other])


def test_one_model_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 model to compare"):
        compare_evaluations([_evaluation(tmp_path, [[G]] * 4)])


def test_of_many_images_that_were_left_out_some_are_named(tmp_path: Path) -> None:
    comparison = compare_evaluations([_evaluation(tmp_path, [[G]] * 4)] * 2)
    one, many = (replace(comparison, left_out=tuple(f"{n}.png" for n in range(count))) for count in (1, 25))
    assert one.notes()[0] == "1 image that not all models have was left out of all scores here: 0.png."
    assert many.notes()[0].endswith("18.png, 19.png and 5 more.")


def test_an_interval_alone_concludes_nothing(tmp_path: Path) -> None:
    """4 images, all better: the interval leaves out 0, but 2 of 16 swaps are as good by chance."""
    first = _evaluation(tmp_path, [[SHIFTED]] * 4)
    (said,) = compare_evaluations([first, _evaluation(tmp_path, [[G]] * 4)]).conclusions()
    assert "doubtful in Dice" in said
    assert "but p 0.12" in said
