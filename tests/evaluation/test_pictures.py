from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nucleate.data import CocoDataset, read_dataset
from nucleate.errors import DataError
from nucleate.evaluation import ComparisonStyle, ImagePair, draw_side_by_side, pair_image, write_pictures
from nucleate.evaluation.pictures import CAPTION_PX, picture_names
from tests.evaluation.drawings import SHAPE, Box, predict, write_dataset

STYLE = ComparisonStyle(smallest_side_px=20, gap_px=4)
FOUND: Box = (2, 10, 2, 10)
MISSED: Box = (2, 10, 20, 28)
FALSE: Box = (12, 18, 30, 38)


def _pair(tmp_path: Path) -> ImagePair:
    dataset = write_dataset(tmp_path, [[FOUND, MISSED]])
    predicted = predict(1, [(2, 10, 2, 9), FALSE], [0.9, 0.8]).instances
    return pair_image(dataset.annotations(dataset.records[0]), predicted)


def _panels(picture: NDArray[np.uint8], width_px: int = 40, gap_px: int = 4) -> list[NDArray[np.uint8]]:
    return [picture[CAPTION_PX:, start : start + width_px] for start in (0, width_px + gap_px, 2 * (width_px + gap_px))]


def _holds(panel: NDArray[np.uint8], box: Box, colour: tuple[int, int, int]) -> bool:
    top, bottom, left, right = box
    return bool((panel[top : bottom + 1, left : right + 1] == colour).all(axis=-1).any())


def test_found_missed_and_false_nuclei_have_their_colours(tmp_path: Path) -> None:
    image = np.full((*SHAPE, 3), 200, np.uint8)
    plain, annotated, predicted = _panels(draw_side_by_side(image, _pair(tmp_path), style=STYLE))
    assert np.array_equal(plain, image)
    assert _holds(annotated, FOUND, STYLE.found_rgb)
    assert _holds(annotated, MISSED, STYLE.missed_rgb)
    assert _holds(predicted, FOUND, STYLE.found_rgb)
    assert _holds(predicted, FALSE, STYLE.false_rgb)
    assert not _holds(predicted, MISSED, STYLE.missed_rgb)


def test_small_images_are_magnified(tmp_path: Path) -> None:
    image = np.zeros((*SHAPE, 3), np.uint8)
    picture = draw_side_by_side(image, _pair(tmp_path), style=ComparisonStyle(smallest_side_px=50, gap_px=8))
    assert picture.shape == (CAPTION_PX + 60, 3 * 120 + 2 * 8, 3)


def test_narrow_images_are_not_magnified_without_end(tmp_path: Path) -> None:
    style = ComparisonStyle(smallest_side_px=700, largest_side_px=100, gap_px=0)
    picture = draw_side_by_side(np.zeros((*SHAPE, 3), np.uint8), _pair(tmp_path), style=style)
    assert picture.shape == (CAPTION_PX + 40, 3 * 80, 3)


def test_an_image_without_nuclei_is_drawn(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[]])
    pair = pair_image(dataset.annotations(dataset.records[0]), predict(1, [], []).instances)
    image = np.full((*SHAPE, 3), 90, np.uint8)
    for panel in _panels(draw_side_by_side(image, pair, style=STYLE)):
        assert np.array_equal(panel, image)


def test_label_maps_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="over an image of"):
        draw_side_by_side(np.zeros((5, 5, 3), np.uint8), _pair(tmp_path))


def _renamed(tmp_path: Path, names: list[str]) -> CocoDataset:
    path = write_dataset(tmp_path, [[FOUND]] * len(names)).annotations_path
    content = json.loads(path.read_text())
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = name
    path.write_text(json.dumps(content))
    return read_dataset(path)


def test_pictures_are_named_after_their_images_and_keep_folders(tmp_path: Path) -> None:
    dataset = _renamed(tmp_path, ["liver/a.b.png", "lung/A.tif", "lung/a.png"])
    assert picture_names(dataset) == ["liver/a.b", "lung/A.tif", "lung/a.png"]


def test_annotated_maps_and_comparisons_are_written(tmp_path: Path) -> None:
    dataset = _renamed(tmp_path, ["liver/a.png", "b.png"])
    (tmp_path / "liver").mkdir()
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tmp_path / "liver" / "a.png")
    predictions = [predict(1, [FOUND], [0.9]), predict(2, [], [])]
    missing = write_pictures(tmp_path / "out", dataset, predictions, 0.5)
    annotated = np.asarray(Image.open(tmp_path / "out" / "annotated" / "liver" / "a.png"))
    assert annotated.dtype == np.uint8
    assert np.unique(annotated).tolist() == [0, 1]
    assert (tmp_path / "out" / "side-by-side" / "liver" / "a.png").is_file()
    assert (missing, (tmp_path / "out" / "side-by-side" / "b.png").exists()) == (1, False)


def test_more_than_255_annotated_nuclei_make_a_16_bit_map(tmp_path: Path) -> None:
    boxes = [(row, row + 1, column, column + 1) for row in range(10) for column in range(30)]
    dataset = write_dataset(tmp_path, [boxes])
    write_pictures(tmp_path / "out", dataset, [predict(1, [], [])], 0.5)
    annotated = np.asarray(Image.open(tmp_path / "out" / "annotated" / "image_1.png"))
    assert int(annotated.max()) == 300
