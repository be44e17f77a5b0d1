"""HoVer-Net's MATLAB files by scipy.io.savemat, PanNuke's arrays by numpy."""

from __future__ import annotations

import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from numpy.typing import NDArray

from nucleate.api.prepare import PrepareSettings, prepare
from nucleate.core import Frame
from nucleate.data import read_dataset
from nucleate.data.sources import hovernet, open_source
from nucleate.errors import DataError
from tests.core.strategies import full, label_maps
from tests.data.sources import FRAME, read_nuclei, read_only_image, write_picture


def three_nuclei() -> NDArray[np.int32]:
    instances = np.zeros((40, 60), np.int32)
    instances[5:10, 5:10], instances[5:10, 10:20], instances[20:30, 20:30] = 2, 7, 9
    return instances


def write_mat(root: Path, *, compressed: bool = True, **variables: Any) -> Path:
    write_picture(root / "Images" / "a.png")
    write_picture(root / "Overlay" / "a.png")
    path = root / "Labels" / "a.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, variables or {"inst_map": three_nuclei()}, do_compression=compressed)
    return path


def class_names(root: Path) -> list[str]:
    nuclei = read_nuclei(root)
    return [nuclei.class_names[index] for index in nuclei.class_indices]


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint16])
def test_the_instance_map_is_read_whatever_its_type(tmp_path: Path, dtype: Any, compressed: bool) -> None:
    write_mat(tmp_path, compressed=compressed, inst_map=three_nuclei().astype(dtype))
    source = open_source(tmp_path)
    assert (source.format, source.images[0].key, source.left_out) == ("hovernet", "Images/a.png", ())
    nuclei = read_only_image(source)
    assert nuclei.label_ids.tolist() == [2, 7, 9]
    assert nuclei.class_names == ("nucleus",)


def test_the_commonest_type_of_a_nucleus_is_its_class(tmp_path: Path) -> None:
    types = np.where(three_nuclei() == 7, 2, 4)
    types[5:7, 10:20] = 1
    write_mat(tmp_path / "x", inst_map=three_nuclei(), type_map=types)
    assert class_names(tmp_path / "x") == ["type 4", "type 2", "type 4"]
    write_mat(tmp_path / "CoNSeP", inst_map=three_nuclei(), type_map=types)
    assert class_names(tmp_path / "CoNSeP") == [
        "dysplastic/malignant epithelial",
        "inflammatory",
        "dysplastic/malignant epithelial",
    ]


def test_lists_of_types_go_by_their_ids(tmp_path: Path) -> None:
    lizard: dict[str, Any] = {
        "inst_map": three_nuclei(),
        "id": np.array([[9], [2], [7]]),
        "class": np.array([[1], [2], [9]]),
    }
    write_mat(tmp_path / "lizard", **lizard)
    assert class_names(tmp_path / "lizard") == ["epithelial", "type 9", "neutrophil"]
    write_mat(tmp_path / "out", inst_map=three_nuclei(), inst_uid=np.array([[9], [2]]), inst_type=np.array([[1], [2]]))
    assert class_names(tmp_path / "out") == ["type 2", "nucleus", "type 1"]
    write_mat(tmp_path / "plain", inst_map=three_nuclei(), inst_type=np.array([[1], [2], [3]]))
    assert class_names(tmp_path / "plain") == ["type 1", "type 2", "type 3"]
    write_mat(tmp_path / "odd", inst_map=three_nuclei(), inst_type=np.array([[1]]))
    assert class_names(tmp_path / "odd") == ["nucleus"] * 3


@given(label_map=label_maps())
def test_instance_maps_come_back(label_map: NDArray[np.uint16]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_mat(Path(folder), inst_map=label_map)
        nuclei = read_nuclei(Path(folder), Frame(height_px=label_map.shape[0], width_px=label_map.shape[1]))
    assert np.array_equal(full(nuclei.masks), label_map[None] == nuclei.label_ids[:, None, None])


def packed(content: bytes) -> bytes:
    data = zlib.compress(content)
    return b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + struct.pack("<II", 15, len(data)) + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no mat file at all, but long enough to have a header" * 9, "MATLAB"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(99), "MATLAB 7.3"),
        (b"short", "damaged MATLAB file"),
        (b"", "the file is empty"),
        (packed(b"nonsense" * 40), "MATLAB file|inst_map"),
        (packed(b"")[:-2], "damaged MATLAB file|inst_map"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    write_mat(tmp_path).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_nuclei(tmp_path)
    assert "\n" not in str(caught.value)
    assert "a.mat" in str(caught.value)


def test_cut_files_are_one_line(tmp_path: Path) -> None:
    path = write_mat(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged MATLAB file"):
        read_nuclei(tmp_path)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"other": 1}, "no 'inst_map'"),
        ({"inst_map": {"a": 1}}, "no 'inst_map'"),
        ({"inst_map": np.zeros((3, 7))}, "7 x 3 pixels, its image 60 x 40"),
        ({"inst_map": np.full((40, 60), 0.5)}, "label images hold integers"),
        ({"inst_map": np.full((40, 60), np.inf)}, "label images hold integers"),
        ({"inst_map": np.full((40, 60), -1)}, "negative id"),
    ],
)
def test_files_without_a_fitting_map_are_one_line(tmp_path: Path, variables: dict[str, Any], words: str) -> None:
    write_mat(tmp_path, **variables)
    with pytest.raises(DataError, match=words):
        read_nuclei(tmp_path)


