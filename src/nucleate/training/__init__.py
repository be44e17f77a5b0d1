"""Training: recipes, augmentation, the loop, the run folder. Needs the extra `train`."""

from __future__ import annotations

from nucleate.training.recipes import Recipe, load_recipe, recipe_names
from nucleate.training.session import TrainingResult, run_training
from nucleate.training.task import TrainingRequest

__all__ = ["Recipe", "TrainingRequest", "TrainingResult", "load_recipe", "recipe_names", "run_training"]
