from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from nucleate.data import read_dataset
from nucleate.evaluation import (
    ClassPrecision,
    Evaluation,
    detectron2_messages,
    detectron2_scores,
    detectron2_text,
    evaluate_predictions,
)
from nucleate.export import read_coco_results
from tests.evaluation.drawings import predict, write_dataset

GOLDEN = Path(__file__).parent.parent / "golden" / "detectron2"


@pytest.fixture(scope="module")
def golden() -> Evaluation:
    dataset = read_dataset(GOLDEN / "coco_eval" / "annotations.json")
    frames = {record.image_id: record.frame for record in dataset.records}
    results = GOLDEN / "coco_eval" / "coco_instances_results.json"
    return evaluate_predictions(dataset, read_coco_results(results, frames, dataset.category_ids))


def test_tables_and_copypaste_lines_are_those_of_detectron2s_log(golden: Evaluation) -> None:
    log = (GOLDEN / "output_folder" / "log.txt").read_text()
    # Lines end with a space where Detectron2 begins a table on the next one.
    written = re.sub(r"\[[^\]]+\] (d2\.\S+) INFO: ", r"\1: ", log).replace(" \n", "\n")
    for logger, message in detectron2_messages(golden):
        assert f"{logger}: {message}".replace(" \n", "\n") in written


def test_the_metrics_line_has_the_keys_and_numbers_of_detectron2s(golden: Evaluation) -> None:
    lines = (GOLDEN / "output_folder" / "metrics.json").read_text().splitlines()
    expected = json.loads(lines[-1])
    assert expected.pop("iteration") == 500
    scores = detectron2_scores(golden)
    assert list(scores) == sorted(expected)
    assert scores == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_one_class_has_no_table_of_classes(tmp_path: Path) -> None:
    evaluation = evaluate_predictions(write_dataset(tmp_path, [[(0, 5, 0, 5)]]), [predict(1, [], [])])
    assert "Per-category" not in detectron2_text(evaluation)
    assert "bbox/AP-nucleus" not in detectron2_scores(evaluation)


def test_seven_classes_stand_in_three_pairs_of_columns(golden: Evaluation) -> None:
    classes = tuple(ClassPrecision(class_name=f"class {index}", ap=math.nan if index else 1.0) for index in range(7))
    precision = replace(golden.overall.precision, bbox=replace(golden.overall.precision.bbox, per_class=classes))
    text = detectron2_text(replace(golden, overall=replace(golden.overall, precision=precision)))
    table = text.split("Per-category bbox AP: \n")[1].splitlines()[:5]
    assert table[0] == "| category   | AP    | category   | AP   | category   | AP   |"
    assert table[1] == "|:-----------|:------|:-----------|:-----|:-----------|:-----|"
    assert table[2] == "| class 0    | 1.000 | class 1    | nan  | class 2    | nan  |"
    assert table[4] == "| class 6    | nan   |            |      |            |      |"


def test_the_line_about_nan_is_left_out_where_all_is_defined(golden: Evaluation) -> None:
    whole = replace(golden.overall.precision.bbox, ap_medium=1.0, ap_large=1.0)
    precision = replace(golden.overall.precision, bbox=whole, segm=replace(whole, kind="segm"))
    text = detectron2_text(replace(golden, overall=replace(golden.overall, precision=precision)))
    assert "cannot be computed" not in text