def test_bombs_are_refused_before_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mat(tmp_path, inst_map=np.zeros((400, 600)))
    monkeypatch.setattr(hovernet, "MOST_BYTES", 10_000)
    with pytest.raises(DataError, match="unpacks to more than 10000 bytes"):
        read_nuclei(tmp_path)
    write_mat(tmp_path, compressed=False, inst_map=np.zeros((400, 600)))
    with pytest.raises(DataError, match="above the limit"):
        read_nuclei(tmp_path)
    monkeypatch.setattr(hovernet, "MOST_FILE_BYTES", 10)
    with pytest.raises(DataError, match="above the limit of 10"):
        read_only_image(open_source(path, images=tmp_path / "Images"))


def write_pannuke(root: Path, count: int = 3, *, parallel: bool = True) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 40, 60, 3)).astype(np.float64)
    masks = np.zeros((count, 40, 60, 6))
    masks[..., 5] = 1
    for page in range(count):
        masks[page, 5:10, 5:10, 0] = 3
        masks[page, 8:14, 5:10, 4] = 3
        masks[page, 20:30, 20 : 21 + page, 4] = 8
    folders = (root / "images" / "fold1", root / "masks" / "fold1") if parallel else (root, root)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    np.save(folders[0] / "images.npy", images)
    np.save(folders[1] / "masks.npy", masks)
    np.save(folders[0] / "types.npy", np.array(["Breast", "Adrenal_gland", "Colon"][:count]))
    return images


@pytest.mark.parametrize("parallel", [True, False])
def test_pannukes_arrays_give_images_organs_and_classes(tmp_path: Path, parallel: bool) -> None:
    images = write_pannuke(tmp_path / "in", parallel=parallel)
    source = open_source(tmp_path / "in")
    assert (source.format, len(source.images)) == ("pannuke", 3)
    assert [image.organ for image in source.images] == ["human breast", "human adrenal gland", "human colon"]
    nuclei = source.read_nuclei(source.images[1], FRAME)
    assert nuclei.masks.areas_px().tolist() == [25, 30, 20]
    assert nuclei.class_indices.tolist() == [0, 4, 4]
    report = prepare([tmp_path / "in"], output=tmp_path / "out", settings=PrepareSettings(classes=True))
    data = read_dataset(tmp_path / "out")
    assert report.nuclei == 9
    assert data.class_names == ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
    assert [data.records[0].frame.mpp, data.records[0].file_name] == [0.25, "00000.png"]
    assert np.array_equal(data.read_image(data.records[2]), images[2])
    assert data.annotations(data.records[0]).instances.class_indices.tolist() == [0, 4, 4]


def test_pannuke_without_types_has_no_organs(tmp_path: Path) -> None:
    write_pannuke(tmp_path, parallel=False)
    (tmp_path / "types.npy").unlink()
    assert {image.organ for image in open_source(tmp_path).images} == {None}


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("images", np.zeros((3, 40, 60)), "images of shape"),
        ("masks", np.zeros((3, 40, 60)), "masks of shape"),
        ("masks", np.zeros((2, 40, 60, 6)), "2 masks for 3 images"),
        ("types", np.array([1, 2, 3]), "types of int64"),
        ("types", np.array([{}], object), "Python objects"),
        ("masks", np.array([{}], object), "Python objects"),
    ],
)
def test_pannukes_arrays_of_other_shapes_are_one_line(tmp_path: Path, name: str, array: Any, words: str) -> None:
    write_pannuke(tmp_path, parallel=False)
    np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=words):
        open_source(tmp_path)


def test_pannukes_empty_arrays_and_other_values_are_one_line(tmp_path: Path) -> None:
    write_pannuke(tmp_path, parallel=False)
    np.save(tmp_path / "masks.npy", np.full((3, 40, 60, 6), 0.5))
    source = open_source(tmp_path)
    with pytest.raises(DataError, match="label images hold integers"):
        source.read_nuclei(source.images[0], FRAME)
    with pytest.raises(DataError, match="its image 4 x 4"):
        source.read_nuclei(source.images[0], Frame(height_px=4, width_px=4))
    np.save(tmp_path / "images.npy", np.full((3, 40, 60, 3), 300.0))
    with pytest.raises(DataError, match="values of 0 to 255"):
        prepare([tmp_path], output=tmp_path.parent / "out")
    for name, channels in (("images", 3), ("masks", 6)):
        np.save(tmp_path / f"{name}.npy", np.zeros((0, 40, 60, channels)))
    (tmp_path / "types.npy").unlink()
    with pytest.raises(DataError, match="hold no image"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="PanNuke's layout"):
        open_source(tmp_path / "masks.npy", source_format="pannuke")
