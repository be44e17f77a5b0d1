"""A Mask R-CNN's run folder for Detectron2, and Detectron2's for this package; no bit of a weight is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nucleate.errors import CheckpointError, ConfigError
from nucleate.files import write_path, write_text
from nucleate.models.checkpoints import (
    FINAL_NAME,
    LAST_NAME,
    find_weights,
    load_strictly,
    read_torch_file,
    read_weights,
)
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn import MaskRCNN
from nucleate.models.mask_rcnn.segmenter import default_class_names
from nucleate.models.mask_rcnn.stored_networks import config_beside
from nucleate.models.run_card import CARD_NAME, RunCard

DETECTRON2_BACKBONE = "build_resnet_fpn_backbone"
_MARK = "converted"
_DETECTRON2 = "detectron2"


def is_detectron2_folder(folder: Path) -> bool:
    """Return whether a folder is Detectron2's own, or was converted for it."""
    return not (folder / CARD_NAME).is_file() or RunCard.read(folder).settings.get(_MARK) == _DETECTRON2


def write_detectron2_folder(folder: Path, output: Path) -> tuple[Path, str]:
    """Write a run's weights, and its card, as Detectron2 loads them; config.yaml is the caller's to copy.

    Args:
        folder: a run folder.
        output: an existing folder.

    Returns:
        The checkpoint, and one line about it.

    Raises:
        CheckpointError: no weights, damaged ones, or no configuration.
        ConfigError: a network that Detectron2 does not have.
    """
    card = RunCard.read(folder)
    if card.network != "mask-rcnn":
        raise ConfigError(f"{folder.name} is a {card.network} network, which Detectron2 does not have")
    weights = find_weights(folder)
    config = config_beside(weights)
    backbone = config.get("MODEL.BACKBONE.NAME")
    if backbone != DETECTRON2_BACKBONE:
        raise ConfigError(
            f"{backbone!r}: Detectron2 does not have this backbone, so it can't build the network; runs of the recipes"
            f" mask-rcnn-detectron2 and mask-rcnn-dense ({DETECTRON2_BACKBONE}) can be converted",
            item="MODEL.BACKBONE.NAME",
        )
    count = _write(weights, config, output)
    if (folder / CARD_NAME).is_file():
        replace(card, settings={**card.settings, _MARK: _DETECTRON2}).write(output)
    return output / FINAL_NAME, f"{count} float32 tensors under Detectron2's names{_differences(card, config)}"


def write_model_folder(folder: Path, output: Path) -> tuple[Path, str]:
    """Write the weights of Detectron2's folder, and a card; config.yaml is the caller's to copy.

    Args:
        folder: a folder of Detectron2's, or one that was converted for it.
        output: an existing folder.

    Returns:
        The checkpoint, and one line about it.

    Raises:
        CheckpointError: no weights, damaged ones, or no configuration.
        ConfigError: a network that is not built.
    """
    weights = find_weights(folder)
    config = config_beside(weights)
    count = _write(weights, config, output)
    card = RunCard.read(folder)
    if (folder / CARD_NAME).is_file():
        card = replace(card, settings={name: value for name, value in card.settings.items() if name != _MARK})
    else:
        classes = int(str(config.get("MODEL.ROI_HEADS.NUM_CLASSES")))
        card = replace(card, class_names=default_class_names(classes))
    card.write(output)
    return output / FINAL_NAME, f"{count} float32 tensors as they were, and a card"


def _write(weights: Path, config: DetectronConfig, output: Path) -> int:
    """Write the checkpoint that a configuration's network takes; return its number of tensors."""
    stored = read_weights(weights)
    load_strictly(MaskRCNN.from_config(config), stored)
    model = {name: each.float() if each.is_floating_point() else each for name, each in stored.tensors.items()}
    content: dict[str, Any] = {"model": model, **_training_state(weights)}
    with write_path(output / FINAL_NAME) as temporary:
        torch.save(content, temporary)
    write_text(output / LAST_NAME, FINAL_NAME)
    return len(model)


def _training_state(weights: Path) -> dict[str, Any]:
    """Return what Detectron2 resumes from; nothing where the optimiser is missing or stepped other weights."""
    content = None if weights.suffix == ".pkl" else read_torch_file(weights)
    trainer = content.get("trainer") if isinstance(content, dict) else None
    if not isinstance(trainer, dict) or "_trainer" not in trainer or "stepped" in trainer:
        return {}
    if "iteration" not in trainer:
        raise CheckpointError("holds half a training's state", path=weights)
    return {"trainer": trainer, "iteration": trainer["iteration"]}


def _differences(card: RunCard, config: DetectronConfig) -> str:
    """Return what the run does with images before the network and Detectron2 does not."""
    said = []
    if card.tile_px is not None:
        said.append(
            f"the detections are the same for images whose shorter side is {card.tile_px} px, since Detectron2 brings"
            f" every shorter side to {config.get('INPUT.MIN_SIZE_TEST')} px"
        )
    if card.magnification != 1.0:
        said.append(f"resize images by {card.magnification:g} before")
    if card.stain is not None:
        said.append("normalise their stain before, as nucleate.yaml says")
    return "".join(f"; {each}" for each in said)
