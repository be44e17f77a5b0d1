from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nucleate.core import Frame, Instances
from nucleate.data import read_dataset
from nucleate.errors import ConfigError, DataError
from nucleate.evaluation import EvaluationSettings, evaluate_predictions, pair_image
from nucleate.export import ImagePredictions
from tests.evaluation.drawings import Box, predict, write_dataset

SQUARE: Box = (5, 15, 10, 20)


def test_a_perfect_prediction_scores_100_everywhere(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE], [(0, 5, 0, 5), (0, 5, 5, 10)]])
    predictions = [predict(1, [SQUARE], [0.9]), predict(2, [(0, 5, 0, 5), (0, 5, 5, 10)], [0.8, 0.7])]
    overall = evaluate_predictions(dataset, predictions).overall
    assert (overall.scores.pq, overall.scores.aji, overall.scores.dice) == (100, 100, 100)
    assert (overall.precision.bbox.ap, overall.precision.segm.ap) == (100, 100)
    assert (overall.images, overall.annotated, overall.predicted) == (2, 3, 3)


def test_predictions_may_come_in_any_order(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE], []])
    evaluation = evaluate_predictions(dataset, [predict(2, [], []), predict(1, [SQUARE], [0.9])])
    assert [image.file_name for image in evaluation.images] == ["image_1.png", "image_2.png"]
    assert evaluation.overall.scores.pq == 100


def test_pq_takes_scores_above_the_threshold_and_ap_takes_all(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE]])
    evaluation = evaluate_predictions(dataset, [predict(1, [SQUARE], [0.5])], EvaluationSettings(score_threshold=0.5))
    assert (evaluation.overall.scores.pq, evaluation.overall.precision.segm.ap) == (0, 100)


def test_the_higher_score_owns_shared_pixels(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[(5, 15, 5, 15), (5, 15, 15, 25)]])
    predictions = [predict(1, [(5, 15, 5, 20), (5, 15, 15, 25)], [0.6, 0.9])]
    assert evaluate_predictions(dataset, predictions).overall.scores.pq == 100


def test_a_prediction_wholly_under_better_ones_is_no_false_positive(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE]])
    image = evaluate_predictions(dataset, [predict(1, [(8, 12, 12, 16), SQUARE], [0.6, 0.9])]).images[0]
    assert (image.predicted, image.matched) == (1, 1)


def test_the_later_of_overlapping_annotations_owns_the_pixels_and_it_is_noted(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[(5, 15, 5, 15), (5, 15, 11, 21), (6, 7, 12, 13), (6, 8, 12, 14)]])
    pair = pair_image(dataset.annotations(dataset.records[0]), predict(1, [], []).instances)
    assert pair.annotated[10, 13] == 2
    notes = evaluate_predictions(dataset, [predict(1, [], [])]).notes
    assert notes == (
        "45 pixels are annotated more than once; for PQ, AJI and Dice the later nucleus owns them",
        "1 annotated nuclei lie wholly under later ones and count for AP only",
    )


def test_crowd_regions_are_left_out_and_noted(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, [[SQUARE, (0, 3, 0, 30)]]).annotations_path
    content = json.loads(path.read_text())
    content["annotations"][1]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    evaluation = evaluate_predictions(read_dataset(path), [predict(1, [SQUARE], [0.9])])
    assert evaluation.overall.scores.pq == 100
    assert evaluation.notes[0].startswith("1 crowd regions were left out")


def test_predictions_of_classes_that_the_set_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE]])
    predictions = [predict(1, [SQUARE, (0, 3, 0, 3), (0, 3, 30, 33)], [0.9, 0.9, 0.8], [0, 5, 1])]
    evaluation = evaluate_predictions(dataset, predictions)
    assert evaluation.notes == ("2 detections of classes that the data set lacks were left out of every score",)
    assert (evaluation.overall.scores.pq, evaluation.overall.precision.segm.ap) == (100, 100)


def test_organs_are_scored_by_themselves_in_alphabetical_order(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE], [SQUARE], [SQUARE]], organs=["mouse liver", "human lung", None])
    predictions = [predict(1, [SQUARE], [0.9]), predict(2, [], []), predict(3, [], [])]
    organs = evaluate_predictions(dataset, predictions).organs
    assert [(group.name, group.images, group.scores.pq) for group in organs] == [
        ("human lung", 1, 0),
        ("mouse liver", 1, 100),
    ]
    assert [group.precision.segm.ap for group in organs] == [0, 100]


def test_a_set_without_organs_has_no_table_of_them(tmp_path: Path) -> None:
    assert evaluate_predictions(write_dataset(tmp_path, [[]]), [predict(1, [], [])]).organs == ()


@pytest.mark.parametrize(("rule", "value"), [("one", 50), ("zero", 0), ("skip", 0)])
def test_empty_images_follow_the_rule(tmp_path: Path, rule: str, value: float) -> None:
    dataset = write_dataset(tmp_path, [[], [SQUARE]])
    settings = EvaluationSettings(empty_image=rule)  # type: ignore[arg-type]
    evaluation = evaluate_predictions(dataset, [predict(1, [], []), predict(2, [], [])], settings)
    assert evaluation.overall.scores.pq == value
    assert (evaluation.images[0].scores is None) == (rule == "skip")


def test_an_image_without_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 2 images have no predictions, the first is 'image_2.png'"):
        evaluate_predictions(write_dataset(tmp_path, [[], []]), [predict(1, [], [])])


def test_predictions_of_unknown_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 images that the annotations lack, the first has image_id 9"):
        evaluate_predictions(write_dataset(tmp_path, [[]]), [predict(1, [], []), predict(9, [], [])])


def test_an_image_predicted_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="twice"):
        evaluate_predictions(write_dataset(tmp_path, [[]]), [predict(1, [], []), predict(1, [], [])])


def test_predictions_in_other_pixels_are_refused(tmp_path: Path) -> None:
    half = Instances.empty(Frame(height_px=10, width_px=20))
    with pytest.raises(DataError, match="an image of 20 x 10, the data set's has 40 x 20"):
        evaluate_predictions(
            write_dataset(tmp_path, [[]]), [ImagePredictions(image_id=1, file_name="", instances=half)]
        )


def test_a_threshold_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"1.5 lies outside 0 to 1"):
        EvaluationSettings(score_threshold=1.5)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="'two' is not one of"):
        EvaluationSettings(empty_image="two")  # type: ignore[arg-type]


def test_nuclei_on_the_label_maps_have_the_numbers_of_their_places(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[SQUARE, (0, 3, 0, 3)]])
    pair = pair_image(dataset.annotations(dataset.records[0]), predict(1, [(0, 2, 0, 2)], [0.4]).instances)
    assert np.unique(pair.annotated).tolist() == [0, 1, 2]
    assert np.unique(pair.predicted).tolist() == [0, 1]
