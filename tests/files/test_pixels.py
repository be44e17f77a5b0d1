from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nucleate.errors import DataError
from nucleate.files import ReadLimits, check_array, rgb_from_array, rgb_from_picture

RGB: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays_become_contiguous_rgb(shape: tuple[int, ...], dtype: type) -> None:
    rgb = rgb_from_array(np.zeros(shape, dtype))
    assert rgb.shape == (4, 5, 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((4, 5, 2), "no image"),
        ((0, 5, 3), "no image"),
        ((4,), "no image"),
        ((), "no image"),
        ((3, 40, 50), r"channels first.*numpy\.moveaxis"),
        ((1, 40, 50), "channels first"),
        ((2, 40, 50, 3), r"a stack.*list\(array\)"),
        ((float("nan"), 5, 3), "compute_chunk_sizes"),
    ],
)
def test_arrays_of_another_shape_are_refused_with_what_to_do(shape: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_array(shape, np.dtype(np.uint8))


@pytest.mark.parametrize("shape", [(3, 5, 3), (4, 3), (3, 3)])
def test_small_images_are_not_taken_for_channels_first(shape: tuple[int, ...]) -> None:
    assert rgb_from_array(np.zeros(shape, np.uint8)).shape[:2] == shape[:2]


@pytest.mark.parametrize(
    ("dtype", "said"),
    [
        (bool, "a mask"),
        (np.int64, r"astype\('uint8'\)"),
        (np.uint32, r"astype\('uint8'\)"),
        (complex, "complex128"),
        (object, "object"),
        ("U3", "<U3"),
    ],
)
def test_arrays_of_another_type_are_refused_by_name(dtype: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rgb_from_array(np.zeros((4, 5), dtype))


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_pixels_of_either_byte_order_are_divided_by_257(order: str) -> None:
    assert np.array_equal(rgb_from_array((RGB.astype(np.uint16) * 257).astype(f"{order}u2")), RGB)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_16_bit_pixels_of_fewer_bits_are_refused(bits: int) -> None:
    """Divided by 257 they gave a black picture without nuclei."""
    with pytest.raises(DataError, match=f"up to about {2**bits - 1} of 65535"):
        rgb_from_array(np.full((4, 5, 3), 2**bits - 1, np.uint16))


def test_16_bit_opacity_may_be_low() -> None:
    rgba = np.full((4, 5, 4), 65535, np.uint16)
    rgba[:, :, 3] = 257
    assert (rgb_from_array(rgba) == 255).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_0_to_1_are_scaled_and_rounded(dtype: type) -> None:
    assert np.array_equal(rgb_from_array((RGB / 255).astype(dtype)), RGB)


def test_floats_that_round_to_white_may_overshoot() -> None:
    assert (rgb_from_array(np.full((4, 5), 1.0015)) == 255).all()


@pytest.mark.parametrize(
    ("value", "said"),
    [(255.0, "from 255 to 255"), (-0.5, "from -0.5"), (np.nan, "NaN or infinity"), (np.inf, "NaN or infinity")],
)
def test_floats_outside_of_0_to_1_are_refused(value: float, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rgb_from_array(np.full((4, 5), value))


def test_half_transparent_black_is_grey_on_white() -> None:
    rgba = np.zeros((4, 5, 4), np.uint8)
    rgba[:, :, 3] = 128
    assert (rgb_from_array(rgba) == 127).all()


def test_arrays_above_the_limit_are_refused() -> None:
    with pytest.raises(DataError, match="9 x 6 pixels, above the limit of 50: give regions of it"):
        rgb_from_array(RGB, limits=ReadLimits(max_pixels=50))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "RGBa", "CMYK"])
def test_pillow_images_of_any_colour_mode_give_their_pixels(mode: str) -> None:
    picture = Image.fromarray(RGB)
    picture = picture.convert("RGBA").convert("RGBa") if mode == "RGBa" else picture.convert(mode)
    assert np.array_equal(rgb_from_picture(picture), RGB)


@pytest.mark.parametrize("mode", ["L", "LA", "La", "I;16", "F"])
def test_pillow_images_of_any_grey_mode_give_their_grey(mode: str) -> None:
    grey = RGB[:, :, 0]
    picture = {
        "L": Image.fromarray(grey),
        "LA": Image.fromarray(grey).convert("LA"),
        "La": Image.fromarray(grey).convert("LA").convert("La"),
        "I;16": Image.fromarray(grey.astype(np.uint16) * 257),
        "F": Image.fromarray((grey / 255).astype(np.float32)),
    }[mode]
    assert picture.mode == mode
    assert np.array_equal(rgb_from_picture(picture), np.repeat(grey[:, :, None], 3, axis=2))


def test_a_palette_with_a_transparent_colour_is_white_there() -> None:
    picture = Image.new("P", (3, 2), 1)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((0, 0), 0)
    picture.info["transparency"] = 0
    rgb = rgb_from_picture(picture)
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[1, 1].tolist() == [40, 50, 60]


@pytest.mark.parametrize(("mode", "said"), [("1", "1 bit"), ("LAB", r"L\*a\*b\*"), ("I", "int32")])
def test_pillow_images_without_a_plain_colour_are_refused(mode: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rgb_from_picture(Image.new(mode, (4, 5)))
