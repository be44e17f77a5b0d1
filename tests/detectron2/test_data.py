from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nucleate.core import Frame, Masks, encode_rles
from nucleate.data import read_dataset
from nucleate.detectron2.config import detectron_config
from nucleate.detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    Metadata,
    MetadataCatalog,
    build_detection_test_loader,
)
from nucleate.detectron2.data.datasets import load_coco_json, register_coco_instances
from nucleate.detectron2.data.registered import registered_dataset
from nucleate.detectron2.structures import BoxMode
from nucleate.errors import DataError
from nucleate.models.mask_rcnn import MaskRCNNSettings, network_image
from tests.detectron2.tiny import prepared, register, tiny_cfg


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("drawn"))


def square(x: int, y: int, *, category: int = 0, **more: Any) -> dict[str, Any]:
    ring = [x, y, x + 10, y, x + 10, y + 10, x, y + 10]
    box = [x, y, x + 10, y + 10]
    return {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": category, "segmentation": [ring], **more}


def own_dicts(folder: Path, ids: list[Any], annotations: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Return a data set as somebody's own function gives it: no COCO file anywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    dicts = []
    for number, image_id in enumerate(ids):
        path = folder / f"image_{number}.png"
        Image.fromarray(np.full((64, 48, 3), 100 + number, np.uint8)).save(path)
        found = [square(4, 8), square(30, 40)] if annotations is None else annotations
        dicts.append({"file_name": str(path), "height": 64, "width": 48, "image_id": image_id, "annotations": found})
    return dicts


def test_a_coco_file_becomes_detectron2s_dicts(data: Path) -> None:
    register(data)
    dicts = DatasetCatalog.get("nuclei_val")
    stored = json.loads((data / "annotations" / "val.json").read_text())
    assert [each["image_id"] for each in dicts] == [image["id"] for image in stored["images"]]
    assert Path(dicts[0]["file_name"]).is_file()
    first = dicts[0]["annotations"][0]
    (same,) = (each for each in stored["annotations"] if each["id"] == stored["annotations"][0]["id"])
    assert first["bbox"] == same["bbox"]
    assert first["bbox_mode"] == BoxMode.XYWH_ABS
    assert first["segmentation"] == same["segmentation"]
    assert first["category_id"] == 0
    assert MetadataCatalog.get("nuclei_val").thing_dataset_id_to_contiguous_id == {1: 0}
    assert MetadataCatalog.get("nuclei_val").json_file.endswith("val.json")
    assert DatasetCatalog.list() == ["nuclei_train", "nuclei_val"] == list(DatasetCatalog)
    assert len(DatasetCatalog) == 2


def test_run_length_codes_stay_codes(tmp_path: Path) -> None:
    frame = Frame(height_px=64, width_px=48)
    bitmap = np.zeros(frame.shape, np.bool_)
    bitmap[3:9, 4:10] = True
    (code,) = encode_rles(Masks.from_full(frame, [bitmap]))
    (found,) = own_dicts(tmp_path, [7])
    content = {
        "images": [{"id": 7, "file_name": "image_0.png", "width": 48, "height": 64}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "segmentation": code.to_coco()}],
        "categories": [{"id": 5, "name": "nucleus"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    (read,) = load_coco_json(tmp_path / "a.json", tmp_path)
    assert read["file_name"] == found["file_name"]
    assert read["annotations"][0]["segmentation"] == code.to_coco()
    assert "bbox" not in read["annotations"][0]


def test_names_are_taken_once_and_strangers_are_named(data: Path) -> None:
    register(data)
    with pytest.raises(AssertionError, match="registered already"):
        register_coco_instances("nuclei_val", {}, "a.json", "b")
    with pytest.raises(KeyError, match="registered: nuclei_train, nuclei_val"):
        DatasetCatalog.get("coco_2017_val")
    DatasetCatalog.remove("nuclei_val")
    assert "nuclei_val" not in DatasetCatalog


def test_metadata_is_set_once() -> None:
    metadata = MetadataCatalog.get("set").set(thing_classes=["a"], stuff=1)
    assert metadata is MetadataCatalog.get("set")
    assert metadata.thing_classes == ["a"]
    assert metadata.get("nothing") is None
    assert metadata.as_dict() == {"name": "set", "thing_classes": ["a"], "stuff": 1}
    assert "stuff" in repr(metadata)
    metadata.stuff = 1
    with pytest.raises(AssertionError, match="is 1 already"):
        metadata.stuff = 2
    with pytest.raises(AttributeError, match="it has: name, thing_classes"):
        _ = metadata.thing_colors
    assert not hasattr(Metadata(), "__fspath__")
    assert "set" in MetadataCatalog
    assert MetadataCatalog.list() == ["set"]


def test_the_users_own_class_names_stay(data: Path) -> None:
    register_coco_instances("mine", {"thing_classes": ["Kern"]}, data / "annotations" / "val.json", data / "images")
    DatasetCatalog.get("mine")
    assert MetadataCatalog.get("mine").thing_classes == ["Kern"]


def test_the_loader_gives_what_the_network_takes(data: Path, tmp_path: Path) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path)
    loader = build_detection_test_loader(cfg, ["nuclei_val", "nuclei_train"], batch_size=2)
    assert len(loader) == 3
    ((first, second), *_) = list(loader)
    dataset = read_dataset(data, split="val")
    settings = MaskRCNNSettings.from_config(detectron_config(cfg)).image
    assert torch.equal(first["image"], network_image(dataset.read_image(dataset.records[0]), settings))
    assert (first["height"], first["width"], first["image_id"]) == (96, 96, dataset.records[0].image_id)
    assert "annotations" not in first
    assert second["image"].shape == (3, 64, 64)


def test_a_mapper_of_ones_own_and_workers_are_taken(data: Path, tmp_path: Path) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path)
    cfg.DATALOADER.NUM_WORKERS = 1
    loader = build_detection_test_loader(cfg, "nuclei_val", mapper=_only_the_name)
    assert [sorted(batch[0]) for batch in loader] == [["file_name"], ["file_name"]]


def _only_the_name(entry: dict[str, Any]) -> dict[str, Any]:
    return {"file_name": entry["file_name"]}


def test_the_mapper_of_training_and_a_wrong_size_are_refused(tmp_path: Path) -> None:
    cfg = tiny_cfg(tmp_path)
    with pytest.raises(NotImplementedError, match="DefaultTrainer"):
        DatasetMapper(cfg)
    (entry,) = own_dicts(tmp_path, [1])
    with pytest.raises(DataError, match=r"48 x 64 pixels, its record says 48 x 65"):
        DatasetMapper(cfg, is_train=False)({**entry, "height": 65})


@pytest.mark.parametrize("ids", [[0, 4], ["a", "b"], [3, 3]])
def test_a_function_of_ones_own_is_read_by_way_of_a_coco_file(tmp_path: Path, ids: list[Any]) -> None:
    DatasetCatalog.register("own", lambda: own_dicts(tmp_path / "images", ids))
    MetadataCatalog.get("own").set(thing_classes=["round", "spindle"])
    found = registered_dataset(["own"], tmp_path / "written")
    assert found.dataset.class_names == ("round", "spindle")
    assert [record.file_name for record in found.dataset.records] == ["image_0.png", "image_1.png"]
    assert found.ids == ({0: 0, 4: 4} if ids == [0, 4] else {"a": 1, "b": 2} if ids == ["a", "b"] else {3: 2})
    nuclei = found.dataset.annotations(found.dataset.records[0]).instances
    assert nuclei.boxes_xyxy.tolist() == [[4, 8, 14, 18], [30, 40, 40, 50]]
    assert nuclei.masks.areas_px().tolist() == [100, 100]
    content = json.loads((tmp_path / "written" / "own_coco_format.json").read_text())
    assert {each["area"] for each in content["annotations"]} == {100.0}


def test_codes_of_bytes_and_classes_without_names_are_taken(tmp_path: Path) -> None:
    frame = Frame(height_px=64, width_px=48)
    bitmap = np.zeros(frame.shape, np.bool_)
    bitmap[8:18, 4:14] = True
    (code,) = encode_rles(Masks.from_full(frame, [bitmap]))
    bytes_code = {"size": [64, 48], "counts": code.counts.encode()}
    annotations = [square(4, 8, category=1, segmentation=bytes_code, iscrowd=1)]
    DatasetCatalog.register("own", lambda: own_dicts(tmp_path, [1], annotations))
    found = registered_dataset(["own"], tmp_path / "written").dataset
    assert found.class_names == ("class 1", "class 2")
    entry = found.annotations(found.records[0])
    assert entry.is_crowd.tolist() == [True]
    assert entry.instances.masks.areas_px().tolist() == [100]


def test_several_sets_are_joined_when_their_classes_agree(data: Path, tmp_path: Path) -> None:
    register(data)
    joined = registered_dataset(["nuclei_train", "nuclei_val"], tmp_path).dataset
    parts = [read_dataset(data, split=split) for split in ("train", "val")]
    assert len(joined) == sum(len(part) for part in parts) == 6
    assert joined.nuclei == sum(part.nuclei for part in parts)
    DatasetCatalog.register("other", lambda: own_dicts(tmp_path / "other", [1]))
    MetadataCatalog.get("other").thing_classes = ["cell"]
    with pytest.raises(DataError, match="different classes"):
        registered_dataset(["nuclei_train", "other"], tmp_path)


def test_images_on_several_drives_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_common_path(paths: object) -> str:
        raise ValueError("Paths don't have the same drive")

    DatasetCatalog.register("own", lambda: own_dicts(tmp_path, [1]))
    monkeypatch.setattr("os.path.commonpath", no_common_path)
    with pytest.raises(DataError, match="several drives"):
        registered_dataset(["own"], tmp_path)


def test_a_set_without_images_is_refused(tmp_path: Path) -> None:
    DatasetCatalog.register("empty", list)
    with pytest.raises(DataError, match="no images"):
        registered_dataset(["empty"], tmp_path)
