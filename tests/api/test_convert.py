"""Conversion to Detectron2's folder and back; to ONNX and half precision: tests/training, tests/api/test_models.py."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nucleate
from nucleate.api import convert
from nucleate.core.stain import StainNormalisation
from nucleate.errors import CheckpointError, ConfigError
from nucleate.files import read_rgb
from nucleate.models.checkpoints import find_weights, read_weights
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn.segmenter import MaskRCNNSegmenter
from nucleate.models.run_card import CARD_NAME, RunCard
from nucleate.training.run_folder import read_state
from tests.models.golden import FOLDER
from tests.training.test_session import LITERAL, run, write_coco


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ours on Detectron2's backbone."""
    folder = tmp_path_factory.mktemp("own")
    run(write_coco(folder / "data"), folder / "run", LITERAL, recipe="mask-rcnn-detectron2", iterations=2)
    return folder / "run"


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = torch.load(folder / "model_final.pth", weights_only=True)["model"]
    return model


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def detectron2s(folder: Path, name: str = "caffe") -> Path:
    """Return a copy of what Detectron2 wrote: a checkpoint and config.yaml."""
    folder.mkdir(parents=True)
    for file in ("config.yaml", "model_final.pth"):
        shutil.copy(FOLDER / name / file, folder)
    return folder


def test_a_run_of_ours_has_the_fixtures_307_names(own: Path, tmp_path: Path) -> None:
    report = convert(own, to="detectron2", output=tmp_path / "d2")
    stored = tensors(tmp_path / "d2")
    assert sorted(stored) == sorted(tensors(FOLDER / "caffe"))
    assert len(stored) == 307
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    assert "307 float32 tensors" in report.summary()
    assert (tmp_path / "d2" / "config.yaml").read_bytes() == (own / "config.yaml").read_bytes()
    assert (tmp_path / "d2" / "last_checkpoint").read_text() == "model_final.pth"


@pytest.mark.parametrize("name", ["caffe", "rgb"])
def test_keys_and_shapes_of_the_fixture_are_kept_both_ways(tmp_path: Path, name: str) -> None:
    source = detectron2s(tmp_path / "source", name)
    convert(source, to="nucleate", output=tmp_path / "ours")
    convert(tmp_path / "ours", to="detectron2", output=tmp_path / "theirs")
    assert same(tensors(source), tensors(tmp_path / "theirs"))
    assert (tmp_path / "theirs" / "config.yaml").read_bytes() == (source / "config.yaml").read_bytes()


def test_there_and_back_is_bit_equal_with_the_card(own: Path, tmp_path: Path) -> None:
    convert(own, to="detectron2", output=tmp_path / "d2")
    convert(tmp_path / "d2", to="nucleate", output=tmp_path / "back")
    assert same(tensors(own), tensors(tmp_path / "back"))
    assert (tmp_path / "back" / CARD_NAME).read_bytes() == (own / CARD_NAME).read_bytes()


def test_a_training_can_go_on_from_either_side(own: Path, tmp_path: Path) -> None:
    convert(own, to="detectron2", output=tmp_path / "d2")
    content = torch.load(tmp_path / "d2" / "model_final.pth", weights_only=True)
    assert set(content) == {"model", "trainer", "iteration"}
    before, after = read_state(own / "model_final.pth"), read_state(tmp_path / "d2" / "model_final.pth")
    assert before.iteration == after.iteration == content["iteration"] == 1
    assert before.optimizer is not None
    assert after.optimizer is not None
    assert before.optimizer["param_groups"] == after.optimizer["param_groups"]


def test_the_detections_are_those_of_detectron2_after_the_round(tmp_path: Path) -> None:
    source = detectron2s(tmp_path / "source")
    convert(source, to="nucleate", output=tmp_path / "ours")
    convert(tmp_path / "ours", to="detectron2", output=tmp_path / "theirs")
    segmenter = MaskRCNNSegmenter.load(tmp_path / "theirs", torch.device("cpu"))
    expected = json.loads((FOLDER / "caffe" / "expected.json").read_text())["images"]
    for entry in expected:
        (found,) = segmenter.segment([read_rgb(FOLDER / "caffe" / entry["file"])])
        detections = entry["detections"]
        assert len(found) == len(detections)
        boxes = np.array([each["box_xyxy"] for each in detections])
        assert np.abs(found.boxes_xyxy - boxes).max() < 1e-3


def test_a_folder_of_detectron2_gets_a_card_with_its_classes(tmp_path: Path) -> None:
    report = convert(detectron2s(tmp_path / "source"), to="nucleate", output=tmp_path / "ours")
    assert RunCard.read(tmp_path / "ours").class_names == ("class 1", "class 2")
    assert report.weights.name == "model_final.pth"


