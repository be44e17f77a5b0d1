from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nucleate.core import Frame, Instances, Masks, Rle, encode_rles, masks_from_label_map, rle_problem
from nucleate.errors import DataError
from nucleate.export import ImagePredictions, read_coco_results, write_coco_results
from tests.synthetic import draw_he

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "detectron2" / "coco_eval"


def drawn(nuclei: int = 6) -> Instances:
    masks, _ = masks_from_label_map(draw_he(nuclei=nuclei).label_map)
    count = len(masks)
    return Instances(
        frame=masks.frame,
        boxes_xyxy=masks.windows_xyxy + np.float32(0.3),
        masks=masks,
        class_indices=np.arange(count) % 2,
        scores=np.linspace(0.99, 0.51, count, dtype=np.float32),
    )


def predictions(instances: Instances, image_id: int = 7) -> ImagePredictions:
    return ImagePredictions(image_id=image_id, file_name="a/b.png", instances=instances)


def test_written_results_read_back_equal(tmp_path: Path) -> None:
    instances = drawn()
    write_coco_results(tmp_path / "r.json", [predictions(instances)], category_ids=[3, 5])
    (back,) = read_coco_results(tmp_path / "r.json", {7: instances.frame}, [3, 5])
    assert back.file_name == "a/b.png"
    assert np.allclose(back.instances.boxes_xyxy, instances.boxes_xyxy, atol=1e-4)
    assert np.array_equal(back.instances.scores, instances.scores)
    assert np.array_equal(back.instances.class_indices, instances.class_indices)
    assert all(np.array_equal(back.instances.masks.full(i), instances.masks.full(i)) for i in range(len(instances)))


def test_boxes_are_written_as_x_y_width_height(tmp_path: Path) -> None:
    frame = Frame(height_px=20, width_px=30)
    masks = Masks.from_bitmaps(frame, np.array([[2, 3, 6, 10]], np.int32), [np.ones((7, 4), np.bool_)])
    write_coco_results(tmp_path / "r.json", [predictions(Instances.from_masks(masks))], category_ids=[1])
    (record,) = json.loads((tmp_path / "r.json").read_text())
    assert record["bbox"] == [2, 3, 4, 7]


def test_every_frame_is_answered_in_order_with_and_without_detections(tmp_path: Path) -> None:
    instances = drawn()
    write_coco_results(tmp_path / "r.json", [predictions(instances)], category_ids=[3, 5])
    back = read_coco_results(tmp_path / "r.json", {9: instances.frame, 7: instances.frame}, [3, 5])
    assert [(item.image_id, len(item.instances)) for item in back] == [(9, 0), (7, len(instances))]


def test_detections_are_sorted_by_falling_score_and_equals_stay_in_order(tmp_path: Path) -> None:
    instances = drawn(4)
    tied = Instances(
        frame=instances.frame,
        boxes_xyxy=instances.boxes_xyxy,
        masks=instances.masks,
        class_indices=np.array([0, 1, 1, 0]),
        scores=np.array([0.5, 0.75, 0.5, 0.75], np.float32),
    )
    write_coco_results(tmp_path / "r.json", [predictions(tied)], category_ids=[1, 2])
    (back,) = read_coco_results(tmp_path / "r.json", {7: tied.frame}, [1, 2])
    assert back.instances.class_indices.tolist() == [1, 0, 0, 1]


def test_no_detection_at_all_is_an_empty_list(tmp_path: Path) -> None:
    frame = Frame(height_px=4, width_px=4)
    write_coco_results(tmp_path / "r.json", [predictions(Instances.empty(frame))], category_ids=[1])
    assert json.loads((tmp_path / "r.json").read_text()) == []
    assert len(read_coco_results(tmp_path / "r.json", {7: frame}, [1])[0].instances) == 0


def test_equal_predictions_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_coco_results(tmp_path / name, [predictions(drawn())], category_ids=[1, 2])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_file_of_detectron2_is_read() -> None:
    annotations = json.loads((GOLDEN / "annotations.json").read_text())
    frames = {image["id"]: Frame(height_px=image["height"], width_px=image["width"]) for image in annotations["images"]}
    ids = sorted(category["id"] for category in annotations["categories"])
    records = json.loads((GOLDEN / "coco_instances_results.json").read_text())
    back = read_coco_results(GOLDEN / "coco_instances_results.json", frames, ids)
    assert sum(len(item.instances) for item in back) == len(records)
    assert [item.image_id for item in back] == list(frames)


def test_class_without_a_category_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="class 1 where 1 categories"):
        write_coco_results(tmp_path / "r.json", [predictions(drawn())], category_ids=[1])


def record(**changed: Any) -> dict[str, Any]:
    frame = Frame(height_px=4, width_px=5)
    masks = Masks.from_full(frame, [np.eye(4, 5, dtype=np.bool_)])
    good = {
        "image_id": 1,
        "category_id": 1,
        "bbox": [0, 0, 4, 4],
        "score": 0.5,
        "segmentation": encode_rles(masks)[0].to_coco(),
    }
    return {key: value for key, value in {**good, **changed}.items() if value is not None}


def read(tmp_path: Path, content: object) -> list[ImagePredictions]:
    (tmp_path / "r.json").write_text(json.dumps(content))
    return read_coco_results(tmp_path / "r.json", {1: Frame(height_px=4, width_px=5)}, [1])


def test_record_without_bbox_takes_the_masks_box(tmp_path: Path) -> None:
    assert read(tmp_path, [record(bbox=None)])[0].instances.boxes_xyxy.tolist() == [[0, 0, 4, 4]]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image_id": 4}, "image_id 4 is not in the annotations"),
        ({"category_id": 9}, r"category_id 9 is not one of \[1\]"),
        ({"score": 1.5}, "score 1.5 lies outside 0 to 1"),
        ({"score": None}, "no score"),
        ({"segmentation": None}, "no segmentation: boxes alone"),
        ({"segmentation": [[0, 0, 1, 1, 2, 0]]}, "no compressed RLE"),
        ({"segmentation": {"size": [9, 9], "counts": "0"}}, r"size \[9, 9\] where the image has"),
        ({"segmentation": {"size": [4, 5], "counts": "1"}}, "counts cover 1 of 20 pixels"),
        ({"bbox": [0, 1, 2]}, "is not four numbers"),
    ],
)
def test_wrong_record_is_named_with_its_value(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said) as error:
        read(tmp_path, [record(**changed)])
    assert "record 0" in str(error.value)
    assert "\n" not in str(error.value)


def test_all_wrong_records_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="and 2 more such records"):
        read(tmp_path, [3, record(score=2), record(image_id=5), record()])


@pytest.mark.parametrize(("text", "said"), [("{}", "JSON list"), ("[", "no JSON"), (None, "can't be read")])
def test_file_that_is_no_results_list_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=said):
        read_coco_results(tmp_path / "r.json", {}, [1])


@pytest.mark.parametrize("counts", ["\u00e9", " ", "o", "0" * 3 + "?"])
def test_damaged_run_length_code_is_refused_before_decoding(counts: str) -> None:
    assert rle_problem(Rle(size_hw=(4, 5), counts=counts), Frame(height_px=4, width_px=5)) is not None


def test_every_encoded_mask_passes_the_check() -> None:
    rng = np.random.default_rng(0)
    frame = Frame(height_px=37, width_px=41)
    masks = Masks.from_full(frame, [rng.random((37, 41)) < density for density in (0, 0.01, 0.5, 0.99, 1)])
    assert [rle_problem(code, frame) for code in encode_rles(masks)] == [None] * 5
