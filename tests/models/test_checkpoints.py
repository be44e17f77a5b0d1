from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nucleate.errors import CheckpointError
from nucleate.models.caffe2_names import detectron2_name, with_background_last
from nucleate.models.checkpoints import load_matching, load_strictly, read_weights
from nucleate.models.mask_rcnn import load_network, predict
from tests.models import golden
from tests.models.small_networks import small_network


@pytest.mark.parametrize("name", ["model_final.pkl", "model_old.pth"])
def test_other_containers_hold_the_same_network(name: str) -> None:
    weights = read_weights(golden.FOLDER / "detector_pkl" / name)
    stored = golden.stored_tensors("caffe")
    assert set(weights.tensors) == set(stored)
    assert all(torch.equal(weights.tensors[key], stored[key]) for key in stored)
    expected_ignored = 7 if name.endswith(".pth") else 0
    assert len(weights.ignored) == expected_ignored
    network = small_network()
    load_strictly(network, weights)
    (found,) = predict(network.eval(), [golden.read_rgb("caffe/image_a.png")])
    (expected,) = predict(golden.network("caffe"), [golden.read_rgb("caffe/image_a.png")])
    assert np.array_equal(found.scores, expected.scores)


def test_265_of_268_caffe2_entries_fill_the_backbone() -> None:
    expected = golden.read_json("c2_backbone/expected.json")
    weights = read_weights(golden.FOLDER / "c2_backbone" / "R-50-tiny.pkl")
    network = small_network()
    report = load_matching(network, weights)
    assert len(report.loaded) == 265
    assert len(report.left_out) == 3
    assert all(detectron2_name(old) == new for old, new in expected["c2_name_to_detectron2"].items())
    tensors = network.state_dict()
    for name, value in expected["tensors_after_load"].items():
        assert list(tensors[name].shape) == value["shape"]
        assert float(tensors[name].double().sum()) == pytest.approx(value["sum"], abs=2e-5, rel=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("res2_0_branch2a_bn_s", "backbone.bottom_up.res2.0.conv1.norm.weight"),
        ("res2_0_branch2a_bn_b", "backbone.bottom_up.res2.0.conv1.norm.bias"),
        ("res4_22_branch2c_bn_riv", "backbone.bottom_up.res4.22.conv3.norm.running_var"),
        ("fpn_inner_res5_2_sum_w", "backbone.fpn_lateral5.weight"),
        ("fpn_inner_res4_5_sum_lateral_b", "backbone.fpn_lateral4.bias"),
        ("fpn_res2_2_sum_w", "backbone.fpn_output2.weight"),
        ("conv_rpn_fpn2_w", "proposal_generator.rpn_head.conv.weight"),
        ("rpn_bbox_pred_fpn2_b", "proposal_generator.rpn_head.anchor_deltas.bias"),
        ("fc6_w", "roi_heads.box_head.fc1.weight"),
        ("_[mask]_fcn3_w", "roi_heads.mask_head.mask_fcn3.weight"),
        ("conv5_mask_w", "roi_heads.mask_head.deconv.weight"),
        ("mask_fcn_logits_b", "roi_heads.mask_head.predictor.bias"),
        ("fc1000_w", None),
        ("fc6_w_momentum", None),
    ],
)
def test_detectron1_names(old: str, new: str | None) -> None:
    assert detectron2_name(old) == new


def test_a_detectron1_detector_gets_background_last(tmp_path: Path) -> None:
    rows = np.arange(3, dtype=np.float32)
    blobs = {
        "cls_score_b": rows,
        "bbox_pred_b": np.arange(12, dtype=np.float32),
        "mask_fcn_logits_b": rows,
        "fc6_b": rows,
        "fc6_b_momentum": rows,
    }
    path = tmp_path / "detector.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs, "cfg": "text"}, protocol=2))
    tensors = read_weights(path).tensors
    assert tensors["roi_heads.box_predictor.cls_score.bias"].tolist() == [1, 2, 0]
    assert tensors["roi_heads.box_predictor.bbox_pred.bias"].tolist() == list(range(4, 12))
    assert tensors["roi_heads.mask_head.predictor.bias"].tolist() == [1, 2]
    assert tensors["roi_heads.box_head.fc1.bias"].tolist() == [0, 1, 2]
    assert read_weights(path).ignored == ("fc6_b_momentum",)
    assert with_background_last("backbone.fpn_output2.bias", rows) is rows


