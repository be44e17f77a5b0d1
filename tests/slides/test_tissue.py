from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nucleate.errors import DataError
from nucleate.slides import SlideSettings, Tissue, TissueSettings, find_tissue, open_slide, tissue_picture
from tests.slides.drawn_slide import MPP, DrawnSlide, Extra, Stain, draw_whole_slide
from tests.slides.slide_files import write_pyramid

EVERYTHING: tuple[Extra, ...] = ("pens", "label", "shadow", "dust")
STAINS: tuple[Stain, ...] = ("pale eosin", "eosin", "both", "dense haematoxylin")


def found_on(folder: Path, image_rgb: NDArray[np.uint8], mpp: float | None = MPP) -> Tissue:
    path = write_pyramid(folder / "slide.tif", image_rgb, resolution=(1, 1), resolutionunit="NONE", compression=None)
    with open_slide(path, settings=SlideSettings(mpp=mpp)) as slide:
        return find_tissue(slide)


@dataclass(frozen=True)
class Agreement:
    """Share of the tissue that was found, and of the rest that was taken; what a pen covers counts as neither."""

    found: float
    taken_of_rest: float


def agreement(tissue: Tissue, drawn: DrawnSlide) -> Agreement:
    size_wh = tissue.mask.shape[::-1]
    covers = cv2.resize(drawn.pen.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA) > 0
    expected = cv2.resize(drawn.tissue.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA) > 0.5
    rest = ~expected & ~(covers & expected)
    return Agreement(found=float(tissue.mask[expected & ~covers].mean()), taken_of_rest=float(tissue.mask[rest].mean()))


@pytest.mark.parametrize("seed", range(2))
def test_tissue_is_found_and_pen_label_shadow_and_dust_are_not(tmp_path: Path, seed: int) -> None:
    drawn = draw_whole_slide(STAINS, EVERYTHING, seed=seed)
    measured = agreement(found_on(tmp_path, drawn.image_rgb), drawn)
    assert measured.found >= 0.99
    assert measured.taken_of_rest <= 0.01


@pytest.mark.parametrize("stain", [*STAINS, "salmon"])
def test_tissue_of_one_stain_is_found(tmp_path: Path, stain: Stain) -> None:
    drawn = draw_whole_slide((stain, stain), ("shadow",), seed=7)
    measured = agreement(found_on(tmp_path, drawn.image_rgb), drawn)
    assert measured.found >= 0.99
    assert measured.taken_of_rest <= 0.01


@pytest.mark.parametrize("extra", ["pens", "label", "pink label", "shadow", "dust"])
def test_a_slide_without_tissue_gives_an_empty_mask(tmp_path: Path, extra: Extra) -> None:
    tissue = found_on(tmp_path, draw_whole_slide((), (extra,)).image_rgb)
    assert tissue.share == 0
    assert tissue.area_mm2 == 0


@pytest.mark.parametrize("glass_rgb", [(255, 255, 255), (225, 222, 215)])
def test_tinted_glass_is_no_tissue(tmp_path: Path, glass_rgb: tuple[int, int, int]) -> None:
    drawn = draw_whole_slide(STAINS, ("shadow", "label"), glass_rgb=glass_rgb)
    measured = agreement(found_on(tmp_path, drawn.image_rgb), drawn)
    assert measured.found >= 0.99
    assert measured.taken_of_rest <= 0.01


def test_coloured_ink_is_found(tmp_path: Path) -> None:
    drawn = draw_whole_slide(STAINS, ("pens",))
    tissue = found_on(tmp_path, drawn.image_rgb)
    for name in ("blue", "green", "red"):
        stroke = cv2.resize(drawn.pens[name].astype(np.uint8), tissue.mask.shape[::-1]) > 0
        assert tissue.ink[stroke].mean() > 0.97
    stroke_free = cv2.resize(drawn.pen.astype(np.float32), tissue.mask.shape[::-1]) == 0
    assert tissue.ink[stroke_free].mean() < 0.01


def test_an_image_full_of_tissue_is_tissue(tmp_path: Path) -> None:
    """No glass to compare with; the one piece is a rectangle, as a paper label is."""
    drawn = draw_whole_slide(("both",), seed=1)
    rows, columns = np.nonzero(drawn.tissue)
    middle_y, middle_x = int(rows.mean()), int(columns.mean())
    field = drawn.image_rgb[middle_y - 60 : middle_y + 60, middle_x - 60 : middle_x + 60]
    assert found_on(tmp_path, np.tile(field, (4, 5, 1))).share > 0.99


def test_black_where_nothing_was_scanned_is_no_tissue(tmp_path: Path) -> None:
    image = draw_whole_slide(()).image_rgb
    image[:600] = np.random.default_rng(0).integers(0, 12, image[:600].shape)
    assert found_on(tmp_path, image).share == 0


