"""A training of registered data sets by the engine: its request, its task, its card."""

from __future__ import annotations

from pathlib import Path

import torch

from nucleate.data import CocoDataset
from nucleate.detectron2.config import CfgNode, detectron_config
from nucleate.detectron2.data.registered import registered_dataset
from nucleate.detectron2.errors import NotBuiltError
from nucleate.detectron2.modeling import GeneralizedRCNN
from nucleate.errors import ConfigError
from nucleate.files import write_text
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.run_card import DataSummary, RunCard, current_versions
from nucleate.training import Recipe, TrainingRequest
from nucleate.training.mask_rcnn.settings import Augmentation, MaskRCNNRecipeSettings
from nucleate.training.mask_rcnn.task import MaskRCNNTask
from nucleate.training.run_folder import CONFIG_NAME

_RECIPE = "detectron2"


class RegisteredTask(MaskRCNNTask):
    """The engine's task with its images from the catalogues, as they are named in DATASETS.TRAIN."""

    network_class = GeneralizedRCNN

    def read_split(self, config: DetectronConfig, key: str) -> CocoDataset | None:
        """Return the images of DATASETS.TRAIN; those of DATASETS.TEST are the evaluators' affair."""
        if key != "DATASETS.TRAIN":
            return None
        names = [str(name) for name in _tuple(config.get(key))]
        if not names:
            raise ConfigError("names no data set to train on", item=key)
        return registered_dataset(names, self._request.output / "inference").dataset

    def write_config(self, folder: Path) -> None:
        """Write config.yaml, with the weights named as the user named them."""
        named = self._request.recipe.config.get("MODEL.WEIGHTS")
        write_text(folder / CONFIG_NAME, self._config.with_overrides({"MODEL.WEIGHTS": named}).dump())


def request_of(cfg: CfgNode, device: torch.device, *, weights: Path | None, resume: bool) -> TrainingRequest:
    """Return what the engine is asked for: every key as the configuration has it, Detectron2's own mapper.

    Raises:
        ConfigError: the configuration asks for something that is not built.
    """
    config = detectron_config(cfg)
    _check_built(config)
    settings = MaskRCNNRecipeSettings(
        augmentation=Augmentation(enabled=False), precision="bf16" if config.get("SOLVER.AMP.ENABLED") else "fp32"
    )
    recipe = Recipe(
        name=_RECIPE,
        about="A configuration of Detectron2's.",
        config=config,
        settings=settings,
        explicit_keys=frozenset(config.values),
    )
    output = Path(str(config.get("OUTPUT_DIR")))
    return TrainingRequest(data=output, recipe=recipe, output=output, weights=weights, resume=resume, device=device)


def card_of(cfg: CfgNode, task: MaskRCNNTask, origin: str) -> RunCard:
    """Return the card of a run: classes and data; images are taken whole, as Detectron2 takes them."""
    train = task.train
    spare = range(len(train.class_names), int(cfg.MODEL.ROI_HEADS.NUM_CLASSES))
    return RunCard(
        name=Path(cfg.OUTPUT_DIR).name,
        recipe=_RECIPE,
        class_names=(*train.class_names, *(f"unused {index}" for index in spare)),
        score_threshold_from="default; nothing was chosen on a validation split",
        data=DataSummary(
            path=train.annotations_path.as_posix(),
            fingerprint=train.fingerprint,
            images=len(task.record_indices),
            nuclei=train.nuclei,
        ),
        magnification=train.magnification,
        stain=train.stain,
        settings={"weights": origin},
        versions=current_versions(),
    )


def _check_built(config: DetectronConfig) -> None:
    for key, built in (
        ("DATALOADER.SAMPLER_TRAIN", "TrainingSampler"),
        ("TEST.EXPECTED_RESULTS", ()),
        ("DATASETS.PROPOSAL_FILES_TRAIN", ()),
        ("VIS_PERIOD", 0),
        ("FLOAT32_PRECISION", ""),
    ):
        if config.get(key) != built:
            raise NotBuiltError(f"{config.get(key)!r} is not built; built: {built!r}", item=key)


def _tuple(value: object) -> tuple[object, ...]:
    assert isinstance(value, tuple)
    return value
