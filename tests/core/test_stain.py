from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.core.stain import (
    MACENKO_REFERENCE,
    LabStatistics,
    StainMatrix,
    StainNormalisation,
    fit_macenko,
    fit_reinhard,
    median_statistics,
    od_to_rgb,
    rgb_to_od,
)
from nucleate.errors import ConfigError
from tests.synthetic import EOSIN_OD, HAEMATOXYLIN_OD, draw_he

# Other laboratories' stains: bluer, and redder.
BLUE_OD = np.array([0.75, 0.62, 0.24]) / np.linalg.norm([0.75, 0.62, 0.24])
RED_OD = np.array([0.20, 0.95, 0.24]) / np.linalg.norm([0.20, 0.95, 0.24])
GLASS = np.full((64, 64, 3), 245, np.uint8)
LAB = LabStatistics(mean=(60.0, 20.0, -10.0), deviation=(12.0, 8.0, 6.0))


def degrees_between(first: Any, second: Any) -> float:
    return float(np.degrees(np.arccos(np.clip(np.dot(first, second), -1, 1))))


def fitted(image: NDArray[np.uint8]) -> StainMatrix:
    matrix = fit_macenko(image)
    assert matrix is not None
    return matrix


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stains", [(HAEMATOXYLIN_OD, EOSIN_OD), (BLUE_OD, RED_OD)])
def test_fitted_vectors_lie_within_5_degrees_of_those_drawn(
    seed: int, stains: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    matrix = fitted(draw_he(seed=seed, height_px=256, width_px=256, nuclei=40, stain_od=stains).image_rgb)
    assert degrees_between(matrix.haematoxylin_od, stains[0]) < 5
    assert degrees_between(matrix.eosin_od, stains[1]) < 5


def test_densities_come_back_as_the_image() -> None:
    image = np.arange(1, 193, dtype=np.uint8).reshape(8, 8, 3)
    assert np.array_equal(od_to_rgb(rgb_to_od(image)), image)


def test_white_has_no_density_and_black_counts_as_one() -> None:
    assert rgb_to_od(np.array([255, 1, 0], np.uint8)).tolist() == pytest.approx([0, np.log(255), np.log(255)])


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
@pytest.mark.parametrize(
    "image",
    [GLASS, np.full((64, 64, 3), 215, np.uint8), np.zeros((64, 64, 3), np.uint8), GLASS[:1, :1]],
    ids=["glass", "pale", "black", "one pixel"],
)
def test_images_without_stain_stay_as_they_are(method: str, image: NDArray[np.uint8]) -> None:
    stain = StainNormalisation.macenko() if method == "macenko" else StainNormalisation.reinhard(LAB)
    assert np.array_equal(stain.apply(image), image)


def test_a_grey_image_has_one_stain_and_no_vectors() -> None:
    grey = np.repeat(np.random.default_rng(0).integers(40, 220, (64, 64, 1), dtype=np.uint8), 3, axis=2)
    assert fit_macenko(grey) is None


def test_a_few_stained_pixels_on_glass_are_no_tissue() -> None:
    image = GLASS.copy()
    image[:4, :4] = (90, 30, 120)
    assert fit_macenko(image) is None
    assert fit_reinhard(image) is None


def test_macenko_moves_the_stain_to_the_reference() -> None:
    image = draw_he(seed=1, height_px=256, width_px=256, nuclei=40, stain_od=(BLUE_OD, RED_OD)).image_rgb
    moved = fitted(StainNormalisation.macenko().apply(image))
    assert degrees_between(moved.haematoxylin_od, MACENKO_REFERENCE.haematoxylin_od) < 3
    assert degrees_between(moved.eosin_od, MACENKO_REFERENCE.eosin_od) < 3
    assert moved.concentrations_p99 == pytest.approx(MACENKO_REFERENCE.concentrations_p99, rel=0.15)


def test_a_dark_white_point_changes_nothing() -> None:
    """Against a white of 240, NuInsSeg's two vectors lay 13 degrees apart and Macenko's result was blue noise."""
    image = draw_he(seed=1, height_px=256, width_px=256, nuclei=40).image_rgb
    image[:40, :40] = 245
    dark = np.rint(image * (np.array([154, 120, 132]) / 245)).astype(np.uint8)
    stain = StainNormalisation.macenko()
    difference = stain.apply(dark).astype(int) - stain.apply(image).astype(int)
    assert np.abs(difference).mean() < 4


def test_one_stain_with_a_trace_of_another_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0, 1.5, (64, 64, 1))
    second = HAEMATOXYLIN_OD + np.array([0.0, 0.0, 0.1])
    od = amounts * np.where(rng.random((64, 64, 1)) < 0.5, HAEMATOXYLIN_OD, second / np.linalg.norm(second))
    image = np.rint(240 * np.exp(-od)).astype(np.uint8)
    assert np.array_equal(StainNormalisation.macenko().apply(image), image)


def test_an_image_whose_noise_would_grow_more_than_eightfold_stays_as_it_is() -> None:
    image = draw_he(seed=1, height_px=256, width_px=256, nuclei=40).image_rgb
    strong = replace(MACENKO_REFERENCE, concentrations_p99=(20.0, 10.0))
    assert np.array_equal(StainNormalisation.macenko(strong).apply(image), image)
    assert not np.array_equal(StainNormalisation.macenko().apply(image), image)


def test_reinhard_moves_the_colours_to_the_reference() -> None:
    image = draw_he(seed=1, height_px=256, width_px=256, nuclei=40).image_rgb
    reference = fit_reinhard(draw_he(seed=2, height_px=256, width_px=256, stain_od=(BLUE_OD, RED_OD)).image_rgb)
    assert reference is not None
    moved = fit_reinhard(StainNormalisation.reinhard(reference).apply(image))
    assert moved is not None
    assert moved.mean == pytest.approx(reference.mean, abs=2)
    assert moved.deviation == pytest.approx(reference.deviation, rel=0.25)


def test_the_median_is_taken_number_by_number() -> None:
    three = [LabStatistics(mean=(x, -x, 0.0), deviation=(x, 1.0, 2 * x)) for x in (1.0, 5.0, 9.0)]
    assert median_statistics(three) == LabStatistics(mean=(5.0, -5.0, 0.0), deviation=(5.0, 1.0, 10.0))


@pytest.mark.parametrize("stain", [StainNormalisation.macenko(), StainNormalisation.reinhard(LAB)])
def test_a_normalisation_survives_as_plain_values(stain: StainNormalisation) -> None:
    assert StainNormalisation.from_dict(stain.to_dict()) == stain


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"method": "vahadane"},
        {"method": "reinhard", "lab_mean": [1, 2], "lab_deviation": [1, 2, 3]},
        {"method": "reinhard", "lab_mean": [1, 2, float("nan")], "lab_deviation": [1, 2, 3]},
        {"method": "macenko", "haematoxylin_od": "x", "eosin_od": [1, 2, 3], "concentrations_p99": [1, 2]},
    ],
)
def test_unsound_plain_values_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="stain"):
        StainNormalisation.from_dict(value)


def test_a_method_needs_its_own_reference() -> None:
    with pytest.raises(ConfigError, match="its own reference"):
        StainNormalisation(method="macenko", reinhard_reference=LAB)
