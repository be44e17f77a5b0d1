"""Files that the formats' own programs wrote (tests/golden/formats says how)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.data.sources import open_source
from tests.core.strategies import full
from tests.data.sources import FRAME, box_mask, read_nuclei, same, write_picture

FILES = Path(__file__).resolve().parents[1] / "golden" / "formats"


def drawing() -> NDArray[np.uint16]:
    rows, columns = np.mgrid[:24, :32]
    masks = np.zeros((24, 32), np.uint16)
    masks[((rows - 9) / 5) ** 2 + ((columns - 8) / 6) ** 2 <= 1] = 1
    masks[((rows - 9) / 5) ** 2 + ((columns - 20) / 6) ** 2 <= 1] = 2
    masks[20:24, 27:32] = 5
    return masks


def test_what_cellpose_wrote_is_read_pixel_for_pixel() -> None:
    source = open_source(FILES / "cellpose")
    assert source.format == "cellpose"
    assert [image.key for image in source.images] == ["a.png", "b.png"]
    for image in source.images:
        nuclei = source.read_nuclei(image, Frame(height_px=24, width_px=32))
        assert len(nuclei.masks) == 3
        assert np.array_equal(full(nuclei.masks), drawing()[None] == np.array([1, 2, 5])[:, None, None])


def test_what_ultralytics_wrote_is_read_with_overlap_and_classes(tmp_path: Path) -> None:
    shutil.copytree(FILES / "yolo", tmp_path / "yolo")
    write_picture(tmp_path / "yolo" / "images" / "train" / "a.png")
    nuclei = read_nuclei(tmp_path / "yolo")
    # The second ends at x 20.25: pixel 20, whose centre is 20.5, is not in it.
    assert same(nuclei.masks, np.stack([box_mask(5, 5, 15, 15), box_mask(12, 8, 20, 18)]))
    assert [nuclei.class_names[index] for index in nuclei.class_indices] == ["class 0", "class 1"]
    assert FRAME.shape == (40, 60)
