from __future__ import annotations

import pytest

from nucleate.core import ImageScale, ScaleOrigin, describe_scales
from nucleate.errors import DataError


def estimated(diameter_px: float) -> ImageScale:
    return ImageScale(magnification=20 / diameter_px, known_by="estimate", diameter_px=diameter_px)


@pytest.mark.parametrize("wrong", [{"magnification": 0.0}, {"diameter_px": -3.0}, {"mpp": float("nan")}])
def test_scale_is_a_positive_number(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong))):
        ImageScale(known_by="mpp", **({"magnification": 1.0} | wrong))


def test_estimate_of_one_image_is_said() -> None:
    assert describe_scales([estimated(24.0)]) == [
        "scale: nuclei of about 24 px (estimated over three scales): images resampled by 0.83"
    ]


def test_many_images_give_a_range() -> None:
    assert describe_scales([estimated(25.0), estimated(10.0), estimated(16.0)]) == [
        "scale: nuclei of about 10 to 25 px (estimated over three scales): images resampled by 0.80 to 2.00"
    ]


def test_each_way_of_knowing_has_a_line_with_its_share() -> None:
    unknown = ImageScale(magnification=1.0, known_by="no nuclei")
    stated = ImageScale(magnification=2.0, known_by="image", mpp=0.5)
    first, second = describe_scales([stated, unknown, stated])
    assert first == "scale: 0.5 um/px (as the images say): images resampled by 2.00 (2 of 3 images)"
    assert second.startswith("scale: unknown, no nuclei found at any of three scales: images taken as they are")
    assert second.endswith("(1 of 3 images)")


@pytest.mark.parametrize(
    ("known_by", "said"),
    [
        ("diameter", "nuclei of about 16 px (given): images resampled by 1.25"),
        ("source", "nuclei of about 16 px (the model learned from this source): images resampled by 1.25"),
        ("mpp", "0.32 um/px (given): images resampled by 1.25"),
        ("magnification", "images resampled by 1.25 (given)"),
    ],
)
def test_what_was_given_is_said(known_by: ScaleOrigin, said: str) -> None:
    scale = ImageScale(magnification=1.25, known_by=known_by, diameter_px=16.0, mpp=0.32)
    assert describe_scales([scale]) == [f"scale: {said}"]


def test_model_that_needs_no_scale_says_nothing() -> None:
    assert describe_scales([ImageScale(magnification=1.0, known_by="model")]) == []


def test_no_image_has_no_scale_to_say() -> None:
    assert describe_scales([]) == []
