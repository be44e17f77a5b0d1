"""Settings for 1 to 20 annotated images: a trained network whose encoder stays, minutes on a CPU."""

from __future__ import annotations

import math
from pathlib import Path

from nucleate.data import FoldSplit
from nucleate.errors import ConfigError
from nucleate.training.recipes import Recipe
from nucleate.training.splits import read_split, training_records
from nucleate.training.star_convex.settings import StarConvexRecipeSettings

_FEWEST_ITERATIONS, _PER_ROOT_IMAGE = 100, 30
_WHOLE_BODY = 5
"""MODEL.BACKBONE.FREEZE_AT of stem and all four stages."""


def count_images(data: Path, recipe: Recipe, fold: FoldSplit | None = None) -> int:
    """Return how many images a recipe would learn from.

    Raises:
        ConfigError: no such split.
        DataError: no data set, or none of its images has nuclei to learn from.
    """
    dataset = read_split(data, recipe.config, "DATASETS.TRAIN", fold=fold)
    if dataset is None or not training_records(dataset, recipe.config):
        raise ConfigError("no image to learn from", item="DATASETS.TRAIN")
    return len(training_records(dataset, recipe.config))


def iterations_for(images: int) -> int:
    """Return how long to train: 130 steps for 1 image, 167 for 5, 234 for 20.

    The decoder starts near its goal; what a longer training adds on so few images is what they alone show.
    """
    return round(_FEWEST_ITERATIONS + _PER_ROOT_IMAGE * math.sqrt(images))


def few_shot_overrides(recipe: Recipe, images: int, *, score_threshold: float | None) -> tuple[str, ...]:
    """Return `KEY=VALUE` overrides of a recipe, to stand before the user's own.

    Args:
        recipe: star-convex: the encoder and the statistics of all norms are frozen; a Mask R-CNN: the body is, whose
            norms are frozen in every recipe.
        images: annotated images to learn from, at least 1.
        score_threshold: of the model that it starts from, which holds where no validation split chooses; None keeps the
            recipe's.
    """
    common = (
        f"SOLVER.MAX_ITER={iterations_for(images)}",
        "SOLVER.WARMUP_ITERS=20",
        "SOLVER.CHECKPOINT_PERIOD=50",
        "TEST.EVAL_PERIOD=0",
        *(() if score_threshold is None else (f"score_threshold={score_threshold:g}",)),
    )
    if isinstance(recipe.settings, StarConvexRecipeSettings):
        return (*common, "SOLVER.BASE_LR=0.0003", "optimisation.fall_share=0.6", "frozen=true")
    return (
        *common,
        "SOLVER.BASE_LR=0.003",
        "SOLVER.LR_SCHEDULER_NAME=WarmupCosineLR",
        f"MODEL.BACKBONE.FREEZE_AT={_WHOLE_BODY}",
    )
