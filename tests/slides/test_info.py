from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from nucleate.errors import DataError
from nucleate.slides import SlideInfo, SlideSettings, open_slide
from nucleate.slides.info import level_downsample
from tests.slides.slide_files import draw_slide, write_ome_pyramid, write_pyramid

SLIDE = draw_slide()


def info_of(path: Path, mpp: float | None = None) -> SlideInfo:
    with open_slide(path, settings=SlideSettings(mpp=mpp)) as slide:
        return slide.info


def aperio(folder: Path, said: str) -> Path:
    options: dict[str, Any] = {"resolution": (1, 1), "resolutionunit": "NONE"}
    return write_pyramid(folder / "a.svs", SLIDE, description=f"Aperio Image Library v1\n{said}", **options)


def test_tiff_states_levels_and_scale(tmp_path: Path) -> None:
    info = info_of(write_pyramid(tmp_path / "a.tif", SLIDE))
    assert (info.vendor, info.mpp_known_by, info.magnification) == ("tiff", "file", None)
    assert info.frame.shape == (300, 400)
    assert [level.downsample for level in info.levels] == [1, 2, 4]
    assert [level.frame.mpp for level in info.levels] == pytest.approx([0.5, 1.0, 2.0])


def test_ome_states_levels_and_scale(tmp_path: Path) -> None:
    info = info_of(write_ome_pyramid(tmp_path / "a.ome.tif", SLIDE))
    assert (info.vendor, info.mpp) == ("ome-tiff", 0.25)
    assert [level.downsample for level in info.levels] == [1, 2]


def test_aperio_states_scale_and_objective(tmp_path: Path) -> None:
    info = info_of(aperio(tmp_path, "|AppMag = 40|MPP = 0.2462"))
    assert (info.vendor, info.mpp, info.mpp_known_by, info.magnification) == ("aperio", 0.2462, "file", 40.0)


def test_the_objective_gives_an_estimate_that_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        info = info_of(aperio(tmp_path, "|AppMag = 20"))
    assert (info.mpp, info.mpp_known_by) == (0.5, "magnification")
    assert "0.5 is estimated from the 20x objective" in caplog.text


def test_a_given_scale_overrides_the_files(tmp_path: Path) -> None:
    info = info_of(write_pyramid(tmp_path / "a.tif", SLIDE), mpp=0.3)
    assert (info.mpp, info.mpp_known_by) == (0.3, "given")


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), float("inf")])
def test_a_given_scale_that_is_no_positive_number_is_refused(tmp_path: Path, mpp: float) -> None:
    with pytest.raises(DataError, match="give a positive number"):
        info_of(write_pyramid(tmp_path / "a.tif", SLIDE), mpp=mpp)


@pytest.mark.parametrize(("x_per_cm", "warned"), [(20_300, False), (20_500, True)])
def test_scales_that_differ_by_more_than_2_percent_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, x_per_cm: int, *, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        info = info_of(write_pyramid(tmp_path / "a.tif", SLIDE, resolution=(x_per_cm, 20_000)))
    assert info.mpp == pytest.approx((10_000 / x_per_cm + 0.5) / 2)
    assert ("um/px along x" in caplog.text) is warned


@pytest.mark.parametrize("dots_per_inch", [72, 300])
def test_the_resolution_of_a_screen_is_nobodys_scale(tmp_path: Path, dots_per_inch: int) -> None:
    options: dict[str, Any] = {"resolution": (dots_per_inch, dots_per_inch), "resolutionunit": "INCH"}
    info = info_of(write_pyramid(tmp_path / "a.tif", SLIDE, **options))
    assert (info.mpp, info.mpp_known_by) == (None, None)


def test_a_scale_that_is_no_number_is_unknown_and_no_damage(tmp_path: Path) -> None:
    options: dict[str, Any] = {"resolution": ((0, 1), (0, 1)), "resolutionunit": "CENTIMETER"}
    assert info_of(write_pyramid(tmp_path / "a.tif", SLIDE, **options)).mpp is None


def test_a_target_in_um_needs_the_slides_scale(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", SLIDE, resolution=(1, 1), resolutionunit="NONE")
    with open_slide(path) as slide, pytest.raises(DataError, match="give it with --mpp"):
        slide.read((0, 0, 10, 10), mpp=0.5)


@pytest.mark.parametrize(
    ("finest_wh", "level_wh", "expected"),
    [
        ((4443, 3567), (2221, 1783), 2.0),
        ((4443, 3567), (2222, 1784), 2.0),
        ((100_001, 70_003), (6250, 4375), 16.0),
        ((1000, 1000), (400, 400), 2.5),
    ],
)
def test_levels_that_were_cut_to_whole_pixels_have_whole_downsamples(
    finest_wh: tuple[int, int], level_wh: tuple[int, int], expected: float
) -> None:
    assert level_downsample(finest_wh, level_wh) == expected


def test_a_single_page_is_one_level(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((90, 80), np.uint8))
    assert len(info_of(tmp_path / "a.tif").levels) == 1


@pytest.mark.shared_data
def test_a_real_slide_without_a_scale_has_none(shared_data: Path) -> None:
    info = info_of(shared_data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs")
    assert (info.mpp, info.mpp_known_by, info.magnification) == (None, None, None)
    assert [level.downsample for level in info.levels] == [1, 2]


@pytest.mark.shared_data
def test_a_real_slide_states_its_scale(shared_data: Path) -> None:
    info = info_of(shared_data / "wsi" / "CMU-1-Small-Region.svs")
    assert (info.mpp, info.magnification, info.frame.shape) == (0.499, 20.0, (2967, 2220))
