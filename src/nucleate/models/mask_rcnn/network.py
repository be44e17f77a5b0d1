"""The Mask R-CNN (He 2017) with a feature pyramid: Detectron2's names, arithmetic and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nucleate.errors import DataError
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn.efficientnet_body import EfficientNetBody
from nucleate.models.mask_rcnn.pyramid import FeaturePyramid, padded_side_px
from nucleate.models.mask_rcnn.resnet import ResNet
from nucleate.models.mask_rcnn.roi_heads import Detections, RoiHeads, RoiLosses
from nucleate.models.mask_rcnn.rpn import RPN, RPNLosses
from nucleate.models.mask_rcnn.sampling import RandomSampler, Sampler
from nucleate.models.mask_rcnn.settings import BackboneSettings, MaskRCNNSettings
from nucleate.models.mask_rcnn.training_targets import TrainingImage, TrainingLosses, TrainingMetrics
from nucleate.models.whole_batch import ONE_PROCESS, WholeBatch


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Normalised images in one padded tensor.

    Args:
        tensor: (N, 3, H, W), H and W multiples of 32, zero right and below of each image.
        sizes_hw: each image's own height and width.
    """

    tensor: Tensor
    sizes_hw: tuple[tuple[int, int], ...]


class MaskRCNN(nn.Module):
    """The network; its `state_dict` has the names of Detectron2's (307 tensors for R50-FPN).

    Args:
        settings: what to build; `MaskRCNN.from_config` reads them off a configuration.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, settings: MaskRCNNSettings) -> None:
        super().__init__()
        self.settings = settings
        channels = settings.backbone.pyramid_channels
        body = _body(settings.backbone)
        self.backbone = FeaturePyramid(body, body.out_channels, channels)
        self.proposal_generator = RPN(channels, settings.anchors, settings.rpn)
        self.roi_heads = RoiHeads(channels, settings)
        self.register_buffer("pixel_mean", _per_channel(settings.image.pixel_mean), persistent=False)
        self.register_buffer("pixel_std", _per_channel(settings.image.pixel_std), persistent=False)

    @classmethod
    def from_config(cls, config: DetectronConfig) -> MaskRCNN:
        """Build the network of a configuration, with initial weights, on the CPU.

        Raises:
            ConfigError: the configuration asks for something that is not built.
        """
        return cls(MaskRCNNSettings.from_config(config))

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self.pixel_mean.device

    def batch(self, images: Sequence[Tensor], whole: WholeBatch = ONE_PROCESS) -> ImageBatch:
        """Normalise images and pad them, right and below, to one size.

        Args:
            images: each (3, H, W) uint8 or float on 0..255 in INPUT.FORMAT's channel order, already resized.
            whole: padding is by the largest image of the whole batch.

        Raises:
            DataError: no images, or one of another shape.
        """
        if not images:
            raise DataError("an empty batch: at least one image is needed")
        for image in images:
            if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
                raise DataError(f"an image must be (3, H, W), not {tuple(image.shape)}")
        sizes_hw = tuple((int(image.shape[1]), int(image.shape[2])) for image in images)
        largest_hw = whole.largest(torch.tensor(sizes_hw).amax(dim=0)).tolist()
        height, width = (padded_side_px(side) for side in largest_hw)
        padded = []
        for image, (own_height, own_width) in zip(images, sizes_hw, strict=True):
            normalised = (image.to(self.device, dtype=torch.float32) - self.pixel_mean) / self.pixel_std
            padded.append(F.pad(normalised, (0, width - own_width, 0, height - own_height)))
        tensor = torch.stack(padded)
        stem = next(self.backbone.bottom_up.parameters())
        if not stem.is_contiguous() and stem.is_contiguous(memory_format=torch.channels_last):
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return ImageBatch(tensor, sizes_hw)

    @torch.no_grad()
    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Return each image's detections in the network's frame; call `eval()` first.

        Args:
            images: as `batch` takes them.

        Returns:
            One `Detections` an image, in order.

        Raises:
            DataError: an image has a wrong shape.
        """
        if self.training:
            raise RuntimeError("call eval() before detect(): proposals are capped differently in training")
        batch = self.batch(images)
        features = self.backbone(batch.tensor)
        proposals = self.proposal_generator.propose(self.proposal_generator(features), batch.sizes_hw)
        return self.roi_heads.detect(features, proposals, batch.sizes_hw)

    def losses(
        self,
        batch: Sequence[TrainingImage],
        generator: torch.Generator | None = None,
        *,
        sampler: Sampler | None = None,
        whole: WholeBatch = ONE_PROCESS,
    ) -> TrainingLosses:
        """Return the losses of a training batch; call `train()` first.

        Args:
            batch: images with their annotation, which may be empty.
            generator: source of chance for the samples; None takes torch's default (`torch.manual_seed`).
            sampler: another rule for the samples, instead of `generator`'s chance.
            whole: where `batch` is the part of one process: the losses of all processes add up to the whole batch's.

        Returns:
            The five losses and what Detectron2 logs beside them.

        Raises:
            DataError: an image has a wrong shape, or a class index lies outside 0..K-1.
            FloatingPointError: the network has diverged.
        """
        sampler = RandomSampler(generator) if sampler is None else sampler
        images = self.batch([image.image for image in batch], whole)
        annotated = [self._on_device(image) for image in batch]
        features = self.backbone(images.tensor)
        output = self.proposal_generator(features)
        rpn = self.proposal_generator.losses(output, [image.boxes_xyxy for image in annotated], sampler, whole)
        proposals = self.proposal_generator.propose(output, images.sizes_hw)
        return _combined(rpn, self.roi_heads.losses(features, proposals, annotated, sampler, whole))

    def _on_device(self, image: TrainingImage) -> TrainingImage:
        classes = image.class_indices.to(self.device, dtype=torch.int64)
        class_count = self.settings.roi.class_count
        if bool(((classes < 0) | (classes >= class_count)).any()):
            raise DataError(
                f"class index {int(classes.max())} in an annotation, but MODEL.ROI_HEADS.NUM_CLASSES is {class_count}"
            )
        boxes = image.boxes_xyxy.to(self.device, dtype=torch.float32)
        return replace(image, boxes_xyxy=boxes, class_indices=classes)


def _body(settings: BackboneSettings) -> ResNet | EfficientNetBody:
    return ResNet(settings) if settings.kind == "resnet" else EfficientNetBody(settings)


def _per_channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).reshape(3, 1, 1)


def _combined(rpn: RPNLosses, roi: RoiLosses) -> TrainingLosses:
    return TrainingLosses(
        loss_cls=roi.box.classification,
        loss_box_reg=roi.box.box,
        loss_mask=roi.mask.loss,
        loss_rpn_cls=rpn.objectness,
        loss_rpn_loc=rpn.box,
        metrics=TrainingMetrics(
            num_pos_anchors=rpn.positives_per_image,
            num_neg_anchors=rpn.negatives_per_image,
            num_fg_samples=roi.foreground_per_image,
            num_bg_samples=roi.background_per_image,
            cls_accuracy=roi.box.accuracy,
            fg_cls_accuracy=roi.box.foreground_accuracy,
            false_negative=roi.box.false_negative,
            mask_accuracy=roi.mask.accuracy,
            mask_false_positive=roi.mask.false_positive,
            mask_false_negative=roi.mask.false_negative,
        ),
    )
