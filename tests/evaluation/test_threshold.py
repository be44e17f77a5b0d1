from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nucleate.errors import DataError
from nucleate.evaluation import (
    EvaluationSettings,
    ThresholdCurve,
    choose_score_threshold,
    evaluate_predictions,
    threshold_curve,
)
from nucleate.evaluation.threshold import SCORE_THRESHOLDS
from nucleate.export import ImagePredictions
from tests.evaluation.drawings import Box, instances_of, predict, write_dataset
from tests.synthetic import draw_he

SQUARE: Box = (5, 15, 10, 20)


def test_thresholds_are_the_numbers_that_a_user_writes() -> None:
    assert SCORE_THRESHOLDS[:3] == (0.05, 0.1, 0.15)
    assert (len(SCORE_THRESHOLDS), SCORE_THRESHOLDS[-1]) == (19, 0.95)


def test_the_threshold_between_right_and_wrong_detections_is_chosen(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE]])
    predictions = [predict(1, [SQUARE, (0, 4, 0, 9), (0, 4, 30, 39)], [0.73, 0.68, 0.3])]
    assert choose_score_threshold(dataset, predictions) == 0.7


def test_among_equals_the_threshold_nearest_to_one_half_is_chosen() -> None:
    curve = ThresholdCurve(score_thresholds=(0.3, 0.45, 0.55, 0.8), pq=(60.0, 60.0, 60.0, 10.0))
    assert curve.best == 0.45


def test_the_curve_equals_evaluations_at_each_threshold(tmp_path: Path) -> None:
    """Detections overlap, so that raising the threshold frees no pixels but drops owners."""
    rng = np.random.default_rng(0)
    boxes: list[list[Box]] = [
        [(int(y), int(y) + 6, int(x), int(x) + 7) for y, x in rng.integers(0, (14, 33), (8, 2))] for _ in range(4)
    ]
    dataset = write_dataset(tmp_path, [boxes[0][:4], boxes[1][:4], boxes[2][:2], []])
    predictions = [
        predict(index + 1, image, np.round(rng.uniform(0, 1, 8), 2).tolist(), [0] * 7 + [3])
        for index, image in enumerate(boxes)
    ]
    curve = threshold_curve(dataset, predictions)
    for threshold, pq in zip(curve.score_thresholds, curve.pq, strict=True):
        evaluation = evaluate_predictions(dataset, predictions, EvaluationSettings(score_threshold=threshold))
        assert pq == pytest.approx(evaluation.overall.scores.pq)


def test_a_set_without_images_has_no_threshold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image to choose a score threshold on"):
        choose_score_threshold(write_dataset(tmp_path, []), [])


def test_a_set_without_nuclei_and_detections_gives_one_half(tmp_path: Path) -> None:
    assert choose_score_threshold(write_dataset(tmp_path, [[]]), [predict(1, [], [])]) == 0.5


def test_drawn_nuclei_with_low_scores_are_kept_by_a_low_threshold(tmp_path: Path) -> None:
    label_map = draw_he(height_px=20, width_px=40, nuclei=4, diameter_px=(5, 8)).label_map
    boxes: list[Box] = []
    for number in np.unique(label_map)[1:]:
        rows, columns = np.nonzero(label_map == number)
        boxes.append((int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1))
    dataset = write_dataset(tmp_path, [boxes])
    instances = instances_of(label_map, [0.12] * len(boxes))
    found = [ImagePredictions(image_id=1, file_name="", instances=instances)]
    assert choose_score_threshold(dataset, found) == 0.1
