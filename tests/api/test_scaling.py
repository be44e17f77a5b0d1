from __future__ import annotations

from dataclasses import replace

import pytest

from nucleate.api.scaling import ScaleRequest, known_scale
from nucleate.core import ImageScale
from nucleate.errors import ConfigError
from nucleate.models.run_card import RunCard

DENSE = RunCard(name="dense", working_diameter_px=20.0, working_mpp=0.25, source_diameters_px={"ours": 40.0})
PLAIN = RunCard(name="plain", nucleus_diameter_px=30.0, magnification=2.0)


def test_request_comes_before_the_source_and_the_source_before_the_image() -> None:
    assert known_scale(DENSE, ScaleRequest(diameter_px=10.0), mpp=0.5, source="ours") == ImageScale(
        magnification=2.0, known_by="diameter", diameter_px=10.0
    )
    assert known_scale(DENSE, ScaleRequest(), mpp=0.5, source="ours") == ImageScale(
        magnification=0.5, known_by="source", diameter_px=40.0
    )
    assert known_scale(DENSE, ScaleRequest(), mpp=0.5, source="theirs") == ImageScale(
        magnification=2.0, known_by="image", mpp=0.5
    )


def test_nothing_known_leaves_it_to_an_estimate() -> None:
    assert known_scale(DENSE, ScaleRequest()) is None
    assert known_scale(replace(DENSE, working_mpp=None), ScaleRequest(), mpp=0.5) is None


def test_magnification_is_multiplied_by_nothing_for_a_model_with_a_working_scale() -> None:
    card = replace(DENSE, magnification=2.0)
    assert known_scale(card, ScaleRequest(magnification=3.0), mpp=0.5) == ImageScale(
        magnification=3.0, known_by="magnification"
    )


def test_model_without_a_working_scale_takes_images_as_it_was_trained() -> None:
    assert known_scale(PLAIN, ScaleRequest(), mpp=0.5) == ImageScale(magnification=2.0, known_by="model")
    assert known_scale(PLAIN, ScaleRequest(magnification=3.0)) == ImageScale(
        magnification=6.0, known_by="magnification"
    )
    assert known_scale(PLAIN, ScaleRequest(diameter_px=15.0)) == ImageScale(
        magnification=4.0, known_by="diameter", diameter_px=15.0
    )


@pytest.mark.parametrize("card", [PLAIN, replace(DENSE, working_mpp=None)])
def test_mpp_for_a_model_that_does_not_say_its_own_is_refused(card: RunCard) -> None:
    with pytest.raises(ConfigError, match=rf"--mpp 0.5: {card.name} does not say"):
        known_scale(card, ScaleRequest(mpp=0.5))


def test_diameter_for_a_model_that_does_not_say_its_own_is_refused() -> None:
    with pytest.raises(ConfigError, match="--diameter 12: plain does not say"):
        known_scale(replace(PLAIN, nucleus_diameter_px=None), ScaleRequest(diameter_px=12.0))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"diameter_px": 12.0, "magnification": 2.0}, "--diameter and --magnification"),
        ({"mpp": 0.0}, "--mpp 0: a positive number"),
        ({"diameter_px": float("inf")}, "--diameter inf: a positive number"),
    ],
)
def test_impossible_request_is_refused_in_one_line(request_: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        ScaleRequest(**request_)
    assert "\n" not in str(error.value)


def test_request_is_described_in_few_words() -> None:
    assert ScaleRequest().described(DENSE) == "estimate"
    assert ScaleRequest().described(PLAIN) == "as trained"
    assert ScaleRequest(mpp=0.25).described(DENSE) == "0.25 um/px"
