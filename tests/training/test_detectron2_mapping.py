"""The mapper against what Detectron2's DatasetMapper handed over (tests/golden/detectron2/training)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nucleate.core import Frame, Masks, Rle, decode_rles
from nucleate.data import CocoDataset, read_dataset
from nucleate.errors import ConfigError, DataError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import BitMasks, PolygonMasks
from nucleate.training.mask_rcnn.detectron2_mapping import DetectronMapper, ResizeChoice

GOLDEN = Path(__file__).parents[1] / "golden" / "detectron2" / "training"
CHOICE = ResizeChoice(min_sizes_px=(208,), max_size_px=300, sampling="choice", flip="horizontal")


def mapper(dataset: CocoDataset, *, bitmask: bool = False) -> DetectronMapper:
    return DetectronMapper(
        dataset=dataset, record_indices=tuple(range(len(dataset))), resize=CHOICE, bitmask=bitmask, bgr=True
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> CocoDataset:
    """Return the fixture's data set without its polygon of two corners, which our reader refuses by name."""
    content = json.loads((GOLDEN / "annotations.json").read_text())
    content["annotations"] = [
        each
        for each in content["annotations"]
        if isinstance(each["segmentation"], dict) or all(len(part) >= 6 for part in each["segmentation"])
    ]
    path = tmp_path_factory.mktemp("golden") / "annotations.json"
    path.write_text(json.dumps(content))
    return read_dataset(path, images_dir=GOLDEN)


def index_of(dataset: CocoDataset, name: str) -> int:
    return [record.file_name for record in dataset.records].index(name)


def expected(name: str) -> list[dict[str, Any]]:
    return list(json.loads((GOLDEN / name).read_text()))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_mapped_image_boxes_and_polygons_equal_detectron2s(dataset: CocoDataset, number: int) -> None:
    golden = expected("mapped.json")[number]
    sample = mapper(dataset).mapped(index_of(dataset, golden["file"]), side_px=208, flip="none")
    pixels = np.ascontiguousarray(sample.image.numpy().transpose(1, 2, 0))
    assert list(pixels.shape[:2]) == golden["resized_size_hw"]
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == golden["resized_sha256_of_uint8_hwc_bgr"]
    assert sample.class_indices.tolist() == golden["gt_classes"]
    boxes = np.array(golden["gt_boxes_xyxy_float32"]).reshape(-1, 4)
    assert np.abs(sample.boxes_xyxy.numpy() - boxes).max(initial=0) < 1e-4
    assert isinstance(sample.masks, PolygonMasks)
    for own, theirs in zip(sample.masks.polygons, golden.get("polygons", []), strict=True):
        for own_part, their_part in zip(own, theirs, strict=True):
            assert own_part == pytest.approx(np.array(their_part), abs=1e-9)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_mapped_bitmaps_equal_detectron2s(dataset: CocoDataset, number: int) -> None:
    golden = expected("mapped_bitmask.json")[number]
    sample = mapper(dataset, bitmask=True).mapped(index_of(dataset, golden["file"]), side_px=208, flip="none")
    height_px, width_px = golden["resized_size_hw"]
    frame = Frame(height_px=height_px, width_px=width_px)
    codes = [Rle(size_hw=tuple(code["size"]), counts=code["counts"]) for code in golden.get("bitmask_rle", [])]
    theirs = decode_rles(frame, codes)
    assert isinstance(sample.masks, BitMasks)
    windows = [
        (x, y, x + bitmap.shape[1], y + bitmap.shape[0])
        for (x, y), bitmap in zip(sample.masks.corners_xy, sample.masks.bitmaps, strict=True)
    ]
    own = Masks.from_bitmaps(frame, np.array(windows, np.int32).reshape(-1, 4), sample.masks.bitmaps)
    assert len(own) == len(theirs)
    assert all(np.array_equal(own.full(index), theirs.full(index)) for index in range(len(own)))


@pytest.mark.parametrize("flip", ["horizontal", "vertical"])
def test_a_flip_mirrors_image_boxes_and_masks_alike(dataset: CocoDataset, flip: str) -> None:
    index = index_of(dataset, "image_a.png")
    plain = mapper(dataset, bitmask=True).mapped(index, side_px=150, flip="none")
    flipped = mapper(dataset, bitmask=True).mapped(index, side_px=150, flip=flip)
    axis = 2 if flip == "horizontal" else 1
    assert np.array_equal(np.flip(plain.image.numpy(), axis=axis), flipped.image.numpy())
    side_px = plain.image.shape[axis]
    low, high = (0, 2) if flip == "horizontal" else (1, 3)
    assert flipped.boxes_xyxy[:, low].numpy() == pytest.approx(side_px - plain.boxes_xyxy[:, high].numpy(), abs=1e-4)


def test_polygon_mode_refuses_run_length_codes(tmp_path: Path, dataset: CocoDataset) -> None:
    content = json.loads((GOLDEN / "annotations.json").read_text())
    whole = {"size": [150, 192], "counts": [0, 10, 150 * 192 - 10]}
    content["annotations"] = [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 2,
            "iscrowd": 0,
            "bbox": [0, 0, 1, 10],
            "area": 10,
            "segmentation": whole,
        }
    ]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    coded = read_dataset(tmp_path / "coco.json", images_dir=GOLDEN)
    index = index_of(coded, "image_a.png")
    with pytest.raises(DataError, match="INPUT.MASK_FORMAT=bitmask"):
        mapper(coded).mapped(index, side_px=150, flip="none")
    sample = mapper(coded, bitmask=True).mapped(index, side_px=150, flip="vertical")
    assert isinstance(sample.masks, BitMasks)
    assert sample.masks.corners_xy == ((0, 140),)


def test_sizes_and_flips_are_drawn_from_the_configuration() -> None:
    config = DetectronConfig.default().with_overrides(
        {"INPUT.MIN_SIZE_TRAIN": (64, 96), "INPUT.MIN_SIZE_TRAIN_SAMPLING": "range", "INPUT.RANDOM_FLIP": "vertical"}
    )
    choice = ResizeChoice.from_config(config)
    draws = [choice.draw(np.random.default_rng(seed)) for seed in range(40)]
    assert all(64 <= side <= 96 for side, _ in draws)
    assert {flipped for _, flipped in draws} == {True, False}


@pytest.mark.parametrize(
    ("key", "value"),
    [("INPUT.CROP.ENABLED", True), ("INPUT.MIN_SIZE_TRAIN_SAMPLING", "any"), ("INPUT.RANDOM_FLIP", "diagonal")],
)
def test_what_is_not_built_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        ResizeChoice.from_config(DetectronConfig.default().with_overrides({key: value}))
