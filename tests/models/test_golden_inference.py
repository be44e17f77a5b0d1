"""Detections, proposals, anchors and features against Detectron2's own, at the tolerances of its README."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from nucleate.core import Instances
from nucleate.models.mask_rcnn import MaskRCNN, network_image, predict
from nucleate.models.mask_rcnn.anchors import level_anchors
from tests.models import golden


def assert_same_detections(found: Instances, expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    assert found.class_indices.tolist() == [entry["class_index"] for entry in expected]
    np.testing.assert_allclose(found.boxes_xyxy, [entry["box_xyxy"] for entry in expected], atol=1e-3, rtol=0)
    np.testing.assert_allclose(found.scores, [entry["score"] for entry in expected], atol=1e-5, rtol=0)
    differing = sum(
        int((found.masks.full(index) != coco_mask.decode(entry["segmentation"]).astype(bool)).sum())
        for index, entry in enumerate(expected)
    )
    assert differing <= 5


@pytest.mark.parametrize("folder", ["caffe", "rgb"])
@pytest.mark.parametrize("image", [0, 1])
def test_detections_equal_detectron2s(folder: str, image: int) -> None:
    expected = golden.read_json(f"{folder}/expected.json")["images"][image]
    (found,) = predict(golden.network(folder), [golden.read_rgb(f"{folder}/{expected['file']}")])
    assert_same_detections(found, expected["detections"])


@pytest.mark.parametrize("folder", ["caffe", "rgb"])
@pytest.mark.parametrize("image", [0, 1])
def test_inner_values_equal_detectron2s(folder: str, image: int) -> None:
    expected = golden.read_json(f"{folder}/expected.json")["images"][image]
    network = golden.network(folder)
    resized = network_image(golden.read_rgb(f"{folder}/{expected['file']}"), network.settings.image)
    assert list(resized.shape[1:]) == expected["network_input"]
    batch = network.batch([resized])
    assert list(batch.tensor.shape[2:]) == expected["padded_input"]
    flat = batch.tensor[0].flatten(1)
    np.testing.assert_allclose(flat.mean(dim=1), expected["normalised_input_mean"], atol=2e-5, rtol=1e-6)
    np.testing.assert_allclose(flat.std(dim=1), expected["normalised_input_std"], atol=2e-5, rtol=1e-6)
    with torch.no_grad():
        features = network.backbone(batch.tensor)
        output = network.proposal_generator(features)
        (proposals,) = network.proposal_generator.propose(output, batch.sizes_hw)
    for index, (name, mean) in enumerate(expected["feature_mean_abs"].items()):
        assert list(features[index].shape[1:]) == expected["feature_shape"][name]
        assert float(features[index].abs().mean()) == pytest.approx(mean, rel=1e-5)
    assert len(proposals.boxes_xyxy) == expected["proposals"]["count"]
    assert float(proposals.boxes_xyxy.double().sum()) == pytest.approx(
        expected["proposals"]["sum_of_coordinates"], abs=0.5
    )
    np.testing.assert_allclose(proposals.boxes_xyxy[:5], expected["proposals"]["top5_boxes"], atol=1e-3, rtol=0)
    np.testing.assert_allclose(proposals.logits[:5], expected["proposals"]["top5_logits"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("folder", ["caffe", "rgb"])
def test_anchors_equal_detectron2s(folder: str) -> None:
    expected = golden.read_json(f"{folder}/expected.json")["images"][0]
    network = golden.network(folder)
    sizes_hw = [tuple(shape[1:]) for shape in expected["feature_shape"].values()]
    anchors = level_anchors(network.settings.anchors, sizes_hw, torch.device("cpu"))
    for own, stored in zip(anchors, expected["anchors"].values(), strict=True):
        assert len(own) == stored["count"]
        np.testing.assert_allclose(own[:3], stored["first_cell"], atol=1e-4, rtol=0)
        np.testing.assert_allclose(own[-1], stored["last"], atol=1e-4, rtol=0)


def many(overrides: dict[str, Any]) -> Instances:
    expected = golden.read_json("many/expected.json")
    network = golden.network("caffe", {**expected["config_overrides"], **overrides})
    (found,) = predict(network, [golden.read_rgb("many/image.png")])
    return found


def test_366_detections_come_back_under_a_cap_of_1000() -> None:
    assert_same_detections(many({}), golden.read_json("many/expected.json")["images"][0]["detections"])


def test_a_cap_of_100_keeps_exactly_the_first_100() -> None:
    expected = golden.read_json("many/expected.json")["images"][0]["detections"]
    assert_same_detections(many({"TEST.DETECTIONS_PER_IMAGE": 100}), expected[:100])


def test_100_proposals_leave_121_detections() -> None:
    assert len(many({"MODEL.RPN.POST_NMS_TOPK_TEST": 100})) == 121


def test_a_batch_of_two_sizes_answers_as_one_image_at_a_time() -> None:
    network = golden.network("caffe")
    images = [golden.read_rgb(f"caffe/image_{letter}.png") for letter in "ab"]
    together = predict(network, [*images, images[0]])
    for image, found in zip([*images, images[0]], together, strict=True):
        (alone,) = predict(network, [image])
        assert found.class_indices.tolist() == alone.class_indices.tolist()
        np.testing.assert_allclose(found.boxes_xyxy, alone.boxes_xyxy, atol=1e-3)


def test_state_dict_has_detectron2s_307_names_in_order() -> None:
    network = MaskRCNN.from_config(golden.config("caffe"))
    assert list(network.state_dict()) == list(golden.stored_tensors("caffe"))
