"""What `write_dataset` writes, read again by the sources of the same format."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from PIL import Image

from nucleate.api.prepare import PrepareSettings, prepare
from nucleate.core import (
    Frame,
    Instances,
    Masks,
    OverlapRule,
    describe_overlap_rule,
    encode_rles,
    label_map_from_masks,
)
from nucleate.data import CocoDataset, read_dataset
from nucleate.data.sources import Source, open_source
from nucleate.data.sources.imagej import read_roi_nuclei
from nucleate.data.sources.source import SourceImage
from nucleate.errors import DataError, ResultsError
from nucleate.export import DatasetFormat, write_dataset
from nucleate.export.annotation_files import write_rois
from nucleate.files import write_json
from tests.core.strategies import masks_of, stacks
from tests.data.sources import same
from tests.synthetic import read_json, write_label_folder

KEEPING_ALL: tuple[DatasetFormat, ...] = ("yolo", "geojson", "rois")
AS_LABELS: tuple[DatasetFormat, ...] = ("labels", "stardist", "cellpose")


def write_coco(folder: Path, masks: Masks, classes: tuple[str, ...] = ("nucleus",), crowd: int = -1) -> CocoDataset:
    """Write a data set of one image whose nuclei have the classes in turn."""
    (folder / "images").mkdir(parents=True)
    Image.fromarray(np.full((*masks.frame.shape, 3), 90, np.uint8)).save(folder / "images" / "a.png")
    entries = [
        {
            "id": index + 1,
            "image_id": 1,
            "category_id": index % len(classes) + 1,
            "segmentation": code.to_coco(),
            "iscrowd": int(index == crowd),
        }
        for index, code in enumerate(encode_rles(masks))
    ]
    image = {"id": 1, "file_name": "a.png", "height": masks.frame.height_px, "width": masks.frame.width_px}
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    document = {"images": [image], "categories": categories, "annotations": entries}
    write_json(folder / "annotations" / "all.json", document)
    return read_dataset(folder)


def opened(folder: Path, to: DatasetFormat) -> Source:
    if to == "stardist":
        return open_source(folder / "images", labels=folder / "masks")
    return open_source(folder)


def filled(stack: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return stack[stack.any(axis=(1, 2))]


def full(masks: Masks) -> NDArray[np.bool_]:
    return np.stack([masks.full(index) for index in range(len(masks))])


@pytest.mark.parametrize("to", KEEPING_ALL)
@settings(max_examples=30)
@given(stack=stacks(least=1))
def test_overlaps_holes_and_parts_come_back(to: DatasetFormat, stack: NDArray[np.bool_]) -> None:
    masks = masks_of(filled(stack))
    if not len(masks):
        return
    with tempfile.TemporaryDirectory() as name:
        report = write_dataset(write_coco(Path(name) / "in", masks), to, Path(name) / "out")
        source = opened(Path(name) / "out", to)
        nuclei = source.read_nuclei(source.images[0], masks.frame)
    assert same(nuclei.masks, filled(stack))
    assert report.shared_px == 0


@pytest.mark.parametrize("to", AS_LABELS)
@settings(max_examples=30)
@given(stack=stacks())
def test_label_images_come_back_but_for_shared_pixels(to: DatasetFormat, stack: NDArray[np.bool_]) -> None:
    masks = masks_of(filled(stack))
    with tempfile.TemporaryDirectory() as name:
        report = write_dataset(write_coco(Path(name) / "in", masks), to, Path(name) / "out")
        source = opened(Path(name) / "out", to)
        nuclei = source.read_nuclei(source.images[0], masks.frame)
    owned = np.concatenate([[0], nuclei.label_ids])[label_map_from_masks(nuclei.masks)]
    assert np.array_equal(owned, label_map_from_masks(masks))
    assert report.shared_px == np.count_nonzero(filled(stack).sum(axis=0) > 1)


@settings(max_examples=30)
@given(stack=stacks())
def test_binary_masks_keep_the_pixels_of_all(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(filled(stack))
    with tempfile.TemporaryDirectory() as name:
        write_dataset(write_coco(Path(name) / "in", masks), "binary-masks", Path(name) / "out")
        source = opened(Path(name) / "out", "binary-masks")
        nuclei = source.read_nuclei(source.images[0], masks.frame)
    assert np.array_equal(label_map_from_masks(nuclei.masks) > 0, stack.any(axis=0))


@pytest.mark.parametrize("to", [*KEEPING_ALL, *AS_LABELS])
def test_a_prepared_data_set_goes_out_and_in_again(tmp_path: Path, to: DatasetFormat) -> None:
    drawings = write_label_folder(tmp_path / "labelled")
    prepare([tmp_path / "labelled"], output=tmp_path / "data")
    dataset = read_dataset(tmp_path / "data")
    report = write_dataset(dataset, to, tmp_path / "out")
    again = opened(tmp_path / "out", to)
    for image, record in zip(again.images, dataset.records, strict=True):
        nuclei = again.read_nuclei(image, record.frame)
        assert same(nuclei.masks, full(dataset.annotations(record).instances.masks))
    assert report.nuclei == sum(drawing.nuclei for drawing in drawings.values())
    assert read_json(tmp_path / "out" / "export.json")["nuclei"] == report.nuclei
    assert f"as {to}" in report.summary()


def squares(count: int = 4) -> Masks:
    stack = np.zeros((count, 40, 60), np.bool_)
    for index in range(count):
        stack[index, 5:15, 5 + 8 * index : 15 + 8 * index] = True
    return masks_of(stack)


@pytest.mark.parametrize(
    ("to", "names"),
    [("yolo", ["tumour", "stroma"]), ("geojson", ["tumour", "stroma"]), ("rois", ["group 1", "group 2"])],
)
def test_classes_go_along(tmp_path: Path, to: DatasetFormat, names: list[str]) -> None:
    write_dataset(write_coco(tmp_path / "in", squares(), ("tumour", "stroma")), to, tmp_path / "out")
    source = open_source(tmp_path / "out")
    nuclei = source.read_nuclei(source.images[0], squares().frame)
    assert [nuclei.class_names[index] for index in nuclei.class_indices] == names * 2
    prepare([tmp_path / "out"], output=tmp_path / "again", settings=PrepareSettings(classes=True))
    assert read_dataset(tmp_path / "again").class_names == tuple(sorted(names))


def test_what_a_format_loses_is_said(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path / "in", squares(), ("tumour", "stroma"), crowd=3)
    labels = write_dataset(dataset, "labels", tmp_path / "labels")
    assert (labels.nuclei, labels.crowds, labels.shared_px, labels.classes_lost) == (3, 1, 40, True)
    for words in ("1 crowd regions", "40 pixels of several nuclei are the higher score's", "lost: classes"):
        assert words in labels.summary()
    assert "are no one's" in write_dataset(dataset, "binary-masks", tmp_path / "binary").summary()


@pytest.mark.parametrize(("rule", "owner"), [("score", 0), ("first", 0), ("last", 1), ("larger", 1), ("smaller", 0)])
@pytest.mark.parametrize("to", AS_LABELS)
def test_the_rule_says_whose_a_shared_pixel_is(
    tmp_path: Path, to: DatasetFormat, rule: OverlapRule, owner: int
) -> None:
    stack = np.zeros((2, 40, 60), np.bool_)
    stack[0, 5:15, 5:15] = stack[1, 10:25, 10:25] = True
    report = write_dataset(write_coco(tmp_path / "in", masks_of(stack)), to, tmp_path / "out", overlaps=rule)
    source = opened(tmp_path / "out", to)
    nuclei = source.read_nuclei(source.images[0], Frame(height_px=40, width_px=60))
    expected = [stack[0] & ~stack[1], stack[1]] if owner else [stack[0], stack[1] & ~stack[0]]
    assert same(nuclei.masks, np.stack(expected))
    assert (report.shared_px, report.overlaps) == (25, rule)
    assert read_json(tmp_path / "out" / "export.json")["overlaps"] == rule
    assert describe_overlap_rule(rule) in report.summary()


def test_overlaps_may_be_refused(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path / "in", squares())
    with pytest.raises(DataError, match=r"a\.png: 60 pixels belong to several nuclei"):
        write_dataset(dataset, "labels", tmp_path / "out", overlaps="refuse")
    assert not (tmp_path / "out").exists()
    apart = write_coco(tmp_path / "apart", squares(1))
    assert write_dataset(apart, "labels", tmp_path / "out", overlaps="refuse").shared_px == 0
    assert describe_overlap_rule("refuse") == "refused"


def test_regions_far_from_the_corner_keep_their_place(tmp_path: Path) -> None:
    frame = Frame(height_px=10, width_px=40_000)
    bitmaps = [np.ones((3, 3), np.bool_), np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.bool_)]
    windows = np.array([[39_000, 2, 39_003, 5], [39_500, 2, 39_503, 5]], np.int32)
    masks = Masks.from_bitmaps(frame, windows, bitmaps)
    instances = Instances(
        frame=frame,
        boxes_xyxy=windows.astype(np.float32),
        masks=masks,
        class_indices=np.zeros(2, np.int64),
        scores=np.ones(2, np.float32),
    )
    write_rois(tmp_path / "a.zip", instances, ("nucleus",))
    image = SourceImage(key="a.png", path=tmp_path / "a.png", annotation=tmp_path / "a.zip")
    assert same(read_roi_nuclei(image, frame).masks, full(masks))


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path / "in", squares())
    with pytest.raises(ResultsError, match="not empty"):
        write_dataset(dataset, "labels", tmp_path / "in")
    (tmp_path / "in" / "images" / "a.png").unlink()
    with pytest.raises(ResultsError):
        write_dataset(dataset, "labels", tmp_path / "out")
    assert not (tmp_path / "out").exists()
