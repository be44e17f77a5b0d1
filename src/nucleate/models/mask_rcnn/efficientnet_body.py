"""EfficientNet-Lite0 as the pyramid's body: a net for CPUs.

Detectron2 has no such backbone: a run with it keeps Detectron2's files and keys, but Detectron2 can't load it.
The configuration is `MODEL.BACKBONE.NAME: build_efficientnet_lite0_fpn_backbone`; with the ImageNet weights also
`INPUT.FORMAT: RGB`, `MODEL.PIXEL_MEAN: [127, 127, 127]` and `MODEL.PIXEL_STD: [128, 128, 128]`, which they were
trained with. Other keys of MODEL.RESNETS than NORM have no effect.
"""

from __future__ import annotations

from torch import nn

from nucleate.models.efficientnet_lite0 import EfficientNetLite0
from nucleate.models.mask_rcnn.layers import FrozenBatchNorm, freeze, freeze_norms
from nucleate.models.mask_rcnn.settings import BackboneSettings


class EfficientNetBody(EfficientNetLite0):
    """The encoder with res2 to res5 (strides 4 to 32) and Detectron2's freezing.

    Args:
        settings: `norm` (FrozenBN: statistics and affine terms frozen; BN: trainable) and `freeze_at`
            (1 the stem, 2 also the blocks up to stride 4, ... 5 the whole body).

    Raises:
        MissingExtraError: timm is not installed.
    """

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__(strides=(4, 8, 16, 32))
        if settings.norm == "FrozenBN":
            freeze_norms(self)
        if settings.freeze_at >= 1:
            freeze(self.conv_stem)
            freeze(self.bn1)
            if isinstance(self.bn1, nn.BatchNorm2d):
                self.bn1 = FrozenBatchNorm.frozen(self.bn1)
        for strides in ((2, 4), (8,), (16,), (32,))[: max(0, settings.freeze_at - 1)]:
            for stride in strides:
                for block in self.blocks_of(stride):
                    freeze(block)
