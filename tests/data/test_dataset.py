from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nucleate.core.stain import StainNormalisation
from nucleate.data import available_splits, read_dataset
from nucleate.errors import ConfigError, DataError
from tests.data.coco_documents import SQUARE, annotation, document, image_entry, write_document

PLAIN_CODE = {"size": [10, 12], "counts": [22, 3, 7, 3, 7, 3, 75]}


def read_one(tmp_path: Path, entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    data = read_dataset(write_document(tmp_path, document(annotations=[entry])))
    return data.annotations(data.records[0]).instances.masks.full(0)


@pytest.mark.parametrize("segmentation", [SQUARE, PLAIN_CODE, [SQUARE[0], SQUARE[0]]])
def test_polygons_and_run_length_codes_decode_to_their_pixels(tmp_path: Path, segmentation: Any) -> None:
    expected = np.zeros((10, 12), bool)
    expected[2:5, 2:5] = True
    assert np.array_equal(read_one(tmp_path, annotation(segmentation=segmentation)), expected)


def test_an_image_carries_its_record(tmp_path: Path) -> None:
    stain = StainNormalisation.macenko()
    entry = image_entry(organ="human liver", species="human", source="x", mpp=0.25, stain=stain.to_dict())
    data = read_dataset(write_document(tmp_path, document(images=[entry])))
    (record,) = data.records
    assert (record.organ, record.species, record.source, record.frame.mpp) == ("human liver", "human", "x", 0.25)
    assert data.stain == record.stain == stain
    assert data.read_image(record).shape == (10, 12, 3)


def test_annotations_carry_class_label_score_crowd_and_box(tmp_path: Path) -> None:
    categories = [{"id": 7, "name": "b"}, {"id": 3, "name": "a"}]
    first = annotation(category_id=7, label_id=40, score=0.5, iscrowd=1)
    second = annotation(id=2, category_id=3)
    del second["bbox"]
    data = read_dataset(write_document(tmp_path, document(categories=categories, annotations=[first, second])))
    found = data.annotations(data.records[0])
    assert data.class_names == ("a", "b")
    assert data.category_ids == (3, 7)
    assert found.instances.class_indices.tolist() == [1, 0]
    assert found.instances.scores.tolist() == [0.5, 1.0]
    assert found.label_ids.tolist() == [40, 2]
    assert found.is_crowd.tolist() == [True, False]
    assert found.instances.boxes_xyxy.tolist() == [[2, 2, 5, 5]] * 2
    assert data.nuclei == 2


def test_an_image_without_nuclei_is_kept(tmp_path: Path) -> None:
    data = read_dataset(write_document(tmp_path, document(annotations=[])))
    assert len(data) == 1
    assert len(data.annotations(data.records[0]).instances) == 0


def test_the_fingerprint_follows_annotations_and_images(tmp_path: Path) -> None:
    path = write_document(tmp_path)
    first = read_dataset(path).fingerprint
    assert read_dataset(path).fingerprint == first
    (tmp_path / "images" / "a.png").write_bytes(b"other")
    second = read_dataset(path).fingerprint
    (tmp_path / "images" / "a.png").unlink()
    third = read_dataset(path).fingerprint
    write_document(tmp_path, document(annotations=[]))
    assert len({first, second, third, read_dataset(path).fingerprint}) == 4


def test_coco_gives_a_new_object_each_time(tmp_path: Path) -> None:
    data = read_dataset(write_document(tmp_path))
    data.coco()["images"].clear()
    assert len(data.coco()["images"]) == 1


def test_images_lie_beside_the_file_or_where_the_caller_says(tmp_path: Path) -> None:
    path = write_document(tmp_path / "x", name="annotations/all.json")
    assert read_dataset(path).images_dir == tmp_path / "x" / "images"
    assert read_dataset(path, images_dir=tmp_path).images_dir == tmp_path
    lonely = tmp_path / "lonely.json"
    lonely.write_text(path.read_text())
    assert read_dataset(lonely).images_dir == tmp_path


def test_an_image_of_another_size_than_its_record_is_refused(tmp_path: Path) -> None:
    data = read_dataset(write_document(tmp_path))
    Image.fromarray(np.zeros((9, 12, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match="12 x 9 pixels, its record says 12 x 10"):
        data.read_image(data.records[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"segmentation": []}, "no segmentation"),
        ({"segmentation": [[1, 2, 3, 4]]}, "at least 3 corners, found 4 numbers"),
        ({"segmentation": ["x"]}, "at least 3 corners"),
        ({"segmentation": [[1, 2, 3, 4, None, 6]]}, "not a number"),
        ({"segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}, "far out of the image"),
        ({"segmentation": {"size": [12, 10], "counts": [120]}}, "size"),
        ({"segmentation": {"size": [10, 12], "counts": [119]}}, "119 of 120"),
        ({"segmentation": {"size": [10, 12], "counts": "zz"}}, "counts"),
        ({"segmentation": {"size": [10, 12]}}, "a list or a string"),
        ({"bbox": [1, 2, 0, 3]}, "no area"),
        ({"bbox": [1, 2, 3]}, "x, y, width, height"),
        ({"image_id": 9}, "image_id 9"),
        ({"category_id": 9}, "category_id 9"),
        ({"id": "x"}, "id 'x'"),
        ({"score": 3}, "score 3"),
        ({"label_id": "x"}, "label_id 'x'"),
    ],
)
def test_an_unsound_annotation_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write_document(tmp_path, document(annotations=[annotation(**changes)]))
    with pytest.raises(DataError, match=words) as caught:
        read_dataset(path)
    assert "annotation" in str(caught.value)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": None}, "id None"),
        ({"file_name": ""}, "a name is needed"),
        ({"file_name": "../a.png"}, "leaves the images folder"),
        ({"file_name": "C:\\a.png"}, "leaves the images folder"),
        ({"file_name": "/a.png"}, "leaves the images folder"),
        ({"width": 12.5}, "integers are needed"),
        ({"width": 0}, "has no pixel"),
        ({"mpp": "x"}, "mpp 'x'"),
        ({"stain": 3}, "stain 3"),
        ({"stain": {"method": "x"}}, "unknown stain"),
        ({"organ": 3}, "organ 3"),
    ],
)
def test_an_unsound_image_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write_document(tmp_path, document(images=[image_entry(**changes)], annotations=[]))
    with pytest.raises(DataError, match=words) as caught:
        read_dataset(path)
    assert "images[0]" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": [image_entry(), image_entry()], "annotations": []},
        {"images": ["x"], "annotations": []},
        {"annotations": [annotation(), annotation()]},
        {"annotations": ["x"]},
        {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
        {"categories": [{"id": 1, "name": "a"}, {"id": "2"}]},
    ],
)
def test_repeated_and_shapeless_entries_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"twice|needed"):
        read_dataset(write_document(tmp_path, document(**changes)))


def test_all_problems_are_counted_in_one_line(tmp_path: Path) -> None:
    broken = [annotation(id=number, category_id=9) for number in (1, 2, 3)]
    with pytest.raises(DataError, match="2 more"):
        read_dataset(write_document(tmp_path, document(annotations=broken)))


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ("[]", "'images'"), ('{"images": []}', "'annotations'")]
)
def test_a_file_that_is_no_coco_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=words):
        read_dataset(tmp_path / "a.json")


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no annotations/all.json"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read_dataset(tmp_path / "gone")


def test_a_missing_split_names_those_that_are_there(tmp_path: Path) -> None:
    write_document(tmp_path, name="annotations/all.json")
    write_document(tmp_path, name="annotations/train.json")
    assert available_splits(tmp_path) == ("train", "all")
    assert len(read_dataset(tmp_path, split="train")) == 1
    with pytest.raises(DataError, match="no split 'test' here, only train, all"):
        read_dataset(tmp_path, split="test")


def test_a_single_file_has_no_splits(tmp_path: Path) -> None:
    path = write_document(tmp_path)
    assert available_splits(path) == ("all",)
    with pytest.raises(ConfigError, match="no split"):
        read_dataset(path, split="test")
