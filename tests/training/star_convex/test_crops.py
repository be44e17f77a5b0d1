from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.data import read_dataset
from nucleate.errors import ConfigError
from nucleate.models.star_convex.rays import RAYS
from nucleate.training.balancing import BalancedPlan, balanced_weights
from nucleate.training.settings import Balance
from nucleate.training.star_convex.appearance import vary_appearance
from nucleate.training.star_convex.crops import Crop, known_cells, take_crop
from nucleate.training.star_convex.images import AnnotatedImage, ImageStore
from nucleate.training.star_convex.mapping import CropMapper, collate, source_diameters_px
from nucleate.training.star_convex.pictures import pictured
from nucleate.training.star_convex.settings import Appearance, Geometry
from tests.training.test_session import write_coco


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("data") / "drawn set", rle=True)


@pytest.fixture(scope="module")
def image(data: Path) -> AnnotatedImage:
    return ImageStore(dataset=read_dataset(data, split="train"))[0]


def crop_of(image: AnnotatedImage, geometry: Geometry, *, magnification: float = 1.0, seed: int = 0) -> Crop:
    def itself(pixels: NDArray[np.uint8], source: AnnotatedImage, rng: np.random.Generator) -> NDArray[np.uint8]:
        return pixels

    rng = np.random.default_rng(seed)
    return take_crop(image, magnification, lambda: (image, magnification), geometry, itself, rng)


@pytest.mark.parametrize("seed", range(6))
def test_crop_and_targets_show_the_same_place(image: AnnotatedImage, seed: int) -> None:
    """The image is its own label map, drawn bright: wherever a cell says nucleus, the crop is bright."""
    bright = np.repeat(np.where(image.labels > 0, 250, 5).astype(np.uint8)[:, :, None], 3, axis=2)
    marked = AnnotatedImage(
        image_rgb=bright, labels=image.labels, depth=image.depth, stains_od=None, white_od=np.zeros(3)
    )
    crop = crop_of(marked, Geometry(crop_px=96, wide_share=0.0), seed=seed)
    seen = crop.image_rgb.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3, 4)) > 127
    known = known_cells(crop)
    assert known.mean() > 0.5
    assert (seen == (crop.labels > 0))[known].mean() > 0.97
    assert np.all((crop.depth > 0) == (crop.labels > 0))
    assert crop.distances_px.shape == crop.visible.shape == (np.count_nonzero(crop.labels > 0), RAYS)


def test_small_images_share_a_crop(image: AnnotatedImage) -> None:
    geometry = Geometry(crop_px=192, wide_share=0.0, free_rotation=0.0)
    crop = crop_of(image, geometry, magnification=0.8)
    corners = [crop.image_rgb[y, x].sum() for y in (20, 170) for x in (20, 170)]
    assert min(corners) > 0
    assert crop.image_rgb.shape == (192, 192, 3)


def test_pictured_targets_are_the_nuclei(image: AnnotatedImage) -> None:
    crop = crop_of(image, Geometry(crop_px=96, wide_share=0.0))
    nuclei = pictured(crop)
    assert len(nuclei) == len(np.unique(crop.labels[crop.labels > 0]))
    covered = np.zeros((96, 96), np.bool_)
    for index in range(len(nuclei)):
        covered |= nuclei.masks.full(index)
    labelled = np.kron(crop.labels > 0, np.ones((2, 2), np.bool_))
    assert (covered & labelled).sum() / (covered | labelled).sum() > 0.75


def test_untouched_colours_stay(image: AnnotatedImage) -> None:
    rng = np.random.default_rng(0)
    assert vary_appearance(image.image_rgb, image, Appearance(untouched=1.0), rng) is image.image_rgb


@pytest.mark.parametrize("seed", range(12))
def test_colours_vary_and_the_tissue_stays_visible(image: AnnotatedImage, seed: int) -> None:
    settings = Appearance(untouched=0.0, stain=1.0)
    varied = vary_appearance(image.image_rgb, image, settings, np.random.default_rng(seed))
    again = vary_appearance(image.image_rgb, image, settings, np.random.default_rng(seed))
    assert varied.dtype == np.uint8
    assert varied.shape == image.image_rgb.shape
    assert np.array_equal(varied, again)
    assert not np.array_equal(varied, image.image_rgb)
    inside, outside = image.labels > 0, image.labels == 0
    assert varied[inside].mean() < varied[outside].mean()


def test_images_beyond_the_budget_are_dropped_and_read_again(data: Path) -> None:
    store = ImageStore(dataset=read_dataset(data, split="train"), budget_bytes=100_000)
    first = store[0]
    assert store[0] is first
    store[1]
    again = store[0]
    assert again is not first
    assert np.array_equal(again.labels, first.labels)


def test_batches_hold_every_crops_cells(data: Path) -> None:
    dataset = read_dataset(data, split="train")
    mapper = CropMapper(
        dataset=dataset,
        record_indices=(0, 1, 2),
        magnifications={},
        geometry=Geometry(crop_px=64),
        appearance=Appearance(),
    )
    crops = [mapper(index, np.random.default_rng(index)) for index in range(3)]
    batch = collate(crops)
    assert batch.images.shape == (3, 3, 64, 64)
    assert len(batch.targets.cells) == sum(len(crop.distances_px) for crop in crops) == len(batch.targets.distances_px)
    assert bool((batch.targets.depth.flatten()[batch.targets.cells] > 0).all())
    assert source_diameters_px(dataset, (0, 1)).keys() == source_diameters_px(dataset, (0,)).keys()
    assert source_diameters_px(dataset, (2,)) == {}


def test_weights_balance_organs_and_add_up_to_one(data: Path) -> None:
    dataset = read_dataset(data, split="train")
    weights = balanced_weights(dataset, (0, 1, 2), Balance())
    assert sum(weights) == pytest.approx(1)
    assert len(set(weights)) == 1


def test_batches_do_not_depend_on_where_the_plan_starts() -> None:
    def plan(first: int) -> BalancedPlan:
        return BalancedPlan(weights=(0.5, 0.3, 0.2), crops_per_batch=4, seed=3, first_iteration=first, last_iteration=8)

    assert list(plan(0))[5:] == list(plan(5))
    assert len(plan(5)) == 3
    with pytest.raises(ConfigError, match="IMS_PER_BATCH"):
        BalancedPlan(weights=(1.0,), crops_per_batch=0, seed=1, first_iteration=0, last_iteration=1)
    with pytest.raises(ConfigError, match="no image"):
        BalancedPlan(weights=(), crops_per_batch=1, seed=1, first_iteration=0, last_iteration=1)
