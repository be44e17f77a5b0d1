from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nucleate.data import CocoDataset, read_dataset
from nucleate.errors import DataError
from nucleate.evaluation.pictures import CAPTION_PX, DEFAULT_STYLE
from nucleate.export import ImagePredictions
from nucleate.training.validation_strip import Moment, ValidationStrip, cut_strips, write_strip
from tests.training.test_session import write_coco

MOMENT = Moment(iterations=2000, pq=61.25, score_threshold=0.5)


@pytest.fixture
def dataset(tmp_path: Path) -> CocoDataset:
    return read_dataset(write_coco(tmp_path / "data"), split="train")


def as_annotated(dataset: CocoDataset, score: float = 1.0) -> list[ImagePredictions]:
    predictions = []
    for record in dataset.records:
        nuclei = dataset.annotations(record).instances
        scored = replace(nuclei, scores=np.full(len(nuclei), score, np.float32))
        predictions.append(ImagePredictions(image_id=record.image_id, file_name=record.file_name, instances=scored))
    return predictions


def holds(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], colour: tuple[int, int, int]) -> bool:
    # Below both lines of words, whose swatches have every colour.
    return bool((picture[2 * CAPTION_PX :] == colour).all(axis=-1).any())


def test_images_without_nuclei_are_not_shown(dataset: CocoDataset) -> None:
    assert ValidationStrip(dataset).file_names == ("drawing_0.png", "drawing_1.png")


def test_the_choice_does_not_depend_on_the_order_of_the_records(dataset: CocoDataset) -> None:
    turned = replace(dataset, records=dataset.records[::-1])
    assert ValidationStrip(turned).file_names == ValidationStrip(dataset).file_names


def test_found_nuclei_have_one_colour_and_faults_their_own(dataset: CocoDataset) -> None:
    strip = ValidationStrip(dataset)
    found = strip.draw(as_annotated(dataset), MOMENT)
    assert holds(found, DEFAULT_STYLE.found_rgb)
    assert not holds(found, DEFAULT_STYLE.missed_rgb)
    missed = strip.draw(as_annotated(dataset, score=0.1), MOMENT)
    assert holds(missed, DEFAULT_STYLE.missed_rgb)
    assert not holds(missed, DEFAULT_STYLE.found_rgb)
    assert found.shape == missed.shape


def test_of_large_images_the_part_with_the_most_nuclei_is_shown(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((400, 600, 3), 230, np.uint8)).save(tmp_path / "images" / "large.png")
    corners = [(x, y) for x in (500, 530) for y in (300, 330)] + [(10, 10)]
    content = {
        "images": [{"id": 1, "file_name": "large.png", "width": 600, "height": 400}],
        "categories": [{"id": 1, "name": "nucleus"}],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [x, y, 10, 10],
                "area": 100,
                "segmentation": [[x, y, x + 10, y, x + 10, y + 10, x, y + 10]],
            }
            for number, (x, y) in enumerate(corners, start=1)
        ],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    dataset = read_dataset(tmp_path / "annotations.json")
    strip = ValidationStrip(dataset)
    # 12 diameters of 11.3 px, at three pixels each; the lone nucleus at the upper left is not in it.
    missed = strip.draw(as_annotated(dataset, score=0.0), MOMENT)
    panel = missed[3 * CAPTION_PX : 3 * CAPTION_PX + 3 * 136, : 3 * 136]
    assert missed.shape == (4 * CAPTION_PX + 2 * 3 * 136, 700, 3)
    assert holds(missed, DEFAULT_STYLE.missed_rgb)
    # Four outlines of 10 px at three pixels each, three pixels wide as cv2 draws two.
    yellow_px = int((panel == DEFAULT_STYLE.missed_rgb).all(axis=-1).sum())
    assert yellow_px == pytest.approx(4 * 4 * 30 * 3, rel=0.1)


def test_a_set_without_nuclei_is_shown_all_the_same(dataset: CocoDataset) -> None:
    empty = replace(dataset, records=dataset.records[2:])
    assert ValidationStrip(empty).draw(as_annotated(empty), MOMENT).any()


def test_a_set_without_images_is_refused(dataset: CocoDataset) -> None:
    with pytest.raises(DataError, match="no image to validate on"):
        ValidationStrip(replace(dataset, records=()))


def test_strips_of_iterations_that_are_run_again_go(tmp_path: Path) -> None:
    strip = np.zeros((4, 4, 3), np.uint8)
    for iterations in (10, 20, 30):
        write_strip(tmp_path, iterations, strip)
    other = tmp_path / "pictures" / "validation_mine.png"
    other.write_bytes(b"mine")
    cut_strips(tmp_path, 20)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "validation_0000010.png",
        "validation_0000020.png",
        "validation_mine.png",
    ]
