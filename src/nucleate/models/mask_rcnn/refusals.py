"""What Detectron2 offers and this engine does not build: refused by the key's name, all at once."""

from __future__ import annotations

from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import ConfigValue, DetectronConfig

_STAGES = ("res2", "res3", "res4", "res5")
_FINE_LEVELS = ("p2", "p3", "p4", "p5")

# Key -> the values that are built. Everything else of these keys would change the answer.
_BUILT: dict[str, tuple[ConfigValue, ...]] = {
    "MODEL.META_ARCHITECTURE": ("GeneralizedRCNN",),
    "MODEL.MASK_ON": (True,),
    "MODEL.KEYPOINT_ON": (False,),
    "MODEL.LOAD_PROPOSALS": (False,),
    "MODEL.RESNETS.NORM": ("FrozenBN", "BN"),
    "MODEL.RESNETS.RES5_DILATION": (1,),
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": ((False, False, False, False),),
    "MODEL.RESNETS.OUT_FEATURES": (_STAGES,),
    "MODEL.FPN.IN_FEATURES": (_STAGES,),
    "MODEL.FPN.NORM": ("",),
    "MODEL.FPN.FUSE_TYPE": ("sum",),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN",),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator",),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead",),
    "MODEL.RPN.IN_FEATURES": ((*_FINE_LEVELS, "p6"),),
    "MODEL.RPN.CONV_DIMS": ((-1,),),
    "MODEL.RPN.BOUNDARY_THRESH": (-1,),
    "MODEL.RPN.IOU_LABELS": ((0, -1, 1),),
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": ("smooth_l1",),
    "MODEL.ROI_HEADS.NAME": ("StandardROIHeads",),
    "MODEL.ROI_HEADS.IN_FEATURES": (_FINE_LEVELS,),
    "MODEL.ROI_HEADS.IOU_LABELS": ((0, 1),),
    "MODEL.ROI_BOX_HEAD.NAME": ("FastRCNNConvFCHead",),
    "MODEL.ROI_BOX_HEAD.NORM": ("",),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": ("ROIAlignV2",),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": ("smooth_l1",),
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": (False,),
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": (False,),
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": (False,),
    "MODEL.ROI_MASK_HEAD.NAME": ("MaskRCNNConvUpsampleHead",),
    "MODEL.ROI_MASK_HEAD.NORM": ("",),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": ("ROIAlignV2",),
    "INPUT.FORMAT": ("BGR", "RGB"),
    "INPUT.MASK_FORMAT": ("polygon", "bitmask"),
    "TEST.AUG.ENABLED": (False,),
    "TEST.PRECISE_BN.ENABLED": (False,),
}
_RESNET_ONLY: dict[str, tuple[ConfigValue, ...]] = {"MODEL.RESNETS.DEPTH": (50, 101, 152)}
_LENGTHS = {
    "MODEL.RPN.IOU_THRESHOLDS": 2,
    "MODEL.ROI_HEADS.IOU_THRESHOLDS": 1,
    "MODEL.RPN.BBOX_REG_WEIGHTS": 4,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": 4,
}


def check_built(config: DetectronConfig, *, backbones: tuple[str, ...]) -> None:
    """Refuse a configuration that asks for parts of Detectron2 that this engine does not have.

    Args:
        config: the configuration.
        backbones: the values of MODEL.BACKBONE.NAME that are built.

    Raises:
        ConfigError: names the first such key, the value found and the values that are built.
    """
    built = {"MODEL.BACKBONE.NAME": backbones, **_BUILT}
    if config.get("MODEL.BACKBONE.NAME") == backbones[0]:
        built |= _RESNET_ONLY
    problems = [
        (key, f"{config.get(key)!r} is not built; built: {' or '.join(repr(value) for value in values)}")
        for key, values in built.items()
        if config.get(key) not in values
    ]
    for key, length in _LENGTHS.items():
        value = config.get(key)
        if not isinstance(value, tuple) or len(value) != length:
            problems.append((key, f"needs {length} numbers, not {value!r}"))
    if problems:
        key, message = problems[0]
        others = ", ".join(name for name, _ in problems[1:])
        raise ConfigError(f"{message}{f'; also refused: {others}' if others else ''}", item=key)
