from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.annotation_limit import main
from nucleate.export import write_coco_results
from tests.evaluation.drawings import Box, predict, write_dataset

NUCLEUS: Box = (5, 15, 10, 20)
SHIFTED: Box = (5, 15, 11, 21)
ELSEWHERE: Box = (2, 9, 30, 37)


def results(path: Path, boxes: list[Box], scores: list[float], images: int = 2) -> Path:
    found = [predict(number, boxes, scores) for number in range(1, images + 1)]
    write_coco_results(path, found, category_ids=[1])
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", [[NUCLEUS], [NUCLEUS]]).annotations_path


def test_two_models_that_agree_against_the_annotations(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = results(tmp_path / "a.json", [SHIFTED, ELSEWHERE], [0.9, 0.6])
    second = results(tmp_path / "b.json", [SHIFTED, ELSEWHERE, NUCLEUS], [0.9, 0.8, 0.3])
    main([str(first), str(second), str(data), "--on", "all", "--output", str(tmp_path / "limit.json")])
    lines = capsys.readouterr().out.splitlines()
    # IoU of the shifted nucleus 90 / 110; one false positive makes a third of the denominator.
    assert lines[2].startswith("| a.json | annotations | 54.5 | 81.8 | 66.7 |")
    assert lines[4] == "| a.json | b.json | 100.0 | 100.0 | 100.0 | 100.0 | 100.0 |"
    written = json.loads((tmp_path / "limit.json").read_text())
    assert written["images"] == 2
    assert written["bounds"] == pytest.approx(
        {"as_it_is": 54.545, "best_threshold_of_each_image": 81.818, "no_false_positives": 81.818}, abs=1e-3
    )


def test_better_scores_own_shared_pixels(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = results(tmp_path / "a.json", [SHIFTED, NUCLEUS], [0.9, 0.6])
    main([str(both), str(both), str(data), "--on", "all"])
    assert "| a.json | a.json | 100.0 |" in capsys.readouterr().out


def test_data_that_is_not_there_is_one_line(tmp_path: Path, data: Path) -> None:
    file = results(tmp_path / "a.json", [NUCLEUS], [0.9])
    with pytest.raises(SystemExit, match="missing"):
        main([str(file), str(file), str(data.parent / "missing"), "--on", "all"])
