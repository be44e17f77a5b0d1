from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleate.files import image_mpp

PIXELS = np.zeros((6, 5, 3), np.uint8)


def tiff(folder: Path, **options: Any) -> Path:
    tifffile.imwrite(folder / "a.tif", PIXELS, photometric="rgb", **options)
    return folder / "a.tif"


def test_tiff_states_pixels_a_centimetre(tmp_path: Path) -> None:
    path = tiff(tmp_path, resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    assert image_mpp(path) == pytest.approx(0.25)


def test_tiff_states_pixels_an_inch(tmp_path: Path) -> None:
    assert image_mpp(tiff(tmp_path, resolution=(50_800, 50_800), resolutionunit="INCH")) == pytest.approx(0.5)


@pytest.mark.parametrize("dots_per_inch", [72, 96, 300, 1_000_000])
def test_resolution_of_a_screen_or_a_printer_is_nobodys_scale(tmp_path: Path, dots_per_inch: int) -> None:
    assert image_mpp(tiff(tmp_path, resolution=(dots_per_inch, dots_per_inch), resolutionunit="INCH")) is None


def test_resolution_without_a_unit_is_not_believed(tmp_path: Path) -> None:
    assert image_mpp(tiff(tmp_path, resolution=(40_000, 40_000), resolutionunit="NONE")) is None


def test_pixels_that_are_no_squares_are_not_believed(tmp_path: Path) -> None:
    assert image_mpp(tiff(tmp_path, resolution=(40_000, 30_000), resolutionunit="CENTIMETER")) is None


def test_tiff_without_a_resolution_states_none(tmp_path: Path) -> None:
    assert image_mpp(tiff(tmp_path)) is None


def test_aperio_states_it_in_the_description(tmp_path: Path) -> None:
    path = tiff(tmp_path, description="Aperio Image Library v11.2.1|AppMag = 20|MPP = 0.4990|Left = 25.69")
    assert image_mpp(path) == 0.499


@pytest.mark.parametrize(("size", "unit"), [(0.23, "µm"), (230.0, "nm"), (0.00023, "mm")])
def test_ome_states_the_size_of_a_pixel_with_its_unit(tmp_path: Path, size: float, unit: str) -> None:
    metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit, "PhysicalSizeY": size}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="rgb", metadata=metadata)
    assert image_mpp(tmp_path / "a.ome.tif") == pytest.approx(0.23)


def test_ome_without_a_unit_means_micrometres(tmp_path: Path) -> None:
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="rgb", metadata=metadata)
    assert image_mpp(tmp_path / "a.ome.tif") == 0.5


@pytest.mark.parametrize("metadata", [{"axes": "YXS"}, {"axes": "YXS", "PhysicalSizeX": 1, "PhysicalSizeXUnit": "ly"}])
def test_ome_without_a_known_size_states_none(tmp_path: Path, metadata: dict[str, object]) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="rgb", metadata=metadata)
    assert image_mpp(tmp_path / "a.ome.tif") is None


def test_imagej_states_pixels_a_micron(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=(4, 4), metadata={"unit": "um", "axes": "YXS"})
    assert image_mpp(tmp_path / "a.tif") == pytest.approx(0.25)


def test_png_states_pixels_a_metre(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png", dpi=(50_800, 50_800))
    assert image_mpp(tmp_path / "a.png") == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_screen_density_of_a_picture_is_not_believed(tmp_path: Path, name: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name, dpi=(96, 96))
    assert image_mpp(tmp_path / name) is None


def test_png_without_a_density_states_none(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    assert image_mpp(tmp_path / "a.png") is None


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_damaged_or_missing_file_states_none(tmp_path: Path, name: str) -> None:
    assert image_mpp(tmp_path / name) is None
    (tmp_path / name).write_bytes(b"II*\0 no image")
    assert image_mpp(tmp_path / name) is None
