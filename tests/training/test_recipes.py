from __future__ import annotations

import pytest

from nucleate.errors import ConfigError
from nucleate.models.mask_rcnn import MaskRCNNSettings
from nucleate.models.mask_rcnn.solver import SolverSettings
from nucleate.training.mask_rcnn.settings import MaskRCNNRecipeSettings
from nucleate.training.recipes import load_recipe, recipe_names
from nucleate.training.settings import settings_from_tree


def test_the_recipes_are_the_documented_four() -> None:
    assert recipe_names() == ("mask-rcnn-cpu", "mask-rcnn-dense", "mask-rcnn-detectron2", "star-convex")


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("mask-rcnn")])
def test_every_mask_rcnn_recipe_is_a_network_and_a_solver_that_are_built(name: str) -> None:
    recipe = load_recipe(name)
    MaskRCNNSettings.from_config(recipe.config)
    SolverSettings.from_config(recipe.config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SOLVER.IMS_PER_BATCH", 2),
        ("SOLVER.BASE_LR", 0.00025),
        ("SOLVER.MAX_ITER", 1500),
        ("SOLVER.STEPS", ()),
        ("SOLVER.WARMUP_ITERS", 1000),
        ("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 256),
        ("DATALOADER.NUM_WORKERS", 2),
        ("DATASETS.TEST", ()),
        ("TEST.DETECTIONS_PER_IMAGE", 100),
        ("INPUT.MIN_SIZE_TRAIN", (640, 672, 704, 736, 768, 800)),
        ("MODEL.BACKBONE.FREEZE_AT", 2),
    ],
)
def test_the_literal_recipe_has_the_originals_numbers(key: str, value: object) -> None:
    assert load_recipe("mask-rcnn-detectron2").config.get(key) == value


def test_the_dense_recipe_raises_every_cap() -> None:
    config = load_recipe("mask-rcnn-dense").config
    assert config.get("MODEL.ANCHOR_GENERATOR.SIZES") == ((8,), (16,), (32,), (64,), (128,))
    assert config.get("TEST.DETECTIONS_PER_IMAGE") == 1000
    assert config.get("MODEL.RPN.POST_NMS_TOPK_TEST") == 2000
    assert config.get("DATALOADER.FILTER_EMPTY_ANNOTATIONS") is False


def test_upper_case_overrides_are_detectron2s_and_lower_case_ones_ours() -> None:
    recipe = load_recipe(
        "mask-rcnn-cpu", ["SOLVER.MAX_ITER=7", "augmentation.crop_px=256", "augmentation.scale=[1, 2]"]
    )
    assert recipe.config.get("SOLVER.MAX_ITER") == 7
    assert isinstance(recipe.settings, MaskRCNNRecipeSettings)
    assert recipe.settings.augmentation.crop_px == 256
    assert recipe.settings.augmentation.scale == (1.0, 2.0)
    assert "SOLVER.MAX_ITER" in recipe.explicit_keys


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("SOLVER.MAX_ITERS=7", "SOLVER.MAX_ITERS"),
        ("augmentation.crop=7", "augmentation.crop: no such setting"),
        ("augmentation.crop_px=large", "augmentation.crop_px"),
        ("augmentation.crop_px.x=1", "single value"),
        ("SOLVER.MAX_ITER", "write KEY=VALUE"),
        ("precision=fp64", "one of fp32, bf16, fp16, auto"),
        ("augmentation.scale=[2, 1]", "the lower first"),
        ("augmentation=3", "settings by name"),
        ("augmentation.horizontal_flip=2", "between 0 and 1"),
    ],
)
def test_a_wrong_override_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("mask-rcnn-cpu", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="mask-rcnn-cpu, mask-rcnn-dense"):
        load_recipe("mask-rcnn")


def test_settings_of_nothing_are_the_defaults() -> None:
    assert settings_from_tree(MaskRCNNRecipeSettings, {}).precision == "fp32"
