from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nucleate.core import Frame
from nucleate.data import read_dataset
from nucleate.errors import DataError
from nucleate.evaluation import Rasteriser, label_map_overlaps, rasterise, score_overlaps
from nucleate.evaluation.rasterisation import rasterised_nuclei
from nucleate.files import write_json
from tests.evaluation.drawings import draw, write_dataset

FRAME = Frame(height_px=20, width_px=40)
SQUARE = np.array([[10.0, 5], [20, 5], [20, 15], [10, 15]])


@pytest.mark.parametrize(("rasteriser", "pixels"), [("coco", 100), ("pixel-centres", 100), ("fillpoly", 121)])
def test_a_square_of_10_px(rasteriser: Rasteriser, pixels: int) -> None:
    assert rasterise([SQUARE], FRAME, rasteriser).sum() == pixels


def test_fillpoly_makes_a_perfect_prediction_imperfect() -> None:
    drawn = rasterise([SQUARE], FRAME, "fillpoly").astype(int)
    scores = score_overlaps(label_map_overlaps(drawn, draw((5, 15, 10, 20))))
    assert scores is not None
    assert (scores.dice, scores.pq) == pytest.approx((90.498, 82.645), abs=1e-3)


def test_pixels_whose_centre_lies_inside_are_taken() -> None:
    triangle = np.array([[0.0, 0], [4, 0], [0, 4]])
    expected = np.array([[x + 0.5 + y + 0.5 < 4 for x in range(4)] for y in range(4)])
    assert np.array_equal(rasterise([triangle], FRAME, "pixel-centres")[:4, :4], expected)


def test_polygons_that_leave_the_image_are_cut_off() -> None:
    beyond = SQUARE - np.array([15.0, 10])
    assert rasterise([beyond], FRAME, "pixel-centres").sum() == 25


def test_polygons_of_one_nucleus_are_united() -> None:
    assert rasterise([SQUARE, SQUARE + 5], FRAME, "pixel-centres").sum() == 175


def test_run_length_codes_are_taken_as_they_are_and_refused_by_fillpoly(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[(5, 15, 10, 20)]])
    assert rasterised_nuclei(dataset, dataset.records[0], "pixel-centres").areas_px().tolist() == [100]
    with pytest.raises(DataError, match="annotation 1: the rasteriser fillpoly needs polygons"):
        rasterised_nuclei(dataset, dataset.records[0], "fillpoly")


def test_a_data_sets_polygons_are_drawn_by_the_rule(tmp_path: Path) -> None:
    document = write_dataset(tmp_path, [[(5, 15, 10, 20), (0, 2, 0, 2)]]).coco()
    document["annotations"][0]["segmentation"] = [SQUARE.reshape(-1).tolist()]
    document["annotations"][1]["iscrowd"] = 1
    write_json(tmp_path / "polygons.json", document)
    dataset = read_dataset(tmp_path / "polygons.json")
    areas = [rasterised_nuclei(dataset, dataset.records[0], rule).areas_px().tolist() for rule in ("coco", "fillpoly")]
    assert areas == [[100], [121]]
