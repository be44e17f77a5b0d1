from __future__ import annotations

from typing import Any

import pytest

from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import MaskRCNNSettings
from nucleate.models.mask_rcnn.config_values import flag, integer, number, numbers, text
from tests.models.small_networks import small_config

NOT_BUILT: list[tuple[str, Any]] = [
    ("MODEL.META_ARCHITECTURE", "RetinaNet"),
    ("MODEL.META_ARCHITECTURE", "PanopticFPN"),
    ("MODEL.BACKBONE.NAME", "build_resnet_backbone"),
    ("MODEL.MASK_ON", False),
    ("MODEL.KEYPOINT_ON", True),
    ("MODEL.LOAD_PROPOSALS", True),
    ("MODEL.RESNETS.DEPTH", 18),
    ("MODEL.RESNETS.NORM", "SyncBN"),
    ("MODEL.RESNETS.NORM", "GN"),
    ("MODEL.RESNETS.RES5_DILATION", 2),
    ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, False, False, True]),
    ("MODEL.RESNETS.OUT_FEATURES", ["res4"]),
    ("MODEL.FPN.IN_FEATURES", ["res3", "res4", "res5"]),
    ("MODEL.FPN.NORM", "BN"),
    ("MODEL.FPN.FUSE_TYPE", "avg"),
    ("MODEL.PROPOSAL_GENERATOR.NAME", "RRPN"),
    ("MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"),
    ("MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),
    ("MODEL.RPN.CONV_DIMS", [-1, -1]),
    ("MODEL.RPN.BOUNDARY_THRESH", 0),
    ("MODEL.RPN.BBOX_REG_LOSS_TYPE", "giou"),
    ("MODEL.RPN.IOU_THRESHOLDS", [0.5]),
    ("MODEL.ROI_HEADS.NAME", "CascadeROIHeads"),
    ("MODEL.ROI_HEADS.NAME", "Res5ROIHeads"),
    ("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlign"),
    ("MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "diou"),
    ("MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", True),
    ("MODEL.ROI_BOX_HEAD.USE_FED_LOSS", True),
    ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", True),
    ("MODEL.ROI_BOX_HEAD.NORM", "GN"),
    ("MODEL.ROI_MASK_HEAD.POOLER_TYPE", "ROIAlign"),
    ("MODEL.ROI_MASK_HEAD.NAME", "PointRendMaskHead"),
    ("TEST.AUG.ENABLED", True),
    ("TEST.PRECISE_BN.ENABLED", True),
    ("INPUT.FORMAT", "L"),
    ("INPUT.MASK_FORMAT", "rle"),
]
OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("MODEL.ROI_HEADS.NUM_CLASSES", 0),
    ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", -0.5),
    ("MODEL.ANCHOR_GENERATOR.SIZES", [[8], [16]]),
    ("MODEL.ANCHOR_GENERATOR.SIZES", [[8], [16], [32], [64], ["big"]]),
    ("MODEL.ANCHOR_GENERATOR.SIZES", [8, 16, 32, 64, 128]),
    ("MODEL.ANCHOR_GENERATOR.SIZES", [[8], [16], [32], [64], [96, 128]]),
    ("MODEL.ANCHOR_GENERATOR.OFFSET", 1.5),
    ("MODEL.PIXEL_STD", [1.0, 0.0, 1.0]),
    ("MODEL.PIXEL_MEAN", ["a", "b", "c"]),
]


@pytest.mark.parametrize(("key", "value"), NOT_BUILT)
def test_what_is_not_built_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        MaskRCNNSettings.from_config(small_config({key: value}))
    assert caught.value.item == key


@pytest.mark.parametrize(("key", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        MaskRCNNSettings.from_config(small_config({key: value}))
    assert caught.value.item == key


def test_the_defaults_are_refused_with_every_reason() -> None:
    with pytest.raises(ConfigError, match="also refused:"):
        MaskRCNNSettings.from_config(DetectronConfig.default())


def test_two_channel_statistics_are_refused() -> None:
    with pytest.raises(ConfigError, match="three numbers"):
        MaskRCNNSettings.from_config(small_config({"MODEL.PIXEL_MEAN": [1.0, 2.0]}))


def test_one_row_of_sizes_serves_every_level() -> None:
    settings = MaskRCNNSettings.from_config(small_config({"MODEL.ANCHOR_GENERATOR.SIZES": [[8, 16]]}))
    assert settings.anchors.sizes_px == ((8.0, 16.0),) * 5
    assert settings.anchors.anchors_per_cell == 6


def test_a_single_value_of_the_wrong_kind_is_refused() -> None:
    config = DetectronConfig.default()
    for reader in (text, flag, number, numbers):
        with pytest.raises(ConfigError):
            reader(config, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE" if reader is not text else "SEED")
    with pytest.raises(ConfigError, match="at least 0"):
        integer(config, "SEED", minimum=0)
