from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleate.errors import DataError
from nucleate.slides import is_slide
from tests.slides.slide_files import draw_slide, write_ome_pyramid, write_pyramid

FIELD = draw_slide(200, 150)
APERIO = "Aperio Image Library v1\n|AppMag = 20|MPP = 0.5"


def test_a_pyramid_is_a_slide(tmp_path: Path) -> None:
    assert is_slide(write_pyramid(tmp_path / "a.tif", FIELD, levels=2))
    assert is_slide(write_ome_pyramid(tmp_path / "a.ome.tif", FIELD))


def test_a_field_of_view_is_an_image(tmp_path: Path) -> None:
    Image.fromarray(FIELD).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", FIELD, photometric="rgb")
    assert not is_slide(tmp_path / "a.png")
    assert not is_slide(tmp_path / "a.tif")
    assert not is_slide(write_pyramid(tmp_path / "tiled.tif", FIELD, levels=1))


def test_a_scanners_file_is_a_slide_and_a_field_that_was_cut_out_of_it_an_image(tmp_path: Path) -> None:
    assert is_slide(write_pyramid(tmp_path / "a.svs", FIELD, levels=1, description=APERIO))
    assert not is_slide(write_pyramid(tmp_path / "a.tif", FIELD, levels=1, description=APERIO))


@pytest.mark.parametrize(("side_px", "expected"), [(8192, False), (8193, True)])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_more_than_8192_pixels_a_side_are_a_slide(tmp_path: Path, name: str, side_px: int, *, expected: bool) -> None:
    pixels = np.zeros((2, side_px), np.uint8)
    if name == "a.png":
        Image.fromarray(pixels).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, pixels)
    assert is_slide(tmp_path / name) is expected


def test_a_czi_is_a_slide_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(100))
    assert is_slide(tmp_path / "a.czi")


@pytest.mark.parametrize("content", [b"", b"text", b"II*\0"])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.svs"])
def test_what_is_neither_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        is_slide(tmp_path / name)


@pytest.mark.shared_data
def test_real_slides_and_fields_are_told_apart(shared_data: Path) -> None:
    slides = sorted((shared_data / "wsi").glob("*.svs"))
    assert [is_slide(path) for path in slides] == [True, True]
    assert not is_slide(next((shared_data / "tnbc" / "images").glob("*.png")))
