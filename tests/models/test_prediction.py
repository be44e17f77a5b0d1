from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from nucleate.core import Frame
from nucleate.errors import CheckpointError, ConfigError, DataError
from nucleate.inference import Segmenter
from nucleate.models import devices
from nucleate.models.checkpoints import find_weights
from nucleate.models.mask_rcnn import (
    Detections,
    MaskRCNN,
    MaskRCNNSegmenter,
    PredictionSettings,
    instances_in_frame,
    network_image,
    pasting,
    predict,
    resized_size_hw,
)
from nucleate.models.mask_rcnn.pasting import paste_masks
from tests.models import golden
from tests.models.small_networks import small_network


def paste_on_the_whole_image(probabilities: torch.Tensor, box: torch.Tensor, frame: Frame) -> NDArray[np.bool_]:
    x1, y1, x2, y2 = box
    grid_x = (torch.arange(frame.width_px) + 0.5 - x1) / (x2 - x1) * 2 - 1
    grid_y = (torch.arange(frame.height_px) + 0.5 - y1) / (y2 - y1) * 2 - 1
    grid = torch.stack(torch.meshgrid(grid_x, grid_y, indexing="xy"), dim=-1)[None]
    sampled = F.grid_sample(probabilities[None, None], grid, align_corners=False)[0, 0]
    pasted: NDArray[np.bool_] = (sampled >= 0.5).numpy()
    return pasted


@pytest.mark.parametrize("pixels_at_once", [200, 2**21])
def test_a_cropped_paste_equals_a_paste_on_the_whole_image(
    monkeypatch: pytest.MonkeyPatch, pixels_at_once: int
) -> None:
    monkeypatch.setattr(pasting, "_PIXELS_AT_ONCE", pixels_at_once)
    frame = Frame(height_px=61, width_px=74)
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(40, 2, generator=generator) * torch.tensor([60.0, 50.0])
    boxes = torch.cat((corners, corners + 0.3 + torch.rand(40, 2, generator=generator) * 30), dim=1)
    boxes = boxes.clamp(min=0).minimum(torch.tensor([74.0, 61.0, 74.0, 61.0]))
    boxes[0] = torch.tensor([0.0, 0.0, 74.0, 61.0])
    probabilities = torch.rand(40, 28, 28, generator=generator)
    masks = paste_masks(probabilities, boxes, frame)
    for index in range(40):
        expected = paste_on_the_whole_image(probabilities[index], boxes[index], frame)
        assert np.array_equal(masks.full(index), expected)


def test_600_detections_of_one_tile_survive() -> None:
    """100 is the cap of Detectron2, of COCO's maxDets and of torchvision; 600 nuclei lie on dense tiles."""
    side_px = 512
    columns, rows = np.meshgrid(np.arange(25), np.arange(24))
    corners = torch.tensor(np.stack((columns.ravel(), rows.ravel()), 1) * 20.0, dtype=torch.float32)
    detections = Detections(
        size_hw=(side_px, side_px),
        boxes_xyxy=torch.cat((corners, corners + 16), dim=1),
        scores=torch.linspace(1, 0.1, 600),
        class_indices=torch.zeros(600, dtype=torch.int64),
        mask_probabilities=torch.ones(600, 28, 28),
    )
    found = instances_in_frame(detections, Frame(height_px=side_px, width_px=side_px))
    assert len(found) == 600
    assert found.masks.areas_px().tolist() == [256] * 600


