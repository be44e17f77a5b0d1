from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from nucleate.models.checkpoints import load_matching, read_weights
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import MaskRCNN
from nucleate.models.torchvision_names import detectron2_name, with_detectron2_names


@pytest.fixture(scope="module")
def theirs() -> Any:
    torch.manual_seed(3)
    network = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=64
    ).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_var is not None
            assert module.running_mean is not None
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return network


def network_of(classes: int) -> MaskRCNN:
    zoo = DetectronConfig.zoo("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml")
    keys = {"MODEL.RESNETS.STRIDE_IN_1X1": False, "MODEL.ROI_HEADS.NUM_CLASSES": classes}
    return MaskRCNN.from_config(zoo.with_overrides(keys))


def test_a_detector_of_torchvision_answers_the_same_here(theirs: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(theirs.state_dict(), path)
    weights = read_weights(path)
    ours = network_of(2).eval()
    report = load_matching(ours, weights)
    assert not report.left_out
    assert not report.not_stored
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = list(theirs.backbone(images).values())
        found = ours.backbone(images)
        for ours_map, their_map in zip(found, expected, strict=True):
            assert torch.allclose(ours_map, their_map, rtol=1e-3, atol=1e-4)
        rois = torch.rand(2, 256, 7, 7)
        box_features = theirs.roi_heads.box_head(rois)
        scores, deltas = theirs.roi_heads.box_predictor(box_features)
        our_scores = box_features @ ours.roi_heads.box_predictor.cls_score.weight.T
        our_scores += ours.roi_heads.box_predictor.cls_score.bias
        # Background is last here and first there.
        assert torch.allclose(our_scores, scores.roll(-1, dims=1), atol=1e-5)
        our_deltas = box_features @ ours.roi_heads.box_predictor.bbox_pred.weight.T
        our_deltas += ours.roi_heads.box_predictor.bbox_pred.bias
        assert torch.allclose(our_deltas, deltas[:, 4:], atol=1e-5)
    masks = theirs.roi_heads.mask_predictor.mask_fcn_logits.weight[1:]
    assert torch.equal(ours.roi_heads.mask_head.predictor.weight, masks)


def test_heads_of_another_class_count_are_left_out_one_by_one(theirs: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(theirs.state_dict(), path)
    report = load_matching(network_of(1), read_weights(path))
    assert len(report.left_out) == 6
    assert all("box_predictor" in name or "predictor" in name for name, _ in report.left_out)


def test_an_imagenet_resnet_fills_the_body(tmp_path: Path) -> None:
    path = tmp_path / "resnet50-0676ba61.pth"
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), path)
    weights = read_weights(path)
    assert {"fc_weight", "fc_bias"} <= set(weights.ignored)
    report = load_matching(network_of(1), weights)
    assert len(report.loaded) == 265
    assert [name for name, _ in report.left_out] == ["fc_bias", "fc_weight"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("backbone.fpn.inner_blocks.0.weight", "backbone.fpn_lateral2.weight"),
        ("backbone.fpn.layer_blocks.3.bias", "backbone.fpn_output5.bias"),
        ("rpn.head.conv.weight", "proposal_generator.rpn_head.conv.weight"),
        ("roi_heads.mask_head.mask_fcn2.bias", "roi_heads.mask_head.mask_fcn2.bias"),
        ("roi_heads.box_head.fc6.weight", "roi_heads.box_head.fc1.weight"),
        ("bn1.num_batches_tracked", None),
        ("fc.weight", None),
    ],
)
def test_names_of_files_from_before_torchvision_0_13(old: str, new: str | None) -> None:
    assert detectron2_name(old) == new


def test_a_file_that_was_trained_without_eps_keeps_its_function() -> None:
    variance = torch.tensor([1e-6, 0.5])
    tensors = {"backbone.body.bn1.running_var": variance, "backbone.body.bn1.bias": torch.zeros(2)}
    name = "backbone.bottom_up.stem.conv1.norm.running_var"
    coco = with_detectron2_names(tensors, Path("maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"))
    assert torch.allclose(coco[name] + 1e-5, variance, rtol=1e-3)
    assert torch.equal(with_detectron2_names(tensors, Path("mine.pth"))[name], variance)
