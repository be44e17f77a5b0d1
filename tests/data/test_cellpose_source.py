"""Files of Cellpose's own layout, written with numpy as its `io.masks_flows_to_seg` does."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from numpy.typing import NDArray
from PIL import Image

from nucleate.core import Frame
from nucleate.data.sources import cellpose, open_source
from nucleate.errors import DataError
from tests.core.strategies import full, label_maps
from tests.data.sources import read_nuclei, read_only_image, write_picture


def two_nuclei() -> NDArray[np.int32]:
    masks = np.zeros((40, 60), np.int32)
    masks[5:10, 5:10], masks[5:10, 10:20] = 2, 7
    return masks


def write_seg(folder: Path, masks: Any, **others: Any) -> Path:
    """Write what Cellpose's window does: outlines, colours, flows, settings beside the masks."""
    write_picture(folder / "a.png")
    path = folder / "a_seg.npy"
    content = {
        "outlines": np.zeros((4, 4), np.uint16),
        "masks": masks,
        "chan_choose": [0, 0],
        "ismanual": np.zeros(2, bool),
        "filename": "a.png",
        "flows": [np.zeros((1, 4, 4, 3), np.uint8), [], np.zeros((2, 4, 4), np.float32)],
        "diameter": np.float64(17.5),
        "est_diam": np.nan,
        **others,
    }
    np.save(path, content, allow_pickle=True)  # type: ignore[arg-type]
    return path


def test_the_windows_file_is_read_with_its_ids(tmp_path: Path) -> None:
    write_seg(tmp_path, two_nuclei())
    Image.fromarray(np.ones((40, 60), np.uint8)).save(tmp_path / "a_cp_masks.png")
    source = open_source(tmp_path)
    assert (source.format, len(source.images), source.left_out) == ("cellpose", 1, ())
    nuclei = read_only_image(source)
    assert nuclei.label_ids.tolist() == [2, 7]
    assert nuclei.masks.areas_px().tolist() == [25, 50]


@pytest.mark.parametrize("name", ["a_masks.png", "a_cp_masks.tif", "a_masks.tif"])
def test_mask_images_of_the_command_are_read(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / "a.png")
    if name.endswith("png"):
        Image.fromarray(two_nuclei().astype(np.uint8)).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, two_nuclei().astype(np.uint16))
    write_picture(tmp_path / "a_flows.png")
    (tmp_path / "a_cp_outlines.txt").write_text("1,2,3\n")
    source = open_source(tmp_path)
    assert (source.format, source.left_out) == ("cellpose", ())
    assert read_only_image(source).label_ids.tolist() == [2, 7]


def test_training_images_may_be_called_img(tmp_path: Path) -> None:
    write_picture(tmp_path / "a_img.png")
    Image.fromarray(two_nuclei().astype(np.uint8)).save(tmp_path / "a_masks.png")
    assert open_source(tmp_path).images[0].key == "a_img.png"


@given(label_map=label_maps())
def test_label_maps_come_back(label_map: NDArray[np.uint16]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_seg(Path(folder), label_map)
        nuclei = read_nuclei(Path(folder), Frame(height_px=label_map.shape[0], width_px=label_map.shape[1]))
    assert np.array_equal(full(nuclei.masks), label_map[None] == nuclei.label_ids[:, None, None])


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch outside",)


def broken(kind: str, folder: Path) -> None:
    path = write_seg(folder, two_nuclei(), x=Evil() if kind == "evil" else 0)
    whole = path.read_bytes()
    match kind:
        case "cut":
            path.write_bytes(whole[:-40])
        case "plain":
            np.save(path, two_nuclei())
        case "list":
            np.save(path, np.array([[1], 2], object), allow_pickle=True)
        case "no masks":
            np.save(path, {"x": 1}, allow_pickle=True)  # type: ignore[arg-type]
        case "text":
            path.write_text("no array")
        case "empty":
            path.write_bytes(b"")
        case "floats":
            write_seg(folder, two_nuclei() / 2)
        case "stack":
            write_seg(folder, np.stack([two_nuclei()] * 2))
        case "negative":
            write_seg(folder, -two_nuclei())
        case "size":
            write_seg(folder, two_nuclei()[:3, :7])
        case "version":
            path.write_bytes(whole[:6] + b"\x09" + whole[7:])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("evil", "only numpy arrays are allowed"),
        ("cut", "no readable pickle"),
        ("plain", "holds a plain array"),
        ("list", "a dict and its 'masks'"),
        ("no masks", "a dict and its 'masks'"),
        ("text", "a dict and its 'masks'"),
        ("empty", "the file is empty"),
        ("floats", "this holds float64"),
        ("stack", r"shape \(2, 40, 60\)"),
        ("negative", "negative id -7"),
        ("size", "7 x 3 pixels, its image 60 x 40"),
        ("version", "no file of Cellpose"),
    ],
)
def test_broken_and_hostile_files_are_one_line(tmp_path: Path, kind: str, words: str) -> None:
    broken(kind, tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        read_nuclei(tmp_path)
    assert "\n" not in str(caught.value)
    assert "a_seg.npy" in str(caught.value)
    assert not Path("outside").exists()


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_seg(tmp_path, two_nuclei())
    monkeypatch.setattr(cellpose, "MOST_SEG_BYTES", 10)
    with pytest.raises(DataError, match="above the limit"):
        read_nuclei(tmp_path)


def test_a_seg_file_can_be_given_alone(tmp_path: Path) -> None:
    path = write_seg(tmp_path, two_nuclei())
    assert len(read_only_image(open_source(path)).masks) == 2