def test_area_is_that_of_the_drawing(tmp_path: Path) -> None:
    """The outline lies up to one pixel of the thumbnail outside: 5 % of pieces of a millimetre."""
    drawn = draw_whole_slide(("eosin", "both"))
    tissue = found_on(tmp_path, drawn.image_rgb)
    assert tissue.area_mm2 == pytest.approx(drawn.tissue.sum() * MPP**2 / 1e6, rel=0.06)
    assert tissue.downsample_xy == pytest.approx((2, 2))


def test_a_slide_without_a_scale_has_the_one_that_is_assumed_but_no_area(tmp_path: Path) -> None:
    drawn = draw_whole_slide(("both",))
    path = write_pyramid(tmp_path / "a.tif", drawn.image_rgb, resolution=(1, 1), resolutionunit="NONE")
    with open_slide(path) as slide:
        tissue = find_tissue(slide, settings=TissueSettings(assumed_mpp=MPP))
    assert tissue.area_mm2 is None
    assert tissue.share == pytest.approx(drawn.tissue.mean(), rel=0.06)


def test_small_pieces_are_dust_by_the_area_that_is_set(tmp_path: Path) -> None:
    drawn = draw_whole_slide(("both",))
    path = write_pyramid(tmp_path / "a.tif", drawn.image_rgb)
    with open_slide(path, settings=SlideSettings(mpp=MPP)) as slide:
        assert find_tissue(slide, settings=TissueSettings(least_area_um2=5e6)).share == 0
        assert find_tissue(slide, settings=TissueSettings(least_area_um2=1e4)).share > 0.01


def drawn_by_hand() -> Tissue:
    mask = np.zeros((4, 6), np.bool_)
    mask[1:3, 2:5] = True
    ink = np.zeros_like(mask)
    ink[0, 0] = True
    return Tissue(
        path=Path("a.svs"), thumbnail_rgb=np.full((4, 6, 3), 200, np.uint8), mask=mask, ink=ink,
        downsample_xy=(10.0, 10.0), mpp=0.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ((20, 10, 50, 30), 1.0),
        ((0, 0, 60, 40), 0.25),
        ((40, 20, 60, 40), 0.25),
        ((45, 25, 46, 26), 1.0),
        ((-20, -20, 0, 0), 0.0),
        ((40, 20, 80, 40), 0.125),
        ((900, 900, 990, 990), 0.0),
    ],
)
def test_share_of_a_region_is_told(window: tuple[int, int, int, int], expected: float) -> None:
    assert drawn_by_hand().share_of(window) == expected


def test_windows_with_tissue_are_told_at_once() -> None:
    windows = np.array([[20, 10, 50, 30], [0, 0, 20, 10], [45, 25, 46, 26], [900, 900, 990, 990]])
    assert drawn_by_hand().meets(windows).tolist() == [True, False, True, False]


def test_area_counts_pixels() -> None:
    assert drawn_by_hand().area_mm2 == pytest.approx(6 * (10 * 0.5) ** 2 / 1e6)


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(DataError, match=r"a\.svs: a mask of shape \(2, 2\)"):
        replace(drawn_by_hand(), mask=np.zeros((2, 2), np.bool_))


def test_the_picture_outlines_tissue_and_ink_and_pales_the_rest(tmp_path: Path) -> None:
    drawn = draw_whole_slide(STAINS, ("pens",))
    tissue = found_on(tmp_path, drawn.image_rgb)
    with Image.open(io.BytesIO(tissue_picture(tissue))) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture)
    assert pixels.shape == tissue.thumbnail_rgb.shape
    for colour, mask in (((0, 140, 60), tissue.mask), ((255, 140, 0), tissue.ink)):
        lines = (pixels == colour).all(axis=2)
        # Outlines close along the border of the picture too.
        padded = np.pad(mask.astype(np.uint8), 3)
        near = cv2.morphologyEx(padded, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))[3:-3, 3:-3] > 0
        assert lines[near].mean() > 0.1
        assert not lines[~near].any()
    inside = cv2.erode(tissue.mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert np.array_equal(pixels[inside], tissue.thumbnail_rgb[inside])
    outside = cv2.dilate((tissue.mask | tissue.ink).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert (pixels[outside] >= tissue.thumbnail_rgb[outside]).all()


def test_a_large_picture_is_made_smaller() -> None:
    with Image.open(io.BytesIO(tissue_picture(drawn_by_hand(), most_side_px=3))) as picture:
        assert picture.size == (3, 2)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "least", "most"), [("CMU-1-Small-Region.svs", 0.35, 0.45), ("TCGA-CR-7395-01A-01-TS1.svs", 0.6, 0.7)]
)
def test_real_tissue_is_found(shared_data: Path, name: str, least: float, most: float) -> None:
    """The shares were looked at in the pictures."""
    with open_slide(shared_data / "wsi" / name) as slide:
        tissue = find_tissue(slide)
    assert least < tissue.share < most
    assert tissue.ink.mean() < 0.01
