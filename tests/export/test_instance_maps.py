from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleate.core import Frame, Instances, Masks
from nucleate.errors import DataError
from nucleate.export import instance_map, write_instance_map
from nucleate.files import read_label_map


def specks(count: int) -> Instances:
    """One pixel a nucleus, side by side."""
    frame = Frame(height_px=(count + 299) // 300 + 1, width_px=300)
    xs, ys = np.arange(count) % 300, np.arange(count) // 300
    windows = np.stack([xs, ys, xs + 1, ys + 1], axis=1).astype(np.int32)
    return Instances.from_masks(Masks(frame=frame, windows_xyxy=windows, bits=np.ones(count, np.bool_)))


@pytest.mark.parametrize(
    ("count", "kind"),
    [(0, np.uint8), (255, np.uint8), (256, np.uint16), (65_535, np.uint16), (65_536, np.uint32)],
)
def test_map_has_the_smallest_type_that_holds_every_nucleus(count: int, kind: type) -> None:
    numbers = instance_map(specks(count) if count else Instances.empty(Frame(height_px=2, width_px=2)))
    assert numbers.dtype == kind
    assert numbers.max() == count


@pytest.mark.parametrize(("count", "name"), [(255, "a.png"), (256, "a.png"), (65_536, "a.tif")])
def test_written_map_reads_back_equal(tmp_path: Path, count: int, name: str) -> None:
    numbers = instance_map(specks(count))
    path = write_instance_map(tmp_path, "a", numbers)
    assert path == tmp_path / name
    assert np.array_equal(read_label_map(path), numbers)


def test_more_than_255_nuclei_make_a_16_bit_png(tmp_path: Path) -> None:
    with Image.open(write_instance_map(tmp_path, "a", instance_map(specks(300)))) as image:
        assert image.mode == "I;16"


def test_better_score_owns_shared_pixels_and_numbers_stay_those_of_the_table() -> None:
    frame = Frame(height_px=1, width_px=6)
    windows = np.array([[0, 0, 4, 1], [2, 0, 6, 1]], np.int32)
    masks = Masks.from_bitmaps(frame, windows, [np.ones((1, 4), np.bool_)] * 2)
    found = Instances.from_masks(masks, scores=np.array([0.6, 0.9], np.float32))
    assert instance_map(found).tolist() == [[1, 1, 2, 2, 2, 2]]


def test_stem_keeps_its_dots_and_folders(tmp_path: Path) -> None:
    path = write_instance_map(tmp_path, "liver/slide.2", np.zeros((2, 2), np.uint8))
    assert path == tmp_path / "liver" / "slide.2.png"


def test_map_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="int64"):
        write_instance_map(tmp_path, "a", np.zeros((2, 2), np.int64))
