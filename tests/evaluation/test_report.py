from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nucleate.errors import ResultsError
from nucleate.evaluation import (
    Evaluation,
    EvaluationSettings,
    check_same_conditions,
    evaluate_predictions,
    evaluation_to_json,
    evaluation_to_markdown,
    report_markdown,
    write_report,
)
from tests.evaluation.drawings import Box, predict, write_dataset

SQUARE: Box = (5, 15, 10, 20)
SETTINGS = EvaluationSettings(model="a model", model_fingerprint="12ab", split="test", empty_image="skip")
SCHEMA = Path(__file__).parents[2] / "docs" / "evaluation-schema.md"


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    dataset = write_dataset(
        tmp_path / "data", [[SQUARE, (0, 3, 0, 3)], []], organs=["human a|b", "mouse liver"], classes=("round", "oval")
    )
    return evaluate_predictions(dataset, [predict(1, [SQUARE], [0.9]), predict(2, [], [])], SETTINGS)


def test_the_files_are_written(tmp_path: Path, evaluation: Evaluation) -> None:
    write_report(tmp_path / "out", evaluation)
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert document["overall"]["scores"]["pq"] == pytest.approx(66.667, abs=1e-3)
    assert (tmp_path / "out" / "report.md").read_text() == report_markdown(evaluation)


def test_the_document_names_what_the_numbers_depend_on(evaluation: Evaluation) -> None:
    document = evaluation_to_json(evaluation)
    expected = {
        "units": "percent",
        "model": "a model",
        "model_fingerprint": "12ab",
        "split": "test",
        "protocol": "standard",
        "empty_image": "skip",
        "score_threshold": 0.5,
        "score_threshold_from": "default",
    }
    assert {key: document[key] for key in expected} == expected
    assert len(document["data_fingerprint"]) == 16


def test_undefined_scores_are_null_with_their_reasons(evaluation: Evaluation) -> None:
    document = evaluation_to_json(evaluation)
    segm = document["overall"]["average_precision"]["segm"]
    assert segm["APl"] is None
    assert "APl: no annotated nucleus of 96x96 px or more in this set" in segm["undefined"]
    assert document["images"][1]["scores"] is None


def test_every_key_of_the_document_is_in_the_schema(evaluation: Evaluation) -> None:
    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            inner = {key: part for key, part in value.items() if key != "per_class"}
            return set(value) | {key for part in inner.values() for key in keys(part)}
        return {key for part in value for key in keys(part)} if isinstance(value, list) else set()

    documented = set(re.findall(r"`([A-Za-z0-9_]+)`", SCHEMA.read_text()))
    assert keys(evaluation_to_json(evaluation)) <= documented


def test_the_table_has_a_row_an_organ_with_bars_escaped(evaluation: Evaluation) -> None:
    text = evaluation_to_markdown(evaluation)
    assert "| human a\\|b | 1 | 2 | 66.7 |" in text
    assert "| mouse liver | 1 | 0 | nan | nan |" in text


def test_the_table_names_sizes_and_reasons(evaluation: Evaluation) -> None:
    text = evaluation_to_markdown(evaluation)
    assert "| 2 | 2 | 0 | 0 |" in text
    assert "APl: no annotated nucleus of 96x96 px or more in this set" in text


def test_the_table_has_the_classes_where_there_are_several(evaluation: Evaluation) -> None:
    text = evaluation_to_markdown(evaluation)
    assert "| oval | 1 | 0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 |" in text


def test_an_evaluation_of_one_class_without_organs_has_neither_table(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE]])
    text = evaluation_to_markdown(evaluate_predictions(dataset, [predict(1, [SQUARE], [0.9])]))
    assert "By class" not in text
    assert "By organ" not in text


def test_the_summary_holds_detectron2s_table_and_ours(evaluation: Evaluation) -> None:
    assert "copypaste: Task: segm" in evaluation.summary()
    assert "| PQ | SQ | DQ |" in evaluation.summary()


def test_the_same_conditions_may_be_written_again(tmp_path: Path, evaluation: Evaluation) -> None:
    write_report(tmp_path, evaluation)
    check_same_conditions(tmp_path, SETTINGS, evaluation.data_fingerprint)


def test_an_empty_folder_takes_any_evaluation(tmp_path: Path) -> None:
    check_same_conditions(tmp_path, SETTINGS, "")


def test_another_threshold_is_refused(tmp_path: Path, evaluation: Evaluation) -> None:
    write_report(tmp_path, evaluation)
    other = EvaluationSettings(
        model="a model", model_fingerprint="12ab", split="test", empty_image="skip", score_threshold=0.3
    )
    with pytest.raises(ResultsError, match=r"score_threshold 0.5, this one has 0.3: choose another --output"):
        check_same_conditions(tmp_path, other, evaluation.data_fingerprint)


@pytest.mark.parametrize("text", ["{}", "[]", "nothing"])
def test_a_foreign_file_of_that_name_is_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(ResultsError, match="no evaluation of ours"):
        check_same_conditions(tmp_path, SETTINGS, "")


def test_an_evaluation_of_an_older_schema_is_not_replaced(tmp_path: Path, evaluation: Evaluation) -> None:
    older = {"schema_version": 1, "model": "a model"}
    (tmp_path / "evaluation.json").write_text(json.dumps(older))
    with pytest.raises(ResultsError, match="schema version 1, this one has 4"):
        check_same_conditions(tmp_path, SETTINGS, evaluation.data_fingerprint)
