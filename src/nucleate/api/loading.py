"""Which engine answers to a model's name or folder."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from nucleate.errors import ConfigError, MissingExtraError
from nucleate.inference import Segmenter
from nucleate.models.run_card import CARD_NAME, RunCard
from nucleate.models.star_convex.onnx_engine import DEFAULT_ENGINE, EngineSettings

DEFAULT_MODEL = "nucleate-he"
SHIPPED_MODELS = (DEFAULT_MODEL, "nucleate-mask-rcnn")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A network ready to segment, and what is known of it.

    Attributes:
        segmenter: images in, instances out.
        card: its run card.
        folder: where its files are; None for one made in Python.
    """

    segmenter: Segmenter
    card: RunCard
    folder: Path | None = None


def model_folder(model: str | Path) -> Path:
    """Return the folder of a run, or of a model in the package by its name.

    Raises:
        ConfigError: neither a folder nor a known name.
    """
    path = Path(model)
    if path.is_dir():
        return path
    if str(model) in SHIPPED_MODELS:
        return Path(str(resources.files("nucleate.models") / "weights" / str(model)))
    raise ConfigError(f"{model}: neither a run folder nor a model; models: {', '.join(SHIPPED_MODELS)}")


def checkpoint_file(model: str | Path) -> Path | None:
    """Return the checkpoint of a run folder that is named instead of the folder; None where none is."""
    path = Path(model)
    return path if path.suffix == ".pth" and path.is_file() else None


def _best_card(card: RunCard) -> RunCard:
    best = card.best
    return replace(
        card,
        name=f"{card.name} (best)",
        score_threshold=float(best["score_threshold"]),
        score_threshold_from=f"best mean PQ after {best['iterations']} iterations, on the validation images",
        iterations=int(best["iterations"]),
    )


def load_model(
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    *,
    engine: EngineSettings = DEFAULT_ENGINE,
    accurate: bool = False,
) -> LoadedModel:
    """Load a model by name or run folder.

    Args:
        model: a name in `SHIPPED_MODELS`, a folder with config.yaml and weights (ours or Detectron2's), or one of its
            checkpoints, `RUN/model_best.pth`.
        device: "cpu", "cuda", "mps"; None takes the best there is.
        engine: precision, threads and streams of a network that runs without torch.
        accurate: average a star-convex network over flips and turns of each image, at eight times the cost.

    Raises:
        ConfigError: no such model, or a network that is not averaged.
        CheckpointError: the folder is incomplete or damaged.
        MissingExtraError: the engine's libraries are not installed.
    """
    weights = checkpoint_file(model)
    folder = model_folder(model) if weights is None else weights.parent
    card = RunCard.read(folder)
    if weights is not None and weights.name == card.best.get("file"):
        card = _best_card(card)
    if card.network == "star-convex":
        from nucleate.models.star_convex.loading import load_star_convex
        from nucleate.models.star_convex.segmenter import TILE_PX

        card = replace(card, tile_px=card.tile_px or TILE_PX)
        outlines = load_star_convex(folder, card, device, engine, accurate=accurate, weights=weights)
        return LoadedModel(segmenter=outlines, card=card, folder=folder)
    if accurate:
        raise ConfigError("only star-convex networks are averaged over flips and turns", item=card.name)
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(f"the Mask R-CNN {folder.name!r}", "train")
    from nucleate.models.devices import parse_device
    from nucleate.models.mask_rcnn import PredictionSettings
    from nucleate.models.mask_rcnn.segmenter import MaskRCNNSegmenter

    has_card = (folder / CARD_NAME).is_file()
    segmenter = MaskRCNNSegmenter.load(
        weights or folder,
        parse_device(device),
        class_names=card.class_names if has_card else None,
        settings=PredictionSettings(channels_last=bool(card.settings.get("channels_last", False))),
    )
    if card.tile_px is not None:
        segmenter = segmenter.at_scale_of(card.tile_px)
    if not has_card:
        card = replace(card, class_names=segmenter.class_names)
    return LoadedModel(segmenter=segmenter, card=card, folder=folder)
