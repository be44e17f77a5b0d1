"""Detectron1's and Caffe2's parameter names -> Detectron2's, for ImageNet backbones and whole detectors."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_BODY = "backbone.bottom_up"
_BRANCHES = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
_NORM_LEAVES = {
    "gamma": "weight",
    "s": "weight",
    "beta": "bias",
    "b": "bias",
    "running_mean": "running_mean",
    "rm": "running_mean",
    "running_var": "running_var",
    "riv": "running_var",
}
_LEAVES = {"w": "weight", "b": "bias"}
_NORM = "|".join(sorted(_NORM_LEAVES, key=len, reverse=True))

_HEADS = {
    "conv_rpn_fpn2": "proposal_generator.rpn_head.conv",
    "rpn_cls_logits_fpn2": "proposal_generator.rpn_head.objectness_logits",
    "rpn_bbox_pred_fpn2": "proposal_generator.rpn_head.anchor_deltas",
    "fc6": "roi_heads.box_head.fc1",
    "fc7": "roi_heads.box_head.fc2",
    "cls_score": "roi_heads.box_predictor.cls_score",
    "bbox_pred": "roi_heads.box_predictor.bbox_pred",
    "conv5_mask": "roi_heads.mask_head.deconv",
    "mask_fcn_logits": "roi_heads.mask_head.predictor",
}
_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"conv1_(w|b)"), lambda found: f"{_BODY}.stem.conv1.{_LEAVES[found[1]]}"),
    (
        re.compile(rf"(?:res_)?conv1_bn_({_NORM})"),
        lambda found: f"{_BODY}.stem.conv1.norm.{_NORM_LEAVES[found[1]]}",
    ),
    (
        re.compile(r"res([2-5])_(\d+)_branch(1|2a|2b|2c)_(w|b)"),
        lambda found: f"{_BODY}.res{found[1]}.{found[2]}.{_BRANCHES[found[3]]}.{_LEAVES[found[4]]}",
    ),
    (
        re.compile(rf"res([2-5])_(\d+)_branch(1|2a|2b|2c)_bn_({_NORM})"),
        lambda found: f"{_BODY}.res{found[1]}.{found[2]}.{_BRANCHES[found[3]]}.norm.{_NORM_LEAVES[found[4]]}",
    ),
    (
        re.compile(r"fpn_inner_res([2-5])_\d+_sum(?:_lateral)?_(w|b)"),
        lambda found: f"backbone.fpn_lateral{found[1]}.{_LEAVES[found[2]]}",
    ),
    (
        re.compile(r"fpn_res([2-5])_\d+_sum_(w|b)"),
        lambda found: f"backbone.fpn_output{found[1]}.{_LEAVES[found[2]]}",
    ),
    (
        re.compile(r"(?:_\[mask\]_|\[mask\]_|mask_)fcn(\d+)_(w|b)"),
        lambda found: f"roi_heads.mask_head.mask_fcn{found[1]}.{_LEAVES[found[2]]}",
    ),
    (
        re.compile(rf"({'|'.join(_HEADS)})_(w|b)"),
        lambda found: f"{_HEADS[found[1]]}.{_LEAVES[found[2]]}",
    ),
)


def detectron2_name(caffe2_name: str) -> str | None:
    """Return Detectron2's name of a Caffe2 parameter, None for what it has no use for (`fc1000_w`, momentum)."""
    for pattern, renamed in _PATTERNS:
        found = pattern.fullmatch(caffe2_name)
        if found is not None:
            return renamed(found)
    return None


def with_background_last(detectron2_name: str, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a Detectron1 parameter with Detectron2's class rows.

    Detectron1 has background first: its score moves to the end, its box deltas and its mask are dropped.

    Args:
        detectron2_name: the parameter's new name; only the three predictors change.
        values: its values as stored.
    """
    owner = detectron2_name.rpartition(".")[0]
    if owner == _HEADS["cls_score"]:
        return np.concatenate((values[1:], values[:1]))
    if owner == _HEADS["bbox_pred"]:
        return values[4:]
    if owner == _HEADS["mask_fcn_logits"]:
        return values[1:]
    return values
