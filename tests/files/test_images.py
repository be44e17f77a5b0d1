from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from nucleate.errors import DataError
from nucleate.files import (
    ReadLimits,
    has_one_channel,
    image_mode,
    image_size,
    open_npy,
    read_label_map,
    read_rgb,
    read_stored_labels,
    write_image,
)

RGB: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
LABELS: NDArray[np.int64] = np.arange(54).reshape(6, 9)


def saved(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_colour_images_of_any_format_give_their_pixels(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", RGB, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_rgb(path), RGB)
    assert image_size(path) == (6, 9)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    """Alpha was dropped, so the empty parts of a slide's region, transparent black, were black."""
    alpha = np.full((6, 9, 1), 255, np.uint8)
    alpha[:3] = 0
    rgb = read_rgb(saved(tmp_path / "a.png", np.concatenate([RGB, alpha], axis=2)))
    assert (rgb[:3] == 255).all()
    assert np.array_equal(rgb[3:], RGB[3:])


def test_a_transparent_colour_is_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path, transparency=tuple(RGB[2, 3].tolist()))
    assert (read_rgb(path)[2, 3] == 255).all()
    assert np.array_equal(read_rgb(path)[0], RGB[0])


def test_grey_is_repeated(tmp_path: Path) -> None:
    assert np.array_equal(read_rgb(saved(tmp_path / "a.png", RGB[:, :, 0])), np.repeat(RGB[:, :, :1], 3, axis=2))


def test_a_palette_image_gives_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(4)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_16_bit_grey_is_divided_by_257(tmp_path: Path, name: str) -> None:
    wide = RGB[:, :, 0].astype(np.uint16) * 257
    if name == "a.tif":
        tifffile.imwrite(tmp_path / name, wide)
    else:
        saved(tmp_path / name, wide)
    assert np.array_equal(read_rgb(tmp_path / name)[:, :, 0], RGB[:, :, 0])


def test_16_bit_colour_tiff_is_divided_by_257(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB.astype(np.uint16) * 257, photometric="rgb")
    assert np.array_equal(read_rgb(tmp_path / "a.tif"), RGB)


def test_a_planar_tiff_is_put_in_order(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_rgb(tmp_path / "a.tif"), RGB)
    assert image_size(tmp_path / "a.tif") == (6, 9)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / f"a{suffix}", np.full((6, 9, 3), 40, np.uint8), exif=exif)
    assert read_rgb(path).shape == (9, 6, 3)
    assert image_size(path) == (9, 6)


@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp"])
def test_an_animation_is_refused(tmp_path: Path, suffix: str) -> None:
    """The first frame was taken without a word."""
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[::-1])
    first.save(tmp_path / f"a{suffix}", save_all=True, append_images=[second])
    with pytest.raises(DataError, match="2 frames"):
        read_rgb(tmp_path / f"a{suffix}")


def test_a_cmyk_jpeg_gives_its_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 0, 0)).save(tmp_path / "a.jpg")
    red, green, blue = read_rgb(tmp_path / "a.jpg")[4, 4].tolist()
    assert green < 10 < 245 < min(red, blue)


def test_a_1_bit_image_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB).convert("1").save(tmp_path / "a.png")
    with pytest.raises(DataError, match="1 bit a pixel"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize(("factor", "is_read"), [(257, True), (16, False)])
def test_16_bit_colour_png_is_read_where_it_uses_its_range(tmp_path: Path, factor: int, is_read: bool) -> None:
    """A PNG of 12 bits in 16 became a black picture without a word."""
    bgr = RGB[:, :, ::-1].astype(np.uint16) * factor
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    if is_read:
        assert np.array_equal(read_rgb(tmp_path / "a.png"), RGB)
        return
    with pytest.raises(DataError, match="fewer bits"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32, np.float32])
def test_label_tiffs_of_any_depth_give_their_ids(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(dtype))
    assert np.array_equal(read_label_map(tmp_path / "a.tif"), LABELS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_pngs_of_8_and_16_bit_give_their_ids(tmp_path: Path, dtype: type) -> None:
    assert np.array_equal(read_label_map(saved(tmp_path / "a.png", LABELS.astype(dtype))), LABELS)


def test_a_palette_label_png_gives_indices_not_colours(tmp_path: Path) -> None:
    image = Image.new("P", (9, 6))
    image.putdata(LABELS.ravel().tolist())
    image.putpalette([255, 0, 0] * 256)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_label_map(tmp_path / "a.png"), LABELS)


def test_a_label_image_in_colour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one value a pixel"):
        read_label_map(saved(tmp_path / "a.png", RGB))


def test_broken_ids_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5), 0.5, np.float32))
    with pytest.raises(DataError, match="integers"):
        read_label_map(tmp_path / "a.tif")


def test_negative_ids_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5), -3, np.int16))
    with pytest.raises(DataError, match="negative id -3"):
        read_label_map(tmp_path / "a.tif")


@pytest.mark.parametrize("read", [read_rgb, read_label_map, image_size, has_one_channel])
def test_missing_empty_and_foreign_files_are_data_errors(tmp_path: Path, read: Any) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "text.tif").write_text("no image")
    for name, words in (
        ("gone.png", "no such file"),
        ("empty.png", "empty"),
        ("text.png", "not an image"),
        ("text.tif", "TIFF"),
    ):
        with pytest.raises(DataError, match=words):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("read", [read_rgb, read_label_map, image_size, has_one_channel])
