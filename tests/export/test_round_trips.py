"""Every format that `export` writes and the COCO of `prepare`, read again: equal, or different as docs/formats.md says.

The scenes hold what annotations have: nuclei that touch, overlap, have holes, parts or one pixel, or lie at the border.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from nucleate.api.prepare import PrepareSettings, prepare
from nucleate.core import Masks
from nucleate.data import read_dataset
from nucleate.data.segmentations import MaskEncoding
from nucleate.export import DatasetFormat, write_dataset
from tests.core.strategies import masks_of
from tests.export.test_dataset_export import AS_LABELS, KEEPING_ALL, full, opened, write_coco

Stack = NDArray[np.bool_]
ENCODINGS: tuple[MaskEncoding, ...] = ("auto", "rle", "polygon")
FEW, MANY = 8, 400


def _ellipse(rows: NDArray[np.int64], columns: NDArray[np.int64], draw: st.DrawFn) -> Stack:
    height_px, width_px = rows.shape
    cy, cx = draw(st.integers(-2, height_px + 2)), draw(st.integers(-2, width_px + 2))
    ry, rx = draw(st.floats(0.5, 8)), draw(st.floats(0.5, 8))
    return ((rows - cy) / ry) ** 2 + ((columns - cx) / rx) ** 2 <= 1


@st.composite
def scenes(draw: st.DrawFn) -> Stack:
    """Draw (N, H, W) nuclei, at least one, none without a pixel."""
    height_px, width_px = draw(st.integers(4, 28)), draw(st.integers(4, 28))
    rows, columns = np.mgrid[:height_px, :width_px]
    nuclei: list[Stack] = []
    for kind in draw(
        st.lists(st.sampled_from(["whole", "hole", "parts", "pixel", "touching"]), min_size=1, max_size=6)
    ):
        mask = _ellipse(rows, columns, draw)
        if kind == "hole":
            # Away from the border, where it would be a bay.
            mask = mask & ~ndimage.binary_erosion(mask, iterations=draw(st.integers(1, 2)))
        elif kind == "parts":
            mask = mask | _ellipse(rows, columns, draw)
        elif kind == "pixel":
            mask = (rows == draw(st.integers(0, height_px - 1))) & (columns == draw(st.integers(0, width_px - 1)))
        elif kind == "touching" and nuclei:
            mask = ndimage.binary_dilation(nuclei[-1]) & ~nuclei[-1]
        nuclei.append(mask)
    stack = np.array([mask for mask in nuclei if mask.any()], np.bool_).reshape(-1, height_px, width_px)
    return stack if len(stack) else np.ones((1, height_px, width_px), np.bool_)


def sorted_masks(masks: Masks) -> list[bytes]:
    return sorted(mask.tobytes() for mask in full(masks)) if len(masks) else []


def owned(stack: Stack) -> Stack:
    """Return each mask without the pixels of earlier ones: scores are equal, so the earlier owns."""
    earlier = np.cumsum(stack, axis=0) - stack > 0
    left: Stack = np.logical_and(stack, ~earlier)
    return left[left.any(axis=(1, 2))]


def components(stack: Stack) -> Stack:
    labels, count = ndimage.label(stack.any(axis=0))
    return np.array([labels == number for number in range(1, count + 1)])


def check_export(to: DatasetFormat, expected: Callable[[Stack], Stack], stack: Stack) -> None:
    masks = masks_of(stack)
    with tempfile.TemporaryDirectory() as name:
        report = write_dataset(write_coco(Path(name) / "in", masks), to, Path(name) / "out")
        source = opened(Path(name) / "out", to)
        nuclei = source.read_nuclei(source.images[0], masks.frame)
    assert sorted_masks(nuclei.masks) == sorted(mask.tobytes() for mask in expected(stack))
    lossy = to in AS_LABELS or to == "binary-masks"
    assert report.shared_px == (np.count_nonzero(stack.sum(axis=0) > 1) if lossy else 0)
    assert nuclei.dropped == ()


def check_coco(encoding: MaskEncoding, stack: Stack) -> None:
    masks = masks_of(stack)
    with tempfile.TemporaryDirectory() as name:
        write_coco(Path(name) / "in", masks)
        report = prepare([Path(name) / "in"], output=Path(name) / "out", settings=PrepareSettings(masks=encoding))
        dataset = read_dataset(Path(name) / "out")
        again = full(dataset.annotations(dataset.records[0]).instances.masks)
    different = np.count_nonzero((again != stack).any(axis=(1, 2)))
    if encoding != "polygon":
        assert different == 0
    noted = [note for note in report.notes if "polygons differ from their masks" in note]
    assert bool(noted) == bool(different)
    assert not different or f"{different} polygons differ" in noted[0]


EXPECTED: dict[DatasetFormat, Callable[[Stack], Stack]] = {
    **dict.fromkeys(KEEPING_ALL, lambda stack: stack),
    **dict.fromkeys(AS_LABELS, owned),
    "binary-masks": components,
}


@pytest.mark.parametrize("to", EXPECTED)
@settings(max_examples=FEW)
@given(stack=scenes())
def test_an_export_comes_back(to: DatasetFormat, stack: Stack) -> None:
    check_export(to, EXPECTED[to], stack)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=FEW // 2)
@given(stack=scenes())
def test_a_prepared_set_comes_back(encoding: MaskEncoding, stack: Stack) -> None:
    check_coco(encoding, stack)


@pytest.mark.slow
@pytest.mark.parametrize("to", EXPECTED)
@settings(max_examples=MANY)
@given(stack=scenes())
def test_many_exports_come_back(to: DatasetFormat, stack: Stack) -> None:
    check_export(to, EXPECTED[to], stack)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=MANY // 2)
@given(stack=scenes())
def test_many_prepared_sets_come_back(encoding: MaskEncoding, stack: Stack) -> None:
    check_coco(encoding, stack)
