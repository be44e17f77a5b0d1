from __future__ import annotations

import json
from pathlib import Path

import pytest

from nucleate.data import CocoDataset
from nucleate.errors import DataError
from nucleate.evaluation import evaluate_predictions, read_results_file
from nucleate.export import ImagePredictions, write_coco_results
from tests.evaluation.drawings import Box, predict, write_dataset

SQUARE: Box = (5, 15, 10, 20)


def _write(path: Path, predictions: list[ImagePredictions], category_ids: list[int]) -> Path:
    write_coco_results(path, predictions, category_ids=category_ids)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> CocoDataset:
    return write_dataset(tmp_path, [[SQUARE], [SQUARE]])


def test_images_without_detections_are_noted(tmp_path: Path, dataset: CocoDataset) -> None:
    path = _write(tmp_path / "r.json", [predict(2, [SQUARE], [0.9])], [1])
    found = read_results_file(path, dataset, dataset)
    assert [len(image.instances) for image in found.predictions] == [0, 1]
    assert found.notes == ("1 of 2 images have no detection in the results file",)


def test_detections_outside_of_the_split_are_left_out_and_noted(tmp_path: Path, dataset: CocoDataset) -> None:
    part = write_dataset(tmp_path / "part", [[SQUARE]])
    path = _write(tmp_path / "r.json", [predict(1, [SQUARE], [0.9]), predict(2, [SQUARE], [0.9])], [1])
    found = read_results_file(path, part, dataset)
    assert [image.image_id for image in found.predictions] == [1]
    assert found.notes == ("1 detections lie in images outside of the split and were left out",)


def test_classes_that_the_set_lacks_are_read_and_counted(tmp_path: Path, dataset: CocoDataset) -> None:
    path = _write(tmp_path / "r.json", [predict(1, [SQUARE, SQUARE], [0.9, 0.8], [0, 4])], [1, 2, 3, 4, 5])
    found = read_results_file(path, dataset, dataset)
    assert found.predictions[0].instances.class_indices.tolist() == [0, 1]
    notes = evaluate_predictions(dataset, found.predictions).notes
    assert notes == ("1 detections of classes that the data set lacks were left out of every score",)


def test_image_ids_of_other_images_are_refused(tmp_path: Path, dataset: CocoDataset) -> None:
    """The ids of `segment` count its inputs: scoring them by id would compare other images."""
    path = _write(tmp_path / "r.json", [predict(1, [SQUARE], [0.9])], [1])
    records = json.loads(path.read_text())
    records[0]["file_name"] = "elsewhere/image_2.png"
    path.write_text(json.dumps(records))
    with pytest.raises(DataError, match=r"image_id 1 is 'elsewhere/image_2.png' here and 'image_1.png'"):
        read_results_file(path, dataset, dataset)


def test_the_same_image_in_another_folder_is_taken(tmp_path: Path, dataset: CocoDataset) -> None:
    path = _write(tmp_path / "r.json", [predict(1, [SQUARE], [0.9])], [1])
    records = json.loads(path.read_text())
    records[0]["file_name"] = "elsewhere/image_1.png"
    path.write_text(json.dumps(records))
    assert len(read_results_file(path, dataset, dataset).predictions[0].instances) == 1


def test_files_of_detectron2_without_file_names_are_taken(tmp_path: Path, dataset: CocoDataset) -> None:
    path = _write(tmp_path / "r.json", [predict(1, [SQUARE], [0.9])], [1])
    records = json.loads(path.read_text())
    del records[0]["file_name"]
    path.write_text(json.dumps(records))
    assert len(read_results_file(path, dataset, dataset).predictions[0].instances) == 1


@pytest.mark.parametrize("text", ["no json", '{"images": []}', '[{"image_id": 77}]', "[3]"])
def test_what_is_no_results_file_is_refused(tmp_path: Path, dataset: CocoDataset, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"r.json"):
        read_results_file(path, dataset, dataset)


def test_a_missing_file_is_refused(tmp_path: Path, dataset: CocoDataset) -> None:
    with pytest.raises(DataError, match="can't be read"):
        read_results_file(tmp_path / "none.json", dataset, dataset)