def test_images_above_the_limits_are_refused_unread(tmp_path: Path, read: Any, name: str) -> None:
    path = saved(tmp_path / name, RGB[:, :, 0])
    with pytest.raises(DataError, match="9 x 6 pixels, above the limit of 50"):
        read(path, ReadLimits(max_pixels=50))
    with pytest.raises(DataError, match="bytes, above the limit"):
        read(path, ReadLimits(max_file_bytes=10))


def test_an_image_above_pillows_own_limit_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert read_rgb(saved(tmp_path / "a.png", RGB)).shape == RGB.shape


@pytest.mark.parametrize("read", [read_rgb, read_label_map, image_size])
def test_a_cut_png_is_a_data_error(tmp_path: Path, read: Any) -> None:
    """A cut PNG left image_size as an OSError: Pillow decodes the pixels to look for EXIF behind them."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    path = saved(tmp_path / "a.png", noise)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"damaged|unreadable"):
        read(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.webp"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_gives_pixels_or_a_data_error(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = saved(tmp_path / name, RGB)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    for read in (read_rgb, read_label_map, has_one_channel):
        with contextlib.suppress(DataError):
            read(path, ReadLimits(max_pixels=10_000))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_written_label_tiffs_read_back(tmp_path: Path, dtype: type) -> None:
    write_image(tmp_path / "a.tif", LABELS.astype(dtype))
    assert np.array_equal(read_label_map(tmp_path / "a.tif"), LABELS)


def test_written_pngs_read_back_in_opencv_too(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", RGB)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), RGB)
    assert np.array_equal(np.asarray(cv2.imread(str(tmp_path / "a.png")))[:, :, ::-1], RGB)


@pytest.mark.parametrize(
    ("pixels", "expected"), [(RGB, False), (RGB[:, :, 0], True), (RGB[:, :, 0].astype(np.uint16), True)]
)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_files_with_one_channel_are_told_apart(tmp_path: Path, name: str, pixels: NDArray[Any], expected: bool) -> None:
    write_image(tmp_path / name, pixels) if not (name == "a.tif" and pixels.ndim == 3) else tifffile.imwrite(
        tmp_path / name, pixels, photometric="rgb"
    )
    assert has_one_channel(tmp_path / name) is expected


def test_arrays_are_label_maps_and_python_objects_are_refused(tmp_path: Path) -> None:
    labels = np.array([[0, 7], [3, 3]], np.uint16)
    np.save(tmp_path / "a.npy", labels)
    assert np.array_equal(read_label_map(tmp_path / "a.npy"), labels)
    np.save(tmp_path / "b.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="holds Python objects"):
        read_label_map(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-3])
    with pytest.raises(DataError, match="no array that can be read"):
        read_label_map(tmp_path / "c.npy")
    with pytest.raises(DataError, match="above the limit"):
        read_label_map(tmp_path / "a.npy", ReadLimits(max_pixels=3))
    with pytest.raises(DataError, match="no such file"):
        open_npy(tmp_path / "gone.npy")


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_label_maps_of_a_single_row_or_column_keep_their_shape(
    tmp_path: Path, shape: tuple[int, int], suffix: str
) -> None:
    """A map of one pixel was refused, since all sides of one were taken for pages."""
    labels = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, labels[None])
    else:
        write_image(path, labels)
    assert np.array_equal(read_label_map(path), labels)


@pytest.mark.parametrize(
    ("name", "pixels", "mode"),
    [
        ("a.png", RGB, "RGB, 8 bit"),
        ("a.jpg", RGB, "RGB, 8 bit"),
        ("a.png", RGB[..., 0], "grey, 8 bit"),
        ("a.png", np.dstack([RGB, RGB[..., 0]]), "RGB and transparency, 8 bit"),
        ("a.png", LABELS.astype(np.uint16), "grey, 16 bit"),
        ("a.tif", RGB, "RGB, 8 bit"),
        ("a.tif", LABELS.astype(np.uint16), "grey, 16 bit"),
        ("a.tif", LABELS.astype(np.float32), "grey, floating point"),
    ],
)
def test_modes_are_told_in_words(tmp_path: Path, name: str, pixels: NDArray[Any], mode: str) -> None:
    assert image_mode(saved(tmp_path / name, pixels)) == mode


def test_the_mode_of_16_bit_colours_is_not_pillows(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), RGB.astype(np.uint16) * 257)
    assert image_mode(tmp_path / "a.png") == "RGB, 16 bit"
    tifffile.imwrite(tmp_path / "a.tif", RGB.astype(np.uint16) * 257, photometric="rgb")
    assert image_mode(tmp_path / "a.tif") == "RGB, 16 bit"


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.uint16, np.uint64])
def test_stored_labels_keep_their_type_but_truth_values(tmp_path: Path, kind: type[np.generic]) -> None:
    np.save(tmp_path / "a.npy", (LABELS % 2).astype(kind))
    labels = read_stored_labels(tmp_path / "a.npy")
    assert labels.dtype == (np.uint8 if kind is np.bool_ else kind)
    assert np.array_equal(labels, LABELS % 2)


@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_of_many_rows_are_read_as_one(tmp_path: Path, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", np.dstack([RGB, RGB[..., 0]])[..., :channels])
    whole = read_rgb(path)
    monkeypatch.setattr("nucleate.files.pixels.ROWS_AT_ONCE", 4)
    assert np.array_equal(read_rgb(path), whole)
