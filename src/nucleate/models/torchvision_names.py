"""torchvision's parameter names -> Detectron2's, for ImageNet's ResNets and for `maskrcnn_resnet50_fpn`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from nucleate.models.caffe2_names import with_background_last

_BODY = "backbone.bottom_up"
_COUNTER = "num_batches_tracked"
_NORM_EPS = 1e-5
_WITHOUT_EPS = ("maskrcnn_resnet50_fpn_coco-bf2d0c1e", "fasterrcnn_resnet50_fpn_coco-258fb6c6")
"""Files whose frozen norms were trained with nothing added to the variance (torchvision's `overwrite_eps`)."""
_CONVOLUTION = r"(weight|bias)"
_BODY_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"conv1\.(.+)"), lambda found: f"stem.conv1.{found[1]}"),
    (re.compile(r"bn1\.(.+)"), lambda found: f"stem.conv1.norm.{found[1]}"),
    (
        re.compile(r"layer([1-4])\.(\d+)\.conv([1-3])\.(.+)"),
        lambda found: f"res{int(found[1]) + 1}.{found[2]}.conv{found[3]}.{found[4]}",
    ),
    (
        re.compile(r"layer([1-4])\.(\d+)\.bn([1-3])\.(.+)"),
        lambda found: f"res{int(found[1]) + 1}.{found[2]}.conv{found[3]}.norm.{found[4]}",
    ),
    (
        re.compile(r"layer([1-4])\.(\d+)\.downsample\.0\.(.+)"),
        lambda found: f"res{int(found[1]) + 1}.{found[2]}.shortcut.{found[3]}",
    ),
    (
        re.compile(r"layer([1-4])\.(\d+)\.downsample\.1\.(.+)"),
        lambda found: f"res{int(found[1]) + 1}.{found[2]}.shortcut.norm.{found[3]}",
    ),
)
# Each with the names that files from before torchvision 0.13 have.
_HEAD_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(rf"backbone\.fpn\.inner_blocks\.([0-3])(?:\.0)?\.{_CONVOLUTION}"),
        lambda found: f"backbone.fpn_lateral{int(found[1]) + 2}.{found[2]}",
    ),
    (
        re.compile(rf"backbone\.fpn\.layer_blocks\.([0-3])(?:\.0)?\.{_CONVOLUTION}"),
        lambda found: f"backbone.fpn_output{int(found[1]) + 2}.{found[2]}",
    ),
    (
        re.compile(rf"rpn\.head\.conv(?:\.0\.0)?\.{_CONVOLUTION}"),
        lambda found: f"proposal_generator.rpn_head.conv.{found[1]}",
    ),
    (
        re.compile(rf"rpn\.head\.cls_logits\.{_CONVOLUTION}"),
        lambda found: f"proposal_generator.rpn_head.objectness_logits.{found[1]}",
    ),
    (
        re.compile(rf"rpn\.head\.bbox_pred\.{_CONVOLUTION}"),
        lambda found: f"proposal_generator.rpn_head.anchor_deltas.{found[1]}",
    ),
    (
        re.compile(rf"roi_heads\.box_head\.fc([67])\.{_CONVOLUTION}"),
        lambda found: f"roi_heads.box_head.fc{int(found[1]) - 5}.{found[2]}",
    ),
    (
        re.compile(rf"roi_heads\.mask_head\.([0-3])\.0\.{_CONVOLUTION}"),
        lambda found: f"roi_heads.mask_head.mask_fcn{int(found[1]) + 1}.{found[2]}",
    ),
    (
        re.compile(rf"roi_heads\.mask_predictor\.conv5_mask\.{_CONVOLUTION}"),
        lambda found: f"roi_heads.mask_head.deconv.{found[1]}",
    ),
    (
        re.compile(rf"roi_heads\.mask_predictor\.mask_fcn_logits\.{_CONVOLUTION}"),
        lambda found: f"roi_heads.mask_head.predictor.{found[1]}",
    ),
)


def is_torchvision(names: Mapping[str, object]) -> bool:
    """Return whether tensors have torchvision's names: a ResNet's own, or those of its detectors."""
    return "backbone.body.conv1.weight" in names or {"conv1.weight", "layer1.0.conv1.weight"} <= set(names)


def detectron2_name(torchvision_name: str) -> str | None:
    """Return Detectron2's name of a parameter, None for what it has no use for (`fc.weight`, counters)."""
    if torchvision_name.endswith(_COUNTER):
        return None
    for pattern, renamed in _BODY_PATTERNS:
        found = pattern.fullmatch(torchvision_name.removeprefix("backbone.body."))
        if found is not None:
            return f"{_BODY}.{renamed(found)}"
    for pattern, renamed in _HEAD_PATTERNS:
        found = pattern.fullmatch(torchvision_name)
        if found is not None:
            return renamed(found)
    # The box predictor's names and those of old mask heads are Detectron2's.
    return torchvision_name if torchvision_name.startswith("roi_heads.") else None


def with_detectron2_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return torchvision's tensors under Detectron2's names, class rows in Detectron2's order.

    Args:
        tensors: by torchvision's names.
        path: the file that they come from; some published ones add nothing to the variance.

    Returns:
        By name; what no network has a use for keeps its name, with `_` for dots. Counters of norms are dropped.
    """
    renamed = {}
    for name, tensor in tensors.items():
        if name.endswith(_COUNTER):
            # Batches seen by a norm: no weight, and a line for each would hide what is left out.
            continue
        new = detectron2_name(name)
        if new is None:
            renamed[name.replace(".", "_")] = tensor
        elif new.endswith("norm.running_var") and path.stem in _WITHOUT_EPS:
            renamed[new] = tensor - _NORM_EPS
        else:
            renamed[new] = torch.from_numpy(with_background_last(new, tensor.numpy()).copy())
    return renamed
