from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from nucleate.core import Masks, Rle, decode_polygons, decode_rles
from nucleate.data.segmentations import MaskEncoding, Segmentation, encode_segmentations
from tests.core.strategies import masks_of, stacks


def decoded(masks: Masks, segmentation: Segmentation) -> NDArray[np.bool_]:
    value: Any = segmentation.value
    if segmentation.kind == "rle":
        return decode_rles(masks.frame, [Rle(size_hw=tuple(value["size"]), counts=value["counts"])]).full(0)
    return decode_polygons(masks.frame, [np.array(ring).reshape(-1, 2) for ring in value])


@pytest.mark.parametrize("encoding", ["auto", "rle"])
@given(stack=stacks())
def test_auto_and_rle_lose_no_pixel(encoding: MaskEncoding, stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack[stack.any(axis=(1, 2))])
    for index, segmentation in enumerate(encode_segmentations(masks, encoding)):
        assert np.array_equal(decoded(masks, segmentation), masks.full(index))
        assert segmentation.lost_px == 0


@pytest.mark.parametrize("encoding", ["auto", "polygon", "rle"])
@given(stack=stacks())
def test_box_and_area_are_those_of_the_decoded_pixels(encoding: MaskEncoding, stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack[stack.any(axis=(1, 2))])
    for index, segmentation in enumerate(encode_segmentations(masks, encoding)):
        pixels = decoded(masks, segmentation)
        ys, xs = np.nonzero(pixels)
        assert segmentation.area_px == pixels.sum()
        box_xywh = [int(value) for value in (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)]
        assert list(segmentation.box_xywh) == box_xywh
        assert segmentation.lost_px == np.count_nonzero(pixels != masks.full(index))


def ring_and_parts() -> Masks:
    stack = np.zeros((3, 12, 12), np.bool_)
    stack[0, 2:6, 2:7] = True
    stack[1, 2:8, 2:8], stack[1, 4:6, 4:6] = True, False
    stack[2, 1:4, 1:4] = stack[2, 7:10, 7:10] = True
    return masks_of(stack)


def test_auto_takes_run_lengths_for_holes_and_parts_alone() -> None:
    assert [each.kind for each in encode_segmentations(ring_and_parts(), "auto")] == ["polygon", "rle", "rle"]


def test_forced_polygons_fill_holes_and_count_it() -> None:
    segmentations = encode_segmentations(ring_and_parts(), "polygon")
    assert [each.kind for each in segmentations] == ["polygon"] * 3
    assert [each.lost_px for each in segmentations] == [0, 4, 0]
    assert [len(each.value) for each in segmentations] == [1, 1, 2]


def test_no_mask_has_no_segmentation() -> None:
    assert encode_segmentations(masks_of(np.zeros((0, 3, 3), np.bool_)), "auto") == []
