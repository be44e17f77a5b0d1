"""Label files by YOLO's published layout; a file of Ultralytics itself is read in test_own_tools."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from nucleate.core import trace_outlines
from nucleate.data.sources import open_source, yolo
from nucleate.errors import DataError
from tests.core.strategies import masks_of, stacks
from tests.data.sources import FRAME, box_mask, mended, read_nuclei, read_only_image, reasons, same, write_picture


def line(corners: object, class_id: int = 0, tail: str = "", size_wh: tuple[int, int] = (60, 40)) -> str:
    shares = (np.array(corners, np.float64) / size_wh).reshape(-1).tolist()
    return f"{class_id} {' '.join(map(repr, shares))}{tail}\n"


def square(x1: float, y1: float, x2: float, y2: float) -> list[tuple[float, float]]:
    return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]


def write_labels(root: Path, text: str, name: str = "a") -> Path:
    write_picture(root / "images" / "train" / f"{name}.png")
    path = root / "labels" / "train" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_lines_are_nuclei_and_may_overlap(tmp_path: Path) -> None:
    write_labels(tmp_path, line(square(5, 5, 15, 15)) + "\n" + line(square(10, 5, 20, 15), 0, " 0.75"))
    source = open_source(tmp_path)
    assert source.format == "yolo"
    nuclei = read_only_image(source)
    assert same(nuclei.masks, np.stack([box_mask(5, 5, 15, 15), box_mask(10, 5, 20, 15)]))
    assert nuclei.scores.tolist() == [1.0, 0.75]
    assert nuclei.class_names == ("class 0",)


def test_an_empty_file_is_an_image_without_nuclei_and_none_is_left_out(tmp_path: Path) -> None:
    write_labels(tmp_path, line(square(5, 5, 15, 15)))
    write_labels(tmp_path, "\n", "b")
    write_picture(tmp_path / "images" / "train" / "c.png")
    source = open_source(tmp_path)
    counts = [len(source.read_nuclei(image, FRAME).masks) for image in source.images]
    assert counts == [1, 0]
    assert [each.reason for each in source.left_out] == ["image without a YOLO label file"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: [tumour, stroma]"),
        ("dataset.yml", "names:\n  0: tumour\n  1: stroma\n"),
        ("classes.txt", "tumour\n\nstroma\n"),
    ],
)
def test_class_names_stand_above_the_labels(tmp_path: Path, name: str, text: str) -> None:
    write_labels(tmp_path, line(square(5, 5, 15, 15), 1) + line(square(5, 5, 15, 15), 9))
    (tmp_path / "args.yaml").write_text("epochs: 3")
    (tmp_path / name).write_text(text)
    assert read_nuclei(tmp_path).class_names == ("stroma", "class 9")


def test_boxes_and_other_lines_are_named(tmp_path: Path) -> None:
    lines = ["0 0.5 0.5 0.1 0.1\n", "0 0.1 0.1 0.2 0.2 0.3 x\n", "0.5 0 0 1 0 1 1\n", "0 0 0\n", "0 0 0 1 0 1 1 7\n"]
    write_labels(tmp_path, "".join(lines) + line(square(5, 5, 15, 15)))
    nuclei = read_nuclei(tmp_path)
    assert nuclei.label_ids.tolist() == [6]
    assert reasons(nuclei) == ["box without an outline"] + ["line that is no class and outline"] * 4
    assert nuclei.dropped[0].item == "images/train/a.png: line 1"


def test_crossing_and_cut_outlines_are_counted(tmp_path: Path) -> None:
    write_labels(tmp_path, line([(2, 2), (12, 12), (12, 2), (2, 12)]) + line(square(50, 5, 63, 9)))
    assert mended(read_nuclei(tmp_path)) == ["self-crossing outline repaired", "nucleus cut at the image's border"]


@given(stack=stacks(least=1))
def test_simple_masks_come_back(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack)
    size_wh = (masks.frame.width_px, masks.frame.height_px)
    outlines = [(index, trace_outlines(masks, index)) for index in range(len(masks))]
    simple = [(index, each[0]) for index, each in outlines if len(each) == 1 and not each[0].holes_xy]
    text = "".join(line(outline.exterior_xy, size_wh=size_wh) for _, outline in simple)
    with tempfile.TemporaryDirectory() as folder:
        write_labels(Path(folder), text + "0 0 0 1 1\n")
        nuclei = read_nuclei(Path(folder), masks.frame)
    assert same(nuclei.masks, stack[[index for index, _ in simple]])


def test_files_that_are_no_text_or_too_large_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_labels(tmp_path, line(square(5, 5, 15, 15)))
    with path.open("ab") as file:
        file.write(b"0 \xff\n")
    with pytest.raises(DataError, match=r"a\.txt: no text"):
        read_nuclei(tmp_path)
    (tmp_path / "data.yaml").write_text("names: [a")
    with pytest.raises(DataError, match=r"data\.yaml: damaged YAML"):
        read_nuclei(tmp_path)
    monkeypatch.setattr(yolo, "MOST_FILE_BYTES", 10)
    with pytest.raises(DataError, match="above the limit"):
        read_nuclei(tmp_path)


def test_other_text_is_no_label_file(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("read me\n")
    with pytest.raises(DataError, match="no annotated images"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="no annotated images"):
        open_source(tmp_path / "a.txt")


def test_large_descriptions_are_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_labels(tmp_path, line(square(5, 5, 15, 15)))
    (tmp_path / "data.yaml").write_text("names: [tumour]")
    monkeypatch.setattr(yolo, "MOST_NAMES_BYTES", 5)
    assert read_only_image(open_source(path, images=tmp_path / "images")).class_names == ("class 0",)
