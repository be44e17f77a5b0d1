from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from PIL import Image

from nucleate import ImageArray
from nucleate.errors import DataError
from nucleate.inference import collect_inputs

RGB: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


class Unreadable:
    """An array that knows its shape and type and must not be read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __array__(self) -> NDArray[Any]:
        raise AssertionError("was read")


@pytest.mark.parametrize(
    "source",
    [RGB, Image.fromarray(RGB), zarr.array(RGB), da.from_array(RGB, chunks=(3, 3, 3))],
    ids=["numpy", "pillow", "zarr", "dask"],
)
def test_image_in_memory_needs_no_list(source: Any) -> None:
    (item,) = collect_inputs(source)
    assert item.name == "array"
    assert np.array_equal(item.read(), RGB)


def test_kinds_of_images_stand_in_one_list(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    sources = [da.from_array(RGB), tmp_path / "a.png", zarr.array(RGB), ImageArray(RGB, name="b"), Image.fromarray(RGB)]
    inputs = collect_inputs(sources)
    assert [item.name for item in inputs] == ["array_1", "a", "array_2", "b", "array_3"]
    assert all(np.array_equal(item.read(), RGB) for item in inputs)


def test_mpp_and_name_of_an_image_array_are_the_inputs() -> None:
    named, unnamed, plain = collect_inputs([ImageArray(RGB, mpp=0.25, name="biopsy 3"), ImageArray(RGB, mpp=0.5), RGB])
    assert (named.name, named.file, named.mpp) == ("biopsy 3", "biopsy 3", 0.25)
    assert (unnamed.name, unnamed.mpp) == ("array_1", 0.5)
    assert plain.mpp is None


def test_arrays_of_one_name_are_numbered() -> None:
    sources = [ImageArray(RGB, name=name) for name in ("a", "A", "a_2", "a")]
    inputs = collect_inputs(sources)
    assert [item.name for item in inputs] == ["a", "A_3", "a_2", "a_4"]
    assert [item.file for item in inputs] == [item.name for item in inputs]


def test_array_with_a_files_name_differs_from_it_in_the_tables(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    inputs = collect_inputs([tmp_path / "a.png", ImageArray(RGB, name="a.png")])
    assert [item.file for item in inputs] == ["a.png", "a.png_2"]


def test_lazy_array_is_read_when_its_pixels_are_asked_for() -> None:
    (item,) = collect_inputs(Unreadable((6, 9, 3)))
    with pytest.raises(AssertionError, match="was read"):
        item.read()


@pytest.mark.parametrize("shape", [(40_000, 40_000, 3), (40_000, 40_000)])
def test_lazy_array_above_the_limit_is_refused_unread(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="array: 40000 x 40000 pixels, above the limit of 268435456") as error:
        collect_inputs(Unreadable(shape))
    assert "\n" not in str(error.value)


def test_dask_array_of_unknown_size_is_refused() -> None:
    array = da.from_array(RGB, chunks=(3, 9, 3))
    with pytest.raises(DataError, match="compute_chunk_sizes"):
        collect_inputs(array[array[:, 0, 0] > 100])


def test_lazy_arrays_values_are_refused_with_its_name_when_it_is_read() -> None:
    (item,) = collect_inputs(ImageArray(da.full((4, 5), 9.0), name="b"))
    with pytest.raises(DataError, match="b: pixels of type float64 from 9 to 9"):
        item.read()


def test_checksum_does_not_depend_on_how_pixels_are_stored() -> None:
    sums = {item.sha256() for item in collect_inputs([RGB, zarr.array(RGB), Image.fromarray(RGB)])}
    assert len(sums) == 1


@pytest.mark.parametrize("source", [zarr.group(), {"a": RGB}, 3, None], ids=["group", "dict", "int", "None"])
def test_what_is_no_image_is_refused_by_its_type(source: Any) -> None:
    with pytest.raises(DataError, match=f"{type(source).__name__} is no image: give files"):
        collect_inputs(source)


def test_list_in_a_list_is_refused() -> None:
    with pytest.raises(DataError, match="array: list is no image"):
        collect_inputs([RGB.tolist()])


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a:b", "a ", "a.", "a\nb", "a//b"])
def test_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="can't name a file"):
        ImageArray(RGB, name=name)


@pytest.mark.parametrize("name", ["a", "liver/slide 1.2", "Gewebe ä"])
def test_name_may_hold_folders_spaces_and_letters(name: str) -> None:
    assert collect_inputs(ImageArray(RGB, name=name))[0].name == name


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_mpp_is_refused(mpp: float) -> None:
    with pytest.raises(DataError, match="biopsy: .* um a pixel"):
        ImageArray(RGB, mpp=mpp, name="biopsy")


def test_image_array_of_no_image_is_refused_when_it_is_made() -> None:
    with pytest.raises(DataError, match="channels first"):
        ImageArray(np.moveaxis(np.zeros((20, 30, 3), np.uint8), -1, 0))


def test_neither_zarr_nor_dask_nor_pandas_is_imported() -> None:
    """None of them is a dependency."""
    code = (
        "import sys, numpy, nucleate.api, nucleate.inference as i; i.collect_inputs(numpy.zeros((4, 5), 'u1'));"
        "sys.exit(any(name in sys.modules for name in ('zarr', 'dask', 'pandas', 'geopandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
