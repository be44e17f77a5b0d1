"""The Mask R-CNN's part of a training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nucleate.core import Instances
from nucleate.data import CocoDataset
from nucleate.errors import ConfigError
from nucleate.export import ImagePredictions
from nucleate.files import write_text
from nucleate.inference import InferenceSettings, predict_dataset
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import MaskRCNN, TrainingImage, TrainingLosses
from nucleate.models.mask_rcnn.sampling import ImageSampler
from nucleate.models.mask_rcnn.segmenter import MaskRCNNSegmenter
from nucleate.models.mask_rcnn.solver import SolverSettings, build_optimizer, clip_gradients, lr_factor
from nucleate.models.run_card import RunCard
from nucleate.training.balancing import BalancedPlan, balanced_weights
from nucleate.training.loading import Mapper, image_rng, load_parts, sampler_seed
from nucleate.training.mask_rcnn.configuring import configure
from nucleate.training.mask_rcnn.detectron2_mapping import DetectronMapper, ResizeChoice
from nucleate.training.mask_rcnn.mapping import AugmentingMapper
from nucleate.training.mask_rcnn.pictures import pictured
from nucleate.training.mask_rcnn.settings import MaskRCNNRecipeSettings
from nucleate.training.mask_rcnn.starts import start_network
from nucleate.training.precision import agreed_precision, loss_scaler
from nucleate.training.run_folder import CONFIG_NAME
from nucleate.training.sampling import BatchPlan, Slot
from nucleate.training.sharing import check_divisible, shared_slots
from nucleate.training.splits import median_diameter_px, read_split, training_records, typical_side_px
from nucleate.training.task import Course, Task, TrainingRequest
from nucleate.training.trainee import Part, Trainee, WeightAverage

_log = logging.getLogger(__name__)
# Decided by how a run started: asking again without its --weights must not thaw what was frozen, nor feed a network
# other values than it was trained with.
_KEPT_ON_RESUME = (
    "INPUT.FORMAT",
    "MODEL.BACKBONE.FREEZE_AT",
    "MODEL.PIXEL_MEAN",
    "MODEL.PIXEL_STD",
    "MODEL.RESNETS.DEPTH",
    "MODEL.RESNETS.STRIDE_IN_1X1",
    "MODEL.WEIGHTS",
    "SEED",
)

_REMEDY = "lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, or set SOLVER.CLIP_GRADIENTS.ENABLED=True"


class MaskRCNNTask(Task[list[TrainingImage]]):
    """Detectron2's configuration made concrete for a data set.

    Attributes:
        network_class: what is trained.

    Raises:
        ConfigError: keys that don't fit each other or the data.
        DataError: unreadable data.
    """

    network_class: type[MaskRCNN] = MaskRCNN

    def __init__(self, request: TrainingRequest) -> None:
        self._request = request
        recipe = request.recipe
        assert isinstance(recipe.settings, MaskRCNNRecipeSettings)
        self._settings = recipe.settings
        train = self.read_split(recipe.config, "DATASETS.TRAIN")
        assert train is not None
        self.train = train
        from_nothing = request.weights is None and self._settings.start == "none"
        config = configure(recipe, train, request.output, weights=request.weights, from_nothing=from_nothing)
        if request.resume and (request.output / CONFIG_NAME).is_file():
            resumed = DetectronConfig.load(request.output / CONFIG_NAME)
            config = config.with_overrides({key: resumed.get(key) for key in _KEPT_ON_RESUME})
        self._config = config.with_overrides({"MODEL.DEVICE": request.device.type})
        self.validation = self.read_split(config, "DATASETS.TEST")
        self._solver = SolverSettings.from_config(self._config)
        self.record_indices = training_records(train, self._config)
        self.course = Course(
            iterations=self._solver.max_iterations,
            checkpoint_period=self._integer("SOLVER.CHECKPOINT_PERIOD"),
            evaluation_period=self._integer("TEST.EVAL_PERIOD"),
            seed=self._integer("SEED"),
            parts=self._settings.accumulate,
        )
        check_divisible(self._integer("SOLVER.IMS_PER_BATCH"), parts=self.course.parts, processes=request.processes)
        self._mapper = self._make_mapper()

    def read_split(self, config: DetectronConfig, key: str) -> CocoDataset | None:
        """Return the images that DATASETS.TRAIN or DATASETS.TEST names."""
        return read_split(self._request.data, config, key, fold=self._request.fold)

    def build(self) -> Trainee[list[TrainingImage]]:
        """Return the network of the configuration and Detectron2's optimiser."""
        network = self.network_class.from_config(self._config)
        if self._settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        network = network.to(self._request.device)
        optimizer = build_optimizer(network, self._solver)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        processes = self._request.processes
        before = RunCard.read(self._request.output).settings.get("precision_used") if self._request.resume else None
        self.precision, autocast = agreed_precision(
            self._settings.precision, self._request.device, processes, before=before
        )

        def losses(part: Part[list[TrainingImage]]) -> TrainingLosses:
            sampler = ImageSampler([sampler_seed(self.course.seed, slot) for slot in part.slots])
            with torch.autocast(network.device.type, dtype=autocast, enabled=autocast is not None):
                return network.losses(part.batch, sampler=sampler, whole=processes)

        def clip() -> None:
            clip_gradients((p for group in optimizer.param_groups for p in group["params"]), self._solver.clipping)

        return Trainee(
            network=network,
            optimizer=optimizer,
            losses=losses,
            rate=lambda iteration: lr_factor(iteration, self._solver),
            base_rate=self._solver.base_lr,
            clip=clip,
            plain=self._plain,
            remedy=_REMEDY,
            average=WeightAverage(network, decay) if (decay := self._settings.average_decay) else None,
            scaler=loss_scaler(autocast, self._request.device),
        )

    def start(self, trainee: Trainee[list[TrainingImage]]) -> str:
        """Fill the weights that a training starts from."""
        network = trainee.network
        assert isinstance(network, MaskRCNN)
        weights = self._request.weights
        if weights is None and self._request.resume and (stored := str(self._config.get("MODEL.WEIGHTS"))):
            weights = Path(stored)
        origin = start_network(network, self._settings, weights, self._first_batch)
        if trainee.average is not None:
            trainee.average.network.load_state_dict(network.state_dict())
        return origin

    def batches(self, first_iteration: int) -> Iterator[Part[list[TrainingImage]]]:
        """Return this process' parts of the batches from an iteration on."""
        plan = self._plan(first_iteration)
        slots = shared_slots(plan, parts=self.course.parts, processes=self._request.processes)
        workers = self._integer("DATALOADER.NUM_WORKERS")
        return load_parts(self._mapper, slots, _as_list, seed=self.course.seed, workers=workers)

    def predict(self, network: nn.Module, dataset: CocoDataset) -> list[ImagePredictions]:
        """Return what a network finds: the images are normalised as in training, of the same scale, never tiled."""
        assert isinstance(network, MaskRCNN)
        segmenter = MaskRCNNSegmenter.from_network(network).at_scale_of(typical_side_px(self.train))
        return predict_dataset(segmenter, dataset, InferenceSettings(score_threshold=0.0))

    def samples(self, count: int) -> tuple[Sequence[NDArray[np.uint8]], Sequence[Instances]]:
        """Return what the network is fed."""
        pictures, nuclei = [], []
        count = min(count, len(self.record_indices))
        for position in range(count):
            index = position * len(self.record_indices) // count
            slot = Slot(iteration=0, position=position, record_index=index)
            sample = self._mapper(index, image_rng(self.course.seed, slot))
            picture, instances = pictured(sample, bgr=self._config.get("INPUT.FORMAT") == "BGR")
            pictures.append(picture)
            nuclei.append(instances)
        return pictures, nuclei

    def describe(self, card: RunCard) -> RunCard:
        """Return the card with the head's classes and the images' scale."""
        return replace(
            card,
            class_names=_class_names(self.train, self._integer("MODEL.ROI_HEADS.NUM_CLASSES")),
            tile_px=typical_side_px(self.train),
            nucleus_diameter_px=median_diameter_px(self.train),
        )

    def write_config(self, folder: Path) -> None:
        """Write config.yaml."""
        write_text(folder / CONFIG_NAME, self._config.dump())
        _log.info("Full config saved to %s", folder / CONFIG_NAME)

    def _integer(self, key: str) -> int:
        return int(str(self._config.get(key)))

    def _make_mapper(self) -> Mapper[TrainingImage]:
        bgr = self._config.get("INPUT.FORMAT") == "BGR"
        if not self._settings.augmentation.enabled:
            return DetectronMapper(
                dataset=self.train,
                record_indices=self.record_indices,
                resize=ResizeChoice.from_config(self._config),
                bitmask=self._config.get("INPUT.MASK_FORMAT") == "bitmask",
                bgr=bgr,
            )
        if self._config.get("INPUT.MASK_FORMAT") != "bitmask":
            raise ConfigError("augmented masks are bitmaps: set bitmask", item="INPUT.MASK_FORMAT")
        return AugmentingMapper(
            dataset=self.train,
            record_indices=self.record_indices,
            augmentation=self._settings.augmentation,
            bgr=bgr,
        )

    def _plan(self, first_iteration: int) -> Iterable[list[Slot]]:
        balance = self._settings.balance
        if balance.source < 1 or balance.organ < 1:
            return BalancedPlan(
                weights=balanced_weights(self.train, self.record_indices, balance),
                crops_per_batch=self._integer("SOLVER.IMS_PER_BATCH"),
                seed=self.course.seed,
                first_iteration=first_iteration,
                last_iteration=self.course.iterations,
            )
        frames = [self.train.records[index].frame for index in self.record_indices]
        # Crops are square, whatever the images are.
        grouped = not self._settings.augmentation.enabled
        return BatchPlan(
            wide=tuple(frame.width_px > frame.height_px for frame in frames),
            images_per_batch=self._integer("SOLVER.IMS_PER_BATCH"),
            seed=self.course.seed,
            first_iteration=first_iteration,
            last_iteration=self.course.iterations,
            group_by_aspect=grouped and bool(self._config.get("DATALOADER.ASPECT_RATIO_GROUPING")),
        )

    def _first_batch(self) -> list[TrainingImage]:
        return next(load_parts(self._mapper, self._plan(0), _as_list, seed=self.course.seed, workers=0)).batch

    def _plain(self, part: Part[list[TrainingImage]]) -> dict[str, Any]:
        records = [self.train.records[self.record_indices[slot.record_index]] for slot in part.slots]
        return {
            "file_names": [record.file_name for record in records],
            "images": [image.image for image in part.batch],
            "boxes_xyxy": [image.boxes_xyxy for image in part.batch],
            "class_indices": [image.class_indices for image in part.batch],
        }


def _as_list(batch: Sequence[TrainingImage]) -> list[TrainingImage]:
    return list(batch)


def _class_names(dataset: CocoDataset, class_count: int) -> tuple[str, ...]:
    names = dataset.class_names
    return names + tuple(f"unused {index}" for index in range(len(names), class_count))
