"""Where a training starts: weights by name, what they ask of the configuration, settings for few images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.api.loading import SHIPPED_MODELS, model_folder
from nucleate.assets.weights import PublishedWeights, find_weights, recognised_weights
from nucleate.data import FoldSplit
from nucleate.errors import ConfigError
from nucleate.models.run_card import CARD_NAME, RunCard
from nucleate.models.star_convex.loading import ONNX_NAME

if TYPE_CHECKING:
    from nucleate.training import Recipe

_FEW_SHOT_MODELS = {"star-convex": "nucleate-he", "mask-rcnn-cpu": "nucleate-mask-rcnn"}
"""The package's model of each recipe that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """What a training starts from, and on which images.

    Attributes:
        weights: A checkpoint to start from: ours, Detectron2's .pth or .pkl, a run folder, or a name that
            `nucleate models` lists.
        few_shot: For 1 to 20 annotated images: a trained network whose encoder stays, a few minutes on a CPU. Without
            weights it starts from the package's model of the recipe.
        cross_validate: Name of folds in DATA/folds (`prepare --folds`): train on each in turn, by its own images, score
            its test images once, and report mean and deviation.
        fold: With --cross-validate: this fold alone, from 0.
    """

    weights: str | None = None
    few_shot: bool = False
    cross_validate: str | None = None
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.fold is not None and self.cross_validate is None:
            raise ConfigError("--fold says which of the folds to train: name them with --cross-validate")


DEFAULT_SETTINGS = TrainSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStart:
    """A recipe with all that the start decides.

    Attributes:
        recipe: with the user's overrides.
        weights: the file; None for the recipe's own start.
        published: what is known of weights that others publish.
    """

    recipe: Recipe
    weights: Path | None
    published: PublishedWeights | None


def training_start(
    data: Path,
    recipe: str,
    overrides: Sequence[str],
    settings: TrainSettings,
    *,
    resume: bool = False,
    fold: FoldSplit | None = None,
) -> TrainingStart:
    """Return the recipe and the weights of a training.

    Raises:
        ConfigError: an unknown recipe, key or name, weights that ask for another configuration, or no model to start
            from where few images need one.
        DataError: unreadable data.
        DownloadError: weights that could not be fetched.
    """
    from nucleate.training import load_recipe
    from nucleate.training.few_shot import count_images, few_shot_overrides
    from nucleate.training.star_convex.settings import StarConvexRecipeSettings

    loaded = load_recipe(recipe, overrides)
    name = settings.weights
    if name is None and "MODEL.WEIGHTS" in loaded.explicit_keys:
        name = str(loaded.config.get("MODEL.WEIGHTS")) or None
    if name is None and settings.few_shot and (recipe in _FEW_SHOT_MODELS or not resume):
        # Resumed, it is asked for its score threshold alone.
        name = _few_shot_model(recipe)
    published = None if name is None else recognised_weights(name)
    if published is not None and isinstance(loaded.settings, StarConvexRecipeSettings):
        raise ConfigError(f"{published.name} belongs to a Mask R-CNN, the recipe {recipe} has another network")
    weights = None if name is None else _weights_file(name)
    first = [] if published is None else [f"{key}={value}" for key, value in published.config.items()]
    if settings.few_shot:
        threshold = None if weights is None else _threshold_beside(weights)
        images = count_images(data, loaded, fold)
        first += few_shot_overrides(loaded, images, score_threshold=threshold)
    if first:
        loaded = load_recipe(recipe, [*first, *overrides])
    if published is not None:
        published.check(loaded.config.get)
    return TrainingStart(recipe=loaded, weights=weights, published=published)


def _few_shot_model(recipe: str) -> str:
    if recipe not in _FEW_SHOT_MODELS:
        raise ConfigError(
            f"--few-shot starts from a trained network and the package has none of the recipe {recipe}: give --weights"
            f" (a run of it, or a name: `nucleate models`), or take --recipe {' or '.join(_FEW_SHOT_MODELS)}"
        )
    return _FEW_SHOT_MODELS[recipe]


def _weights_file(name: str) -> Path:
    if name in SHIPPED_MODELS and not Path(name).exists():
        return _in_folder(model_folder(name))
    return _in_folder(Path(name)) if Path(name).is_dir() else find_weights(name)


def _in_folder(folder: Path) -> Path:
    from nucleate.models.checkpoints import find_weights as find_in_folder

    exported = folder / ONNX_NAME
    return exported if exported.is_file() else find_in_folder(folder)


def _threshold_beside(weights: Path) -> float | None:
    """Return the score threshold of the model that the weights belong to, None where nothing tells."""
    folder = weights.parent
    return RunCard.read(folder).score_threshold if (folder / CARD_NAME).is_file() else None
