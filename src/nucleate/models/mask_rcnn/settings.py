"""What the Mask R-CNN is built from: frozen settings, parsed once from a `DetectronConfig`.

What Detectron2 offers and this engine does not build is refused with the key's name (`refusals`); nothing is
quietly read as something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn.config_values import flag, integer, number, numbers, rows_of_numbers, text
from nucleate.models.mask_rcnn.refusals import check_built

_LEVELS = 5
"""p2 to p6."""

BackboneKind = Literal["resnet", "efficientnet_lite0"]
Norm = Literal["FrozenBN", "BN"]
ChannelOrder = Literal["BGR", "RGB"]

_BACKBONE_KINDS: dict[str, BackboneKind] = {
    "build_resnet_fpn_backbone": "resnet",
    "build_efficientnet_lite0_fpn_backbone": "efficientnet_lite0",
}
_NORMS: dict[str, Norm] = {"FrozenBN": "FrozenBN", "BN": "BN"}
_ORDERS: dict[str, ChannelOrder] = {"BGR": "BGR", "RGB": "RGB"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How an image becomes the network's input.

    Args:
        channel_order: INPUT.FORMAT, the order of the three channels.
        pixel_mean: MODEL.PIXEL_MEAN in that order, on the scale 0..255.
        pixel_std: MODEL.PIXEL_STD in that order.
        min_size_test_px: INPUT.MIN_SIZE_TEST, the shorter side after resizing; 0 leaves images as they are.
        max_size_test_px: INPUT.MAX_SIZE_TEST, the cap of the longer side.
    """

    channel_order: ChannelOrder
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    min_size_test_px: int
    max_size_test_px: int

    def __post_init__(self) -> None:
        if len(self.pixel_mean) != 3 or len(self.pixel_std) != 3:
            raise ConfigError("MODEL.PIXEL_MEAN and MODEL.PIXEL_STD need three numbers each")
        if min(self.pixel_std) <= 0:
            raise ConfigError("must be positive", item="MODEL.PIXEL_STD")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSettings:
    """The body and the feature pyramid (MODEL.BACKBONE, MODEL.RESNETS, MODEL.FPN).

    Args:
        kind: which body; the EfficientNet uses only `norm`, `freeze_at` and `pyramid_channels`.
        depth: 50, 101 or 152 layers.
        stride_in_1x1: the down-sampling of a bottleneck sits in its first convolution (MSRA's weights).
        groups: groups of the 3x3 convolutions.
        width_per_group: their channels a group in res2.
        stem_channels: channels after the first convolution.
        res2_channels: channels of res2's output; every further stage doubles them.
        norm: frozen statistics and affine terms, or trainable batch norm.
        freeze_at: the stem (1) and stages up to res<n> get no gradient.
        pyramid_channels: channels of p2..p6.
    """

    kind: BackboneKind
    depth: int
    stride_in_1x1: bool
    groups: int
    width_per_group: int
    stem_channels: int
    res2_channels: int
    norm: Norm
    freeze_at: int
    pyramid_channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSettings:
    """Anchors (MODEL.ANCHOR_GENERATOR): one row of sizes and of ratios for each of p2..p6."""

    sizes_px: tuple[tuple[float, ...], ...]
    aspect_ratios: tuple[tuple[float, ...], ...]
    offset: float

    def __post_init__(self) -> None:
        counts = {len(sizes) * len(ratios) for sizes, ratios in zip(self.sizes_px, self.aspect_ratios, strict=True)}
        if len(counts) != 1:
            raise ConfigError("every level needs the same number of anchors", item="MODEL.ANCHOR_GENERATOR.SIZES")
        if not 0.0 <= self.offset < 1.0:
            raise ConfigError(f"must lie in [0, 1), not {self.offset}", item="MODEL.ANCHOR_GENERATOR.OFFSET")

    @property
    def anchors_per_cell(self) -> int:
        """Number of anchors at each position of a feature map."""
        return len(self.sizes_px[0]) * len(self.aspect_ratios[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class RPNSettings:
    """The region proposal network (MODEL.RPN, MODEL.PROPOSAL_GENERATOR.MIN_SIZE); sizes in network pixels."""

    iou_thresholds: tuple[float, float]
    batch_size_per_image: int
    positive_fraction: float
    delta_weights: tuple[float, ...]
    smooth_l1_beta: float
    objectness_loss_weight: float
    box_loss_weight: float
    pre_nms_topk_train: int
    pre_nms_topk_test: int
    post_nms_topk_train: int
    post_nms_topk_test: int
    nms_threshold: float
    min_box_size_px: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxHeadSettings:
    """Box head and predictor (MODEL.ROI_BOX_HEAD)."""

    conv_count: int
    conv_channels: int
    fc_count: int
    fc_channels: int
    pooler_resolution_px: int
    pooler_sampling_ratio: int
    delta_weights: tuple[float, ...]
    smooth_l1_beta: float
    box_loss_weight: float
    class_agnostic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskHeadSettings:
    """Mask head (MODEL.ROI_MASK_HEAD); its output has twice the pooler's resolution."""

    conv_count: int
    conv_channels: int
    pooler_resolution_px: int
    pooler_sampling_ratio: int
    class_agnostic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiSettings:
    """What is made of the proposals (MODEL.ROI_HEADS, TEST.DETECTIONS_PER_IMAGE).

    Args:
        class_count: K; class K is background.
        iou_threshold: a proposal with at least this overlap is foreground in training.
        batch_size_per_image: sampled proposals of a training image.
        positive_fraction: the most of them that may be foreground.
        append_annotated: annotated boxes join the proposals in training.
        score_threshold: detections must score more.
        nms_threshold: overlap within a class above which the lower score goes.
        detections_per_image: cap of the detections; Detectron2's 100 cuts dense tiles off.
    """

    class_count: int
    iou_threshold: float
    batch_size_per_image: int
    positive_fraction: float
    append_annotated: bool
    score_threshold: float
    nms_threshold: float
    detections_per_image: int

    def __post_init__(self) -> None:
        if self.class_count < 1:
            raise ConfigError(f"must be at least 1, not {self.class_count}", item="MODEL.ROI_HEADS.NUM_CLASSES")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRCNNSettings:
    """Everything that decides what the network is and answers."""

    image: ImageSettings
    backbone: BackboneSettings
    anchors: AnchorSettings
    rpn: RPNSettings
    roi: RoiSettings
    box_head: BoxHeadSettings
    mask_head: MaskHeadSettings

    @classmethod
    def from_config(cls, config: DetectronConfig) -> MaskRCNNSettings:
        """Read the settings off a Detectron2 configuration.

        Raises:
            ConfigError: the configuration asks for something that is not built, or a value is out of range.
        """
        check_built(config, backbones=tuple(_BACKBONE_KINDS))
        return cls(
            image=_image(config),
            backbone=_backbone(config),
            anchors=_anchors(config),
            rpn=_rpn(config),
            roi=_roi(config),
            box_head=_box_head(config),
            mask_head=_mask_head(config),
        )


def _image(config: DetectronConfig) -> ImageSettings:
    return ImageSettings(
        channel_order=_ORDERS[text(config, "INPUT.FORMAT")],
        pixel_mean=numbers(config, "MODEL.PIXEL_MEAN"),
        pixel_std=numbers(config, "MODEL.PIXEL_STD"),
        min_size_test_px=integer(config, "INPUT.MIN_SIZE_TEST", minimum=0),
        max_size_test_px=integer(config, "INPUT.MAX_SIZE_TEST", minimum=1),
    )


def _backbone(config: DetectronConfig) -> BackboneSettings:
    return BackboneSettings(
        kind=_BACKBONE_KINDS[text(config, "MODEL.BACKBONE.NAME")],
        depth=integer(config, "MODEL.RESNETS.DEPTH", minimum=1),
        stride_in_1x1=flag(config, "MODEL.RESNETS.STRIDE_IN_1X1"),
        groups=integer(config, "MODEL.RESNETS.NUM_GROUPS", minimum=1),
        width_per_group=integer(config, "MODEL.RESNETS.WIDTH_PER_GROUP", minimum=1),
        stem_channels=integer(config, "MODEL.RESNETS.STEM_OUT_CHANNELS", minimum=1),
        res2_channels=integer(config, "MODEL.RESNETS.RES2_OUT_CHANNELS", minimum=1),
        norm=_NORMS[text(config, "MODEL.RESNETS.NORM")],
        freeze_at=integer(config, "MODEL.BACKBONE.FREEZE_AT", minimum=0),
        pyramid_channels=integer(config, "MODEL.FPN.OUT_CHANNELS", minimum=1),
    )


def _anchors(config: DetectronConfig) -> AnchorSettings:
    rows = [
        rows_of_numbers(config, f"MODEL.ANCHOR_GENERATOR.{name}", count=_LEVELS) for name in ("SIZES", "ASPECT_RATIOS")
    ]
    return AnchorSettings(
        sizes_px=rows[0], aspect_ratios=rows[1], offset=number(config, "MODEL.ANCHOR_GENERATOR.OFFSET")
    )


def _rpn(config: DetectronConfig) -> RPNSettings:
    low, high = numbers(config, "MODEL.RPN.IOU_THRESHOLDS")
    loss_weight = number(config, "MODEL.RPN.LOSS_WEIGHT")
    return RPNSettings(
        iou_thresholds=(low, high),
        batch_size_per_image=integer(config, "MODEL.RPN.BATCH_SIZE_PER_IMAGE", minimum=1),
        positive_fraction=number(config, "MODEL.RPN.POSITIVE_FRACTION"),
        delta_weights=numbers(config, "MODEL.RPN.BBOX_REG_WEIGHTS"),
        smooth_l1_beta=number(config, "MODEL.RPN.SMOOTH_L1_BETA"),
        objectness_loss_weight=loss_weight,
        box_loss_weight=loss_weight * number(config, "MODEL.RPN.BBOX_REG_LOSS_WEIGHT"),
        pre_nms_topk_train=integer(config, "MODEL.RPN.PRE_NMS_TOPK_TRAIN", minimum=1),
        pre_nms_topk_test=integer(config, "MODEL.RPN.PRE_NMS_TOPK_TEST", minimum=1),
        post_nms_topk_train=integer(config, "MODEL.RPN.POST_NMS_TOPK_TRAIN", minimum=1),
        post_nms_topk_test=integer(config, "MODEL.RPN.POST_NMS_TOPK_TEST", minimum=1),
        nms_threshold=number(config, "MODEL.RPN.NMS_THRESH"),
        min_box_size_px=number(config, "MODEL.PROPOSAL_GENERATOR.MIN_SIZE"),
    )


def _roi(config: DetectronConfig) -> RoiSettings:
    return RoiSettings(
        class_count=integer(config, "MODEL.ROI_HEADS.NUM_CLASSES", minimum=1),
        iou_threshold=numbers(config, "MODEL.ROI_HEADS.IOU_THRESHOLDS")[0],
        batch_size_per_image=integer(config, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", minimum=1),
        positive_fraction=number(config, "MODEL.ROI_HEADS.POSITIVE_FRACTION"),
        append_annotated=flag(config, "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT"),
        score_threshold=number(config, "MODEL.ROI_HEADS.SCORE_THRESH_TEST"),
        nms_threshold=number(config, "MODEL.ROI_HEADS.NMS_THRESH_TEST"),
        detections_per_image=integer(config, "TEST.DETECTIONS_PER_IMAGE", minimum=-1),
    )


def _box_head(config: DetectronConfig) -> BoxHeadSettings:
    section = "MODEL.ROI_BOX_HEAD"
    return BoxHeadSettings(
        conv_count=integer(config, f"{section}.NUM_CONV", minimum=0),
        conv_channels=integer(config, f"{section}.CONV_DIM", minimum=1),
        fc_count=integer(config, f"{section}.NUM_FC", minimum=0),
        fc_channels=integer(config, f"{section}.FC_DIM", minimum=1),
        pooler_resolution_px=integer(config, f"{section}.POOLER_RESOLUTION", minimum=1),
        pooler_sampling_ratio=integer(config, f"{section}.POOLER_SAMPLING_RATIO", minimum=0),
        delta_weights=numbers(config, f"{section}.BBOX_REG_WEIGHTS"),
        smooth_l1_beta=number(config, f"{section}.SMOOTH_L1_BETA"),
        box_loss_weight=number(config, f"{section}.BBOX_REG_LOSS_WEIGHT"),
        class_agnostic=flag(config, f"{section}.CLS_AGNOSTIC_BBOX_REG"),
    )


def _mask_head(config: DetectronConfig) -> MaskHeadSettings:
    section = "MODEL.ROI_MASK_HEAD"
    return MaskHeadSettings(
        conv_count=integer(config, f"{section}.NUM_CONV", minimum=0),
        conv_channels=integer(config, f"{section}.CONV_DIM", minimum=1),
        pooler_resolution_px=integer(config, f"{section}.POOLER_RESOLUTION", minimum=1),
        pooler_sampling_ratio=integer(config, f"{section}.POOLER_SAMPLING_RATIO", minimum=0),
        class_agnostic=flag(config, f"{section}.CLS_AGNOSTIC_MASK"),
    )