def test_600_detections_leave_the_network_under_a_cap_of_1000() -> None:
    network = small_network(
        {
            "TEST.DETECTIONS_PER_IMAGE": 1000,
            "MODEL.RPN.POST_NMS_TOPK_TEST": 2000,
            "MODEL.RPN.PRE_NMS_TOPK_TEST": 4000,
            "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
            "MODEL.ROI_HEADS.NUM_CLASSES": 1,
        }
    ).eval()
    (found,) = network.detect([torch.zeros(3, 512, 512, dtype=torch.uint8)])
    assert 600 < len(found.scores) <= 1000
    (capped,) = (
        small_network({"MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0})
        .eval()
        .detect([torch.zeros(3, 512, 512, dtype=torch.uint8)])
    )
    assert len(capped.scores) == 100


def test_reaching_the_cap_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    network = small_network({"MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0, "TEST.DETECTIONS_PER_IMAGE": 5}).eval()
    predict(network, [np.zeros((40, 50, 3), np.uint8)])
    assert "1 of 1 images reach TEST.DETECTIONS_PER_IMAGE: 5" in caplog.text


def test_no_cap_keeps_every_detection() -> None:
    network = small_network({"TEST.DETECTIONS_PER_IMAGE": -1, "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0}).eval()
    (found,) = network.detect([torch.zeros(3, 128, 128, dtype=torch.uint8)])
    assert len(found.scores) > 100


def test_an_image_without_detections_is_an_ordinary_answer() -> None:
    network = small_network({"MODEL.ROI_HEADS.SCORE_THRESH_TEST": 1.0}).eval()
    (found,) = predict(network, [np.zeros((40, 50, 3), np.uint8)])
    assert len(found) == 0
    assert found.frame.shape == (40, 50)
    assert predict(network, []) == []


def test_boxes_that_scaling_empties_are_dropped() -> None:
    detections = Detections(
        size_hw=(100, 100),
        boxes_xyxy=torch.tensor([[10.0, 10.0, 30.0, 30.0], [100.0, 10.0, 120.0, 30.0]]),
        scores=torch.tensor([0.9, 0.8]),
        class_indices=torch.tensor([0, 0]),
        mask_probabilities=torch.ones(2, 28, 28),
    )
    found = instances_in_frame(detections, Frame(height_px=50, width_px=50))
    assert found.boxes_xyxy.tolist() == [[5.0, 5.0, 15.0, 15.0]]


@pytest.mark.parametrize(
    ("size_hw", "shortest_px", "longest_px", "expected"),
    [
        ((100, 200), 50, 1000, (50, 100)),
        ((200, 100), 50, 1000, (100, 50)),
        ((100, 1000), 50, 200, (20, 200)),
        ((3, 5), 2, 100, (2, 3)),
        ((100, 200), 0, 10, (100, 200)),
        ((1, 1000), 1, 10, (1, 10)),
    ],
)
def test_the_resize_rule(
    size_hw: tuple[int, int], shortest_px: int, longest_px: int, expected: tuple[int, int]
) -> None:
    assert resized_size_hw(size_hw, shortest_px=shortest_px, longest_px=longest_px) == expected


def test_wrong_images_are_refused() -> None:
    network = small_network().eval()
    with pytest.raises(DataError, match="uint8"):
        network_image(np.zeros((4, 4), np.uint8), network.settings.image)
    with pytest.raises(DataError, match="empty batch"):
        network.detect([])
    with pytest.raises(DataError, match=r"\(3, H, W\)"):
        network.detect([torch.zeros(1, 4, 4)])
    with pytest.raises(RuntimeError, match="eval"):
        network.train().detect([torch.zeros(3, 4, 4)])


def test_the_segmenter_fits_the_protocol_and_answers_as_the_network() -> None:
    segmenter: Segmenter = MaskRCNNSegmenter.load(golden.FOLDER / "caffe", torch.device("cpu"))
    image = golden.read_rgb("caffe/image_a.png")
    (found,) = segmenter.segment([image])
    (expected,) = predict(golden.network("caffe"), [image])
    assert np.array_equal(found.scores, expected.scores)
    assert segmenter.name == "caffe"
    assert segmenter.class_names == ("class 1", "class 2")


def test_the_fingerprint_follows_weights_and_settings() -> None:
    def fingerprint(network: MaskRCNN) -> str:
        return MaskRCNNSegmenter.from_network(network).fingerprint

    plain = fingerprint(small_network())
    assert fingerprint(small_network()) == plain
    assert fingerprint(small_network({"MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.2})) != plain
    changed = small_network()
    torch.nn.init.zeros_(changed.roi_heads.mask_head.predictor.weight)
    assert fingerprint(changed) != plain
    assert len(plain) == 16


def test_channels_last_answers_alike_and_bfloat16_nearly() -> None:
    image = golden.read_rgb("caffe/image_a.png")
    (plain,) = MaskRCNNSegmenter.from_network(golden.network("caffe")).segment([image])
    pixelwise = MaskRCNNSegmenter.from_network(
        golden.network("caffe"), settings=PredictionSettings(channels_last=True, images_at_once=1)
    )
    (found,) = pixelwise.segment([image])
    assert found.class_indices.tolist() == plain.class_indices.tolist()
    np.testing.assert_allclose(found.boxes_xyxy, plain.boxes_xyxy, atol=1e-2)
    half = MaskRCNNSegmenter.from_network(golden.network("caffe"), settings=PredictionSettings(bfloat16=True))
    (rough,) = half.segment([image])
    assert abs(len(rough) - len(plain)) < 15
    assert rough.scores[0] == pytest.approx(plain.scores[0], abs=0.01)


def test_class_names_are_one_a_class() -> None:
    segmenter = MaskRCNNSegmenter.from_network(small_network(), class_names=("round", "spindle"))
    assert segmenter.class_names == ("round", "spindle")
    single = MaskRCNNSegmenter.from_network(small_network({"MODEL.ROI_HEADS.NUM_CLASSES": 1}))
    assert single.class_names == ("nucleus",)
    with pytest.raises(ConfigError, match="1 class names for 2 classes"):
        MaskRCNNSegmenter.from_network(small_network(), class_names=("nucleus",))


def test_the_weights_of_a_run_are_found(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file or folder"):
        find_weights(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no model_final"):
        find_weights(tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth", encoding="utf-8")
    with pytest.raises(CheckpointError, match="last_checkpoint names"):
        find_weights(tmp_path)
    early = tmp_path / "model_0000009.pth"
    early.touch()
    assert find_weights(tmp_path) == early
    final = tmp_path / "model_final.pth"
    final.touch()
    # last_checkpoint knows better: the run may have been resumed beyond its first end.
    assert find_weights(tmp_path) == early
    (tmp_path / "last_checkpoint").unlink()
    assert find_weights(tmp_path) == final
    assert find_weights(early) == early


def test_the_default_device_prefers_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.parse_device(None).type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.default_device().type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.default_device().type == "cpu"
    assert devices.parse_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="no device 'cuda:1'"):
        devices.parse_device("cuda:1")
    with pytest.raises(ConfigError, match="no device 'abacus'"):
        devices.parse_device("abacus")
