"""One mask file a nucleus, and binary masks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from PIL import Image

from nucleate.data.sources import open_source
from nucleate.errors import DataError
from nucleate.files import image_size
from tests.core.strategies import masks_of, stacks
from tests.data.sources import box_mask, read_nuclei, read_only_image, reasons, same, write_picture


def write_mask(path: Path, mask: NDArray[np.bool_], value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * np.uint8(value)).save(path)


def write_bowl(root: Path, stack: NDArray[np.bool_], name: str = "01d4") -> None:
    write_picture(root / name / "images" / f"{name}.png", masks_of(stack).frame)
    for number, mask in enumerate(stack):
        write_mask(root / name / "masks" / f"{number:02d}aa.png", mask)


def test_one_file_is_one_nucleus_and_an_empty_one_is_named(tmp_path: Path) -> None:
    parts = box_mask(5, 5, 9, 9) | box_mask(20, 5, 29, 9)
    write_bowl(tmp_path, np.stack([parts, box_mask(0, 0, 0, 0), box_mask(8, 5, 12, 9)]))
    source = open_source(tmp_path)
    assert (source.format, source.images[0].key) == ("nucleus-masks", "01d4/images/01d4.png")
    nuclei = read_only_image(source)
    assert same(nuclei.masks, np.stack([parts, box_mask(8, 5, 12, 9)]))
    assert [(each.reason, each.item) for each in nuclei.dropped] == [
        ("mask file without a pixel", "01d4/images/01d4.png: 01aa.png")
    ]
    assert len(read_nuclei(tmp_path / "01d4").masks) == 2


def test_the_bowls_sample_has_67_nuclei(shared_data: Path) -> None:
    source = open_source(shared_data / "dsb2018_sample")
    frames = [masks_of(np.zeros((1, *image_size(image.path)), np.bool_)).frame for image in source.images]
    counts = [len(source.read_nuclei(image, frame).masks) for image, frame in zip(source.images, frames, strict=True)]
    assert (len(counts), sum(counts)) == (8, 67)


@given(stack=stacks(least=1))
def test_mask_files_come_back(stack: NDArray[np.bool_]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_bowl(Path(folder), stack)
        nuclei = read_nuclei(Path(folder), masks_of(stack).frame)
    assert same(nuclei.masks, stack[stack.any(axis=(1, 2))])


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    write_bowl(tmp_path, box_mask(5, 5, 9, 9)[None])
    write_mask(tmp_path / "01d4" / "masks" / "x.png", np.ones((3, 7), np.bool_))
    with pytest.raises(DataError, match="the mask is 7 x 3 pixels, its image 60 x 40"):
        read_nuclei(tmp_path)


def test_masks_of_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bowl(tmp_path, box_mask(5, 5, 9, 9)[None])
    monkeypatch.setattr("nucleate.data.sources.shapes.MOST_MASK_PX", 15)
    with pytest.raises(DataError, match="more than 15 pixels"):
        read_nuclei(tmp_path)


def write_binary(root: Path, mask: NDArray[np.bool_], folder: str = "masks", value: int = 255) -> None:
    write_picture(root / "images" / "a.png")
    write_mask(root / folder / "a.png", mask, value)


@pytest.mark.parametrize("folder", ["masks", "mask binary"])
def test_components_of_a_binary_mask_are_nuclei_and_it_is_said(tmp_path: Path, folder: str) -> None:
    touching = box_mask(5, 5, 9, 9) | box_mask(9, 9, 12, 12)
    write_binary(tmp_path, touching, folder)
    source = open_source(tmp_path)
    assert source.format == "binary-masks"
    assert "components" in source.notes[0]
    assert same(read_only_image(source).masks, np.stack([box_mask(5, 5, 9, 9), box_mask(9, 9, 12, 12)]))


def test_an_image_without_a_nucleus_stays_empty(tmp_path: Path) -> None:
    write_binary(tmp_path, box_mask(0, 0, 0, 0))
    nuclei = read_nuclei(tmp_path)
    assert len(nuclei.masks) == 0
    assert reasons(nuclei) == []


def test_binary_masks_elsewhere_need_their_name(tmp_path: Path) -> None:
    write_binary(tmp_path / "x", box_mask(5, 5, 9, 9) | box_mask(20, 5, 24, 9))
    (tmp_path / "x" / "masks").rename(tmp_path / "others")
    assert open_source(tmp_path / "x", labels=tmp_path / "others").format == "label-images"
    (tmp_path / "others" / "a.png").rename(tmp_path / "others" / "a_mask.png")
    source = open_source(tmp_path / "x", labels=tmp_path / "others", source_format="binary-masks")
    assert len(read_only_image(source).masks) == 2


def test_label_images_are_not_taken_for_binary_masks(tmp_path: Path) -> None:
    write_binary(tmp_path, box_mask(5, 5, 9, 9))
    labels = box_mask(5, 5, 9, 9).astype(np.uint8) + 2 * box_mask(20, 5, 24, 9).astype(np.uint8)
    Image.fromarray(labels).save(tmp_path / "masks" / "a.png")
    with pytest.raises(DataError, match="2 values beside 0.*label-images"):
        read_nuclei(tmp_path)
    write_mask(tmp_path / "labels" / "a.png", box_mask(5, 5, 9, 9))
    assert open_source(tmp_path).format == "label-images"


def test_damaged_masks_are_one_line(tmp_path: Path) -> None:
    write_binary(tmp_path, box_mask(5, 5, 9, 9))
    path = tmp_path / "masks" / "a.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="a.png"):
        read_nuclei(tmp_path)
