"""Mask R-CNN with a feature pyramid: Detectron2's names, arithmetic and answers on torchvision's operators.

Build with `MaskRCNN.from_config(DetectronConfig.load(path))`; train with `network.train()` and
`network.losses([TrainingImage(...), ...])`; answer with `predict(network, images_rgb)` or `MaskRCNNSegmenter`.
"""

from __future__ import annotations

from nucleate.models.mask_rcnn.frozen_statistics import fill_frozen_statistics
from nucleate.models.mask_rcnn.network import ImageBatch, MaskRCNN
from nucleate.models.mask_rcnn.prediction import PredictionSettings, instances_in_frame, predict
from nucleate.models.mask_rcnn.preprocessing import network_image, resize_image, resized_size_hw
from nucleate.models.mask_rcnn.roi_heads import Detections
from nucleate.models.mask_rcnn.sampling import RandomSampler, Sampler
from nucleate.models.mask_rcnn.segmenter import MaskRCNNSegmenter
from nucleate.models.mask_rcnn.settings import MaskRCNNSettings
from nucleate.models.mask_rcnn.solver import (
    ClipSettings,
    ParameterGroup,
    SolverSettings,
    build_optimizer,
    clip_gradients,
    lr_factor,
    parameter_groups,
)
from nucleate.models.mask_rcnn.stored_networks import config_beside, load_network
from nucleate.models.mask_rcnn.training_targets import (
    BitMasks,
    PolygonMasks,
    TrainingImage,
    TrainingLosses,
    TrainingMetrics,
)

__all__ = [
    "BitMasks",
    "ClipSettings",
    "Detections",
    "ImageBatch",
    "MaskRCNN",
    "MaskRCNNSegmenter",
    "MaskRCNNSettings",
    "ParameterGroup",
    "PolygonMasks",
    "PredictionSettings",
    "RandomSampler",
    "Sampler",
    "SolverSettings",
    "TrainingImage",
    "TrainingLosses",
    "TrainingMetrics",
    "build_optimizer",
    "clip_gradients",
    "config_beside",
    "fill_frozen_statistics",
    "instances_in_frame",
    "load_network",
    "lr_factor",
    "network_image",
    "parameter_groups",
    "predict",
    "resize_image",
    "resized_size_hw",
]