def test_a_backbone_pickle_of_the_zoo_gets_its_prefix(tmp_path: Path) -> None:
    path = tmp_path / "R-50.pkl"
    arrays = {"stem.conv1.weight": np.ones((8, 3, 7, 7), np.float32), "res2.0.conv1.norm.bias": np.ones(4, np.float32)}
    path.write_bytes(pickle.dumps({"model": arrays, "matching_heuristics": True}))
    assert set(read_weights(path).tensors) == {f"backbone.bottom_up.{name}" for name in arrays}


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, suffix: str) -> None:
    path, target = tmp_path / f"weights{suffix}", tmp_path / "made"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps({"model": Malicious(target)}))
    else:
        torch.save({"model": Malicious(target)}, path)
    with pytest.raises(CheckpointError, match="not read") as caught:
        read_weights(path)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    assert caught.value.path == path


def write(path: Path, value: Any) -> Path:
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path)
    return path


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("a.pkl", [1, 2], "not named arrays"),
        ("a.pkl", {"model": 3}, "no named arrays"),
        ("a.pkl", {"model": {"a.b": np.array([{}], dtype=object)}}, "python objects"),
        ("a.pkl", {"w": np.zeros(3)}, "no weights"),
        ("a.pth", [1, 2], "not named tensors"),
        ("a.pth", {"model": {"a.b": 3}}, "no named tensor"),
        ("a.pth", OrderedDict(), "no weights"),
    ],
)
def test_a_file_without_weights_is_refused(tmp_path: Path, name: str, value: Any, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        read_weights(write(tmp_path / name, value))


@pytest.mark.parametrize("name", ["a.pkl", "a.pth"])
def test_a_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"neither a pickle nor a zip")
    with pytest.raises(CheckpointError):
        read_weights(path)
    with pytest.raises(CheckpointError, match="no such file"):
        read_weights(tmp_path / "missing.pth")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    path.write_bytes((golden.FOLDER / "caffe" / "model_final.pth").read_bytes()[:5000])
    with pytest.raises(CheckpointError):
        read_weights(path)


def test_a_network_that_does_not_fit_names_what_differs(tmp_path: Path) -> None:
    stored = golden.stored_tensors("caffe")
    stored["surplus.weight"] = stored.pop("backbone.fpn_lateral2.bias")
    path = write(tmp_path / "other.pth", stored)
    network = small_network({"MODEL.ROI_HEADS.NUM_CLASSES": 3})
    with pytest.raises(CheckpointError) as caught:
        load_strictly(network, read_weights(path))
    message = str(caught.value)
    assert "1 missing (first: backbone.fpn_lateral2.bias)" in message
    assert "1 unexpected (first: surplus.weight)" in message
    assert "cls_score.weight has shape 3x48 where the configuration asks for 4x48" in message


def test_any_number_of_classes_loads_for_fine_tuning_with_its_heads_left_out() -> None:
    network = small_network({"MODEL.ROI_HEADS.NUM_CLASSES": 6})
    before = network.roi_heads.box_predictor.cls_score.weight.detach().clone()
    report = load_matching(network, read_weights(golden.FOLDER / "caffe" / "model_final.pth"))
    assert sorted(name for name, _ in report.left_out) == sorted(
        f"roi_heads.{layer}.{leaf}"
        for layer in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor")
        for leaf in ("weight", "bias")
    )
    assert torch.equal(network.roi_heads.box_predictor.cls_score.weight, before)
    assert len(report.loaded) == 301
    assert set(report.not_stored) == {name for name, _ in report.left_out}


def test_matching_refuses_another_width_and_a_stranger(tmp_path: Path) -> None:
    weights = read_weights(golden.FOLDER / "caffe" / "model_final.pth")
    with pytest.raises(CheckpointError, match="fpn_lateral2"):
        load_matching(small_network({"MODEL.FPN.OUT_CHANNELS": 8}), weights)
    stranger = read_weights(write(tmp_path / "other.pth", {"encoder.weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match="none of its tensors"):
        load_matching(small_network(), stranger)


def test_weights_move_between_frozen_and_trainable_norm(tmp_path: Path) -> None:
    trainable = small_network({"MODEL.RESNETS.NORM": "BN"})
    load_strictly(trainable, read_weights(golden.FOLDER / "caffe" / "model_final.pth"))
    path = write(tmp_path / "bn.pth", {"model": trainable.state_dict()})
    frozen = small_network()
    load_strictly(frozen, read_weights(path))
    stored = golden.stored_tensors("caffe")
    assert all(torch.equal(value, stored[name]) for name, value in frozen.state_dict().items())


def test_weights_without_their_config_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path / "model_final.pth", golden.stored_tensors("caffe"))
    with pytest.raises(CheckpointError, match=r"no config\.yaml beside the weights: copy"):
        load_network(path, torch.device("cpu"))


def test_what_is_saved_here_has_detectron2s_layout(tmp_path: Path) -> None:
    network = load_network(golden.FOLDER / "caffe", torch.device("cpu"))
    stored = golden.stored_tensors("caffe")
    saved = network.state_dict()
    assert list(saved) == list(stored)
    assert all(torch.equal(saved[name], stored[name]) and saved[name].dtype == stored[name].dtype for name in stored)