def test_an_old_checkpoint_without_a_trainer_is_taken(tmp_path: Path) -> None:
    source = detectron2s(tmp_path / "source")
    shutil.copy(FOLDER / "detector_pkl" / "model_old.pth", source / "model_final.pth")
    convert(source, to="nucleate", output=tmp_path / "ours")
    assert same(tensors(FOLDER / "caffe"), tensors(tmp_path / "ours"))
    assert set(torch.load(tmp_path / "ours" / "model_final.pth", weights_only=True)) == {"model"}


def test_a_zoo_pickle_is_taken(tmp_path: Path) -> None:
    source = detectron2s(tmp_path / "source")
    (source / "model_final.pth").unlink()
    shutil.copy(FOLDER / "detector_pkl" / "model_final.pkl", source)
    (source / "last_checkpoint").write_text("model_final.pkl")
    convert(source, to="nucleate", output=tmp_path / "ours")
    assert same(dict(read_weights(find_weights(source)).tensors), tensors(tmp_path / "ours"))


def test_averaged_weights_leave_the_stepped_ones_and_their_optimiser_behind(own: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(own, source)
    content = torch.load(own / "model_final.pth", weights_only=True)
    content["trainer"]["stepped"] = {name: tensor + 1 for name, tensor in content["model"].items()}
    torch.save(content, source / "model_final.pth")
    convert(source, to="detectron2", output=tmp_path / "d2")
    assert set(torch.load(tmp_path / "d2" / "model_final.pth", weights_only=True)) == {"model"}
    assert same(tensors(own), tensors(tmp_path / "d2"))


def test_half_precision_becomes_float32_of_the_same_values(own: Path, tmp_path: Path) -> None:
    convert(own, to="nucleate", output=tmp_path / "half")
    convert(tmp_path / "half", to="detectron2", output=tmp_path / "d2")
    halves, found = tensors(tmp_path / "half"), tensors(tmp_path / "d2")
    assert {tensor.dtype for tensor in halves.values()} == {torch.float16}
    assert all(torch.equal(halves[name].float(), found[name]) for name in found)


def test_what_detectron2_does_not_do_with_images_is_said(own: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(own, source)
    text = (source / CARD_NAME).read_text(encoding="utf-8")
    (source / CARD_NAME).write_text(text.replace("magnification: 1.0", "magnification: 0.5"), encoding="utf-8")
    replace(RunCard.read(source), stain=StainNormalisation.macenko()).write(source)
    report = convert(source, to="detectron2", output=tmp_path / "d2")
    assert "shorter side is 96 px" in report.what
    assert "resize images by 0.5" in report.what
    assert "normalise their stain before" in report.what


def test_a_backbone_that_detectron2_lacks_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Detectron2 does not have this backbone") as caught:
        convert(Path("nucleate-mask-rcnn"), to="detectron2", output=tmp_path / "d2")
    assert "efficientnet_lite0" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "d2").exists()


def test_a_star_convex_network_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="star-convex network, which Detectron2 does not have"):
        convert(Path("nucleate-he"), to="detectron2", output=tmp_path / "d2")


def test_a_checkpoint_without_its_config_and_the_reverse_are_one_line(tmp_path: Path) -> None:
    for missing in ("config.yaml", "model_final.pth"):
        source = detectron2s(tmp_path / f"no {missing}")
        (source / missing).unlink()
        for to in ("nucleate", "detectron2"):
            with pytest.raises(CheckpointError, match=missing) as caught:
                convert(source, to=to, output=tmp_path / "new")
            assert "\n" not in str(caught.value)
            assert not (tmp_path / "new").exists()


def test_half_a_training_state_is_refused(tmp_path: Path) -> None:
    source = detectron2s(tmp_path / "source")
    content = torch.load(source / "model_final.pth", weights_only=True)
    del content["trainer"]["iteration"]
    torch.save(content, source / "model_final.pth")
    with pytest.raises(CheckpointError, match="half a training's state"):
        convert(source, to="nucleate", output=tmp_path / "new")


def test_detectron2s_own_folder_stays_without_a_card(tmp_path: Path) -> None:
    convert(detectron2s(tmp_path / "source"), to="detectron2", output=tmp_path / "copy")
    assert not (tmp_path / "copy" / CARD_NAME).exists()


def test_a_config_of_another_network_is_refused(tmp_path: Path) -> None:
    source = detectron2s(tmp_path / "source")
    config = DetectronConfig.load(source / "config.yaml").with_overrides({"MODEL.ROI_HEADS.NUM_CLASSES": 5})
    (source / "config.yaml").write_text(config.dump())
    with pytest.raises(CheckpointError, match=r"is config.yaml the one"):
        convert(source, to="nucleate", output=tmp_path / "new")


def test_a_failed_conversion_can_be_tried_again(own: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(ConfigError):
        convert(Path("nucleate-mask-rcnn"), to="detectron2", output=tmp_path / "new")
    assert nucleate.convert(own, to="detectron2", output=tmp_path / "new").size_bytes > 0
