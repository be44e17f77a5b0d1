from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nucleate.errors import DataError
from nucleate.files import image_size, read_rgb

RGB: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


def written(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **options)
    return path


def test_white_is_zero_is_inverted(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", 255 - GREY, photometric="miniswhite")
    assert np.array_equal(read_rgb(path)[:, :, 1], GREY)


@pytest.mark.parametrize("factor", [256, 257])
def test_a_palette_gives_its_colours(tmp_path: Path, factor: int) -> None:
    """The indices were taken for grey."""
    ramp = np.arange(256)
    colours = np.stack([ramp, ramp[::-1], np.full(256, 7)])
    path = written(
        tmp_path / "a.tif", GREY, photometric="palette", colormap=(colours * factor).astype(np.uint16), metadata=None
    )
    assert np.array_equal(read_rgb(path), np.stack([GREY, 255 - GREY, np.full_like(GREY, 7)], axis=2))


def test_cmyk_gives_its_colours(tmp_path: Path) -> None:
    """Cyan, magenta and yellow were taken for red, green and blue."""
    cmyk = np.concatenate([255 - RGB, np.zeros((6, 9, 1), np.uint8)], axis=2)
    assert np.array_equal(read_rgb(written(tmp_path / "a.tif", cmyk, photometric="separated", extrasamples=[])), RGB)
    cmyk[:, :, 3] = 255
    black = read_rgb(written(tmp_path / "b.tif", cmyk, photometric="separated", extrasamples=[]))
    assert black.max() == 0


def test_uncompressed_ycbcr_gives_its_colours(tmp_path: Path) -> None:
    Image.new("RGB", (9, 6), (200, 40, 90)).convert("YCbCr").save(tmp_path / "a.tif")
    assert np.abs(read_rgb(tmp_path / "a.tif").astype(int) - [200, 40, 90]).max() <= 2


def test_other_colours_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a TIFF of CIELAB"):
        read_rgb(written(tmp_path / "a.tif", RGB, photometric="cielab"))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("unassalpha", 127), ("assocalpha", 127), ("unspecified", 0)],
)
def test_transparency_is_shown_over_white_by_its_kind(tmp_path: Path, kind: str, expected: int) -> None:
    rgba = np.zeros((6, 9, 4), np.uint8)
    rgba[:, :, 3] = 128
    path = written(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=[kind])
    assert (read_rgb(path) == expected).all()


def test_premultiplied_colours_are_not_multiplied_again(tmp_path: Path) -> None:
    rgba = np.full((6, 9, 4), 100, np.uint8)
    path = written(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["assocalpha"])
    assert (read_rgb(path) == 100 + 155).all()


def test_grey_with_transparency_is_read(tmp_path: Path) -> None:
    Image.fromarray(GREY).convert("LA").save(tmp_path / "a.tif")
    assert np.array_equal(read_rgb(tmp_path / "a.tif")[:, :, 0], GREY)


@pytest.mark.parametrize("options", [{"ome": True}, {"imagej": True}])
def test_three_channels_of_ome_tiff_and_imagej_are_rgb(tmp_path: Path, options: dict[str, bool]) -> None:
    planar = np.moveaxis(RGB, -1, 0)
    path = written(tmp_path / "a.tif", planar, photometric="minisblack", metadata={"axes": "CYX"}, **options)
    assert np.array_equal(read_rgb(path), RGB)
    assert image_size(path) == (6, 9)


@pytest.mark.parametrize(
    ("pages", "options"),
    [
        (np.stack([GREY] * 3), {"photometric": "minisblack"}),
        (np.stack([RGB] * 2), {"photometric": "rgb"}),
        (np.stack([GREY] * 5), {"imagej": True, "metadata": {"axes": "ZYX"}}),
        (np.stack([GREY] * 4), {"imagej": True, "metadata": {"axes": "CYX"}}),
    ],
)
def test_pages_of_one_size_are_refused(tmp_path: Path, pages: NDArray[Any], options: dict[str, Any]) -> None:
    """Three grey pages were taken for red, green and blue."""
    with pytest.raises(DataError, match=f"{len(pages)} pages or channels of one size"):
        read_rgb(written(tmp_path / "a.tif", pages, **options))


def test_pages_that_were_written_one_by_one_are_refused_too(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB, photometric="rgb")
        file.write(RGB, photometric="rgb")
    with pytest.raises(DataError, match="2 pages"):
        read_rgb(tmp_path / "a.tif")


def test_a_thumbnail_behind_the_image_does_not_count(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB, photometric="rgb")
        file.write(RGB[:3, :4], photometric="rgb")
    assert np.array_equal(read_rgb(tmp_path / "a.tif"), RGB)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bit_tiffs_of_either_byte_order_are_read(tmp_path: Path, byteorder: str) -> None:
    path = written(tmp_path / "a.tif", RGB.astype(np.uint16) * 257, photometric="rgb", byteorder=byteorder)
    assert np.array_equal(read_rgb(path), RGB)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (GREY > 100, "a mask"),
        (GREY.astype(np.int16), "int16"),
        (GREY.astype(np.float32), "give floats of 0 to 1"),
        (GREY.astype(np.uint16) * 16, "fewer bits"),
    ],
)
def test_values_of_unknown_range_are_refused_by_name(tmp_path: Path, pixels: NDArray[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_rgb(written(tmp_path / "a.tif", pixels))


def test_floats_of_0_to_1_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", (RGB / 255).astype(np.float32), photometric="rgb")
    assert np.array_equal(read_rgb(path), RGB)
