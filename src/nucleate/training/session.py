"""One training from data set to run folder: the recipe made concrete, the network started, the loop run, the card."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nucleate.data import CocoDataset
from nucleate.errors import ConfigError, ResultsError, TrainingError
from nucleate.evaluation import EvaluationSettings, choose_score_threshold, detectron2_messages, detectron2_scores
from nucleate.evaluation import evaluate_predictions as score_predictions
from nucleate.export import write_coco_results
from nucleate.files import write_image, write_text
from nucleate.inference import InferenceSettings, predict_dataset
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import MaskRCNN, TrainingImage
from nucleate.models.mask_rcnn.segmenter import MaskRCNNSegmenter
from nucleate.models.mask_rcnn.solver import SolverSettings, build_optimizer
from nucleate.models.run_card import DataSummary, RunCard, current_versions
from nucleate.training.configuring import configure, read_split, training_records, typical_side_px
from nucleate.training.detectron2_mapping import DetectronMapper, ResizeChoice
from nucleate.training.events import EventLog
from nucleate.training.loading import Mapper, image_rng, load_batches
from nucleate.training.loop import LoopHooks, LoopSettings, run_loop
from nucleate.training.mapping import AugmentingMapper
from nucleate.training.pictures import contact_sheet, pictured
from nucleate.training.precision import resolve_precision
from nucleate.training.recipes import Recipe
from nucleate.training.run_folder import CONFIG_NAME, TrainingState, last_checkpoint, read_state
from nucleate.training.sampling import BatchPlan, Slot
from nucleate.training.starts import start_network

_log = logging.getLogger(__name__)
_AUGMENTED_SAMPLES = 16
# Decided by how a run started: asking again without its --weights must not thaw what was frozen.
_KEPT_ON_RESUME = ("SEED", "MODEL.WEIGHTS", "MODEL.BACKBONE.FREEZE_AT")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What to train.

    Attributes:
        data: a folder that `prepare` made, or one COCO file.
        recipe: with the user's overrides.
        output: the run folder.
        weights: a checkpoint to start from.
        resume: go on from `last_checkpoint`.
        device: where.
    """

    data: Path
    recipe: Recipe
    output: Path
    weights: Path | None
    resume: bool
    device: torch.device


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a training left.

    Attributes:
        card: the run's card.
        iterations: done in all.
        final_losses: of the last line of metrics.json, by name.
        scores: of the last evaluation on the validation split, by Detectron2's names; empty without one.
    """

    card: RunCard
    iterations: int
    final_losses: Mapping[str, float]
    scores: Mapping[str, float]


def run_training(
    request: TrainingRequest, on_start: Callable[[int, int], None], on_iteration: Callable[[int, float], None]
) -> TrainingResult:
    """Train and leave a run folder.

    Args:
        request: what.
        on_start: called with the first iteration and their number, for a progress bar.
        on_iteration: called with the number of iterations done and the total loss.

    Raises:
        ConfigError: settings that don't fit each other or the data.
        DataError: unreadable data.
        ResultsError: the folder holds another run.
        TrainingError: nothing to resume, or the training diverged.
    """
    session = _Session(request)
    return session.run(on_start, on_iteration)


class _Session:
    """The parts of one training, made in the order that they need each other."""

    def __init__(self, request: TrainingRequest) -> None:
        self._request = request
        recipe, settings = request.recipe, request.recipe.settings
        if settings.threads:
            torch.set_num_threads(settings.threads)
        resumed = self._resumed_config()
        train = read_split(request.data, recipe.config, "DATASETS.TRAIN")
        assert train is not None
        self._train = train
        from_nothing = request.weights is None and settings.start == "none"
        config = configure(recipe, train, request.output, weights=request.weights, from_nothing=from_nothing)
        if resumed is not None:
            config = config.with_overrides({key: resumed.get(key) for key in _KEPT_ON_RESUME})
        self._config = config.with_overrides({"MODEL.DEVICE": request.device.type})
        self._validation = read_split(request.data, config, "DATASETS.TEST")
        self._solver = SolverSettings.from_config(self._config)
        self._seed = int(str(self._config.get("SEED")))
        self._records = training_records(train, self._config)
        self._mapper = self._make_mapper()
        self._threshold = (settings.score_threshold, "the recipe's setting; no validation split chose")
        self._scores: dict[str, float] = {}

    def run(self, on_start: Callable[[int, int], None], on_iteration: Callable[[int, float], None]) -> TrainingResult:
        request, folder = self._request, self._request.output
        torch.manual_seed(self._seed)
        network = MaskRCNN.from_config(self._config)
        if request.recipe.settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        first_iteration, origin, state = 0, "", None
        if request.resume:
            state = self._read_state()
            first_iteration, origin = state.iteration + 1, RunCard.read(folder).settings.get("weights", "")
            if first_iteration >= self._solver.max_iterations:
                raise TrainingError(
                    f"{first_iteration} iterations are done: raise SOLVER.MAX_ITER (now {self._solver.max_iterations})",
                    path=folder,
                )
            network.load_state_dict(state.model)
        else:
            origin = start_network(network, request.recipe.settings, request.weights, self._first_batch)
        network.to(request.device)
        optimizer = build_optimizer(network, self._solver)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        if state is not None:
            optimizer.load_state_dict(state.optimizer)
            for group in optimizer.param_groups:
                group["initial_lr"] = self._solver.base_lr
            _log.info("resumed after %d iterations", first_iteration)
        autocast, why = resolve_precision(request.recipe.settings.precision, request.device)
        _log.info("%s", why)
        card = self._write_start(origin)
        on_start(first_iteration, self._solver.max_iterations)
        with EventLog(folder, first_iteration=first_iteration, last_iteration=self._solver.max_iterations) as events:
            events.put_picture("augmented", first_iteration, self._write_samples())
            settings = LoopSettings(
                folder=folder,
                solver=self._solver,
                first_iteration=first_iteration,
                checkpoint_period=int(str(self._config.get("SOLVER.CHECKPOINT_PERIOD"))),
                evaluation_period=int(str(self._config.get("TEST.EVAL_PERIOD"))),
                autocast=autocast,
                seed=self._seed,
            )
            evaluate = None
            if self._validation is not None:
                evaluate = self._evaluation_hook(network, self._validation, events)
            hooks = LoopHooks(on_iteration=on_iteration, evaluate=evaluate)
            run_loop(network, optimizer, self._batches(first_iteration), settings, events, hooks)
            losses = events.latest()
        card = replace(card, score_threshold=self._threshold[0], score_threshold_from=self._threshold[1])
        card.write(folder)
        return TrainingResult(
            card=card, iterations=self._solver.max_iterations, final_losses=losses, scores=self._scores
        )

    def _resumed_config(self) -> DetectronConfig | None:
        """Return the configuration of the run that is resumed; refuse a folder that holds a run otherwise."""
        folder = self._request.output
        config_path = folder / CONFIG_NAME
        if self._request.resume:
            if last_checkpoint(folder) is None:
                raise TrainingError("no last_checkpoint here to resume from: leave --resume out", path=folder)
            return DetectronConfig.load(config_path)
        if config_path.exists() or (folder / "metrics.json").exists():
            raise ResultsError("holds a run already: go on with --resume, or choose another --output", path=folder)
        return None

    def _read_state(self) -> TrainingState:
        path = last_checkpoint(self._request.output)
        assert path is not None
        return read_state(path)

    def _make_mapper(self) -> Mapper:
        settings = self._request.recipe.settings
        bgr = self._config.get("INPUT.FORMAT") == "BGR"
        if not settings.augmentation.enabled:
            return DetectronMapper(
                dataset=self._train,
                record_indices=self._records,
                resize=ResizeChoice.from_config(self._config),
                bitmask=self._config.get("INPUT.MASK_FORMAT") == "bitmask",
                bgr=bgr,
            )
        if self._config.get("INPUT.MASK_FORMAT") != "bitmask":
            raise ConfigError("augmented masks are bitmaps: set bitmask", item="INPUT.MASK_FORMAT")
        return AugmentingMapper(
            dataset=self._train, record_indices=self._records, augmentation=settings.augmentation, bgr=bgr
        )

    def _plan(self, first_iteration: int) -> BatchPlan:
        frames = [self._train.records[index].frame for index in self._records]
        # Crops are square, whatever the images are.
        grouped = not self._request.recipe.settings.augmentation.enabled
        return BatchPlan(
            wide=tuple(frame.width_px > frame.height_px for frame in frames),
            images_per_batch=int(str(self._config.get("SOLVER.IMS_PER_BATCH"))),
            seed=self._seed,
            first_iteration=first_iteration,
            last_iteration=self._solver.max_iterations,
            group_by_aspect=grouped and bool(self._config.get("DATALOADER.ASPECT_RATIO_GROUPING")),
        )

    def _batches(self, first_iteration: int) -> Iterator[list[TrainingImage]]:
        workers = int(str(self._config.get("DATALOADER.NUM_WORKERS")))
        return load_batches(self._mapper, self._plan(first_iteration), workers=workers)

    def _first_batch(self) -> list[TrainingImage]:
        return next(load_batches(self._mapper, self._plan(0), workers=0))

    def _write_start(self, origin: str) -> RunCard:
        folder = self._request.output
        write_text(folder / CONFIG_NAME, self._config.dump())
        card = self._card(origin)
        card.write(folder)
        _log.info("Full config saved to %s", folder / CONFIG_NAME)
        _log.info(
            "%d images, %d nuclei to train on; %s",
            len(self._records),
            self._train.nuclei,
            f"{len(self._validation)} to validate" if self._validation else "none to validate",
        )
        return card

    def _card(self, origin: str) -> RunCard:
        recipe = self._request.recipe
        settings: dict[str, Any] = {
            "command": shlex.join(["nucleate", *sys.argv[1:]]),
            "weights": origin,
            **_plain(dataclasses.asdict(recipe.settings)),
        }
        return RunCard(
            name=self._request.output.name,
            recipe=recipe.name,
            class_names=_class_names(self._train, int(str(self._config.get("MODEL.ROI_HEADS.NUM_CLASSES")))),
            tile_px=typical_side_px(self._train),
            nucleus_diameter_px=_median_diameter_px(self._train),
            score_threshold=self._threshold[0],
            score_threshold_from=self._threshold[1],
            magnification=self._train.magnification,
            stain=self._train.stain,
            data=DataSummary(
                path=self._request.data.as_posix(),
                fingerprint=self._train.fingerprint,
                images=len(self._records),
                nuclei=self._train.nuclei,
            ),
            settings=settings,
            versions=current_versions(),
        )

    def _write_samples(self) -> Any:
        pictures, nuclei = [], []
        for position in range(min(_AUGMENTED_SAMPLES, len(self._records))):
            index = position * len(self._records) // min(_AUGMENTED_SAMPLES, len(self._records))
            slot = Slot(iteration=0, position=position, record_index=index)
            sample = self._mapper(index, image_rng(self._seed, slot))
            picture, instances = pictured(sample, bgr=self._config.get("INPUT.FORMAT") == "BGR")
            pictures.append(picture)
            nuclei.append(instances)
        sheet = contact_sheet(pictures, nuclei)
        write_image(self._request.output / "pictures" / "augmented.png", sheet)
        return sheet

    def _evaluation_hook(self, network: MaskRCNN, dataset: CocoDataset, events: EventLog) -> Callable[[int], None]:
        def evaluate(iterations: int) -> None:
            segmenter = MaskRCNNSegmenter.from_network(network).at_scale_of(typical_side_px(self._train))
            # The split's images are the training's: normalised alike, of the same scale, never tiled.
            predictions = predict_dataset(segmenter, dataset, InferenceSettings(score_threshold=0.0))
            threshold = choose_score_threshold(dataset, predictions)
            evaluation = score_predictions(dataset, predictions, EvaluationSettings(score_threshold=threshold))
            results = self._request.output / "inference" / "coco_instances_results.json"
            write_coco_results(results, predictions, category_ids=dataset.category_ids)
            for name, message in detectron2_messages(evaluation):
                logging.getLogger(f"nucleate.{name}").info("%s", message)
            pq = evaluation.overall.scores.pq
            _log.info("validation: PQ %.2f at score threshold %.2f, chosen here by PQ", pq, threshold)
            self._threshold = (threshold, f"best mean PQ ({pq:.2f}) on {len(dataset)} validation images")
            self._scores = {**detectron2_scores(evaluation), "PQ": pq}
            events.put_evaluation(iterations, detectron2_scores(evaluation))

        return evaluate


def _class_names(dataset: CocoDataset, class_count: int) -> tuple[str, ...]:
    names = dataset.class_names
    return names + tuple(f"unused {index}" for index in range(len(names), class_count))


def _median_diameter_px(dataset: CocoDataset) -> float | None:
    areas = [dataset.annotations(record).instances.masks.areas_px() for record in dataset.records]
    every = np.concatenate(areas) if areas else np.zeros(0)
    return round(float(np.median(2 * np.sqrt(every / np.pi))), 1) if len(every) else None


def _plain(value: Any) -> Any:
    """Return settings as the lists and names that YAML holds."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
