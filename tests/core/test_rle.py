from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from nucleate.core import (
    Frame,
    Masks,
    Rle,
    decode_polygons,
    decode_rles,
    encode_polygons,
    encode_rings,
    encode_rles,
    rle_from_counts,
    rle_problem,
    trace_all_outlines,
)
from nucleate.errors import DataError
from tests.core.strategies import full, masks_of, stacks

# pycocotools 2.0.11 lags behind numpy 2 inside `decode`; nucleate's own decoding does not call it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FRAME = Frame(height_px=10, width_px=12)


def coco_decoded(code: Rle) -> NDArray[np.bool_]:
    coco: Any = code.to_coco()
    return np.asarray(coco_mask.decode(coco), np.bool_)


@given(stacks())
def test_codes_are_those_of_pycocotools(stack: NDArray[np.bool_]) -> None:
    for code, mask in zip(encode_rles(masks_of(stack)), stack, strict=True):
        expected: Any = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert code.to_coco() == {"size": list(mask.shape), "counts": expected["counts"].decode()}


@given(stacks())
def test_codes_are_the_same_on_sheets_of_one_mask(stack: NDArray[np.bool_]) -> None:
    together = encode_rles(masks_of(stack))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nucleate.core.sheets.MOST_SHEET_PX", 1)
        assert encode_rles(masks_of(stack)) == together


@given(stacks())
def test_rings_in_one_call_have_the_codes_of_each_alone(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack)
    rings = [outline.exterior_xy for outlines in trace_all_outlines(masks) for outline in outlines]
    assert encode_rings(masks.frame, rings) == [encode_polygons(masks.frame, [ring]) for ring in rings]


@given(stacks())
def test_codes_decode_to_the_masks(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack)
    decoded = decode_rles(masks.frame, encode_rles(masks))
    assert np.array_equal(full(decoded), stack)
    assert np.array_equal(decoded.windows_xyxy, masks.windows_xyxy)


@given(stacks())
def test_sound_codes_have_no_problem(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack)
    assert [rle_problem(code, masks.frame) for code in encode_rles(masks)] == [None] * len(stack)


@given(stacks(least=1), st.data())
def test_plain_counts_give_the_same_code(stack: NDArray[np.bool_], data: st.DataObject) -> None:
    masks = masks_of(stack[:1])
    flat = stack[0].ravel(order="F")
    starts = np.flatnonzero(np.diff(np.concatenate([[False], flat]))).tolist()
    counts = np.diff([0, *starts, flat.size]).tolist()
    assert rle_from_counts(masks.frame, counts) == encode_rles(masks)[0]


@pytest.mark.parametrize(
    ("counts", "words"),
    [([50, 60], "cover 110 of 120"), ([130, -10], "integers"), ([0.5, 119.5], "integers"), ([], "cover 0 of 120")],
)
def test_unsound_counts_are_refused(counts: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        rle_from_counts(FRAME, counts)


@pytest.mark.parametrize("counts", ["", "zzzz", "0", "1o7", "a b", "é"])
def test_unsound_codes_have_a_problem(counts: str) -> None:
    assert rle_problem(Rle(size_hw=FRAME.shape, counts=counts), FRAME) is not None


def test_a_code_of_another_size_has_a_problem() -> None:
    code = encode_rles(masks_of(np.ones((1, 3, 4), np.bool_)))[0]
    assert "size [3, 4]" in str(rle_problem(code, FRAME))


@given(st.text(alphabet=[chr(value) for value in range(48, 112)], max_size=12))
def test_a_code_without_problem_covers_the_frame(counts: str) -> None:
    code = Rle(size_hw=FRAME.shape, counts=counts)
    if rle_problem(code, FRAME) is None:
        assert np.array_equal(full(decode_rles(FRAME, [code]))[0], coco_decoded(code))


@given(st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 10)), min_size=3, max_size=6), min_size=1))
def test_polygons_are_rasterised_as_pycocotools_does(corners: list[list[tuple[int, int]]]) -> None:
    rings = [np.array(ring, np.float64) for ring in corners[:3]]
    flat: Any = [ring.ravel().tolist() for ring in rings]
    expected = coco_mask.decode(coco_mask.frPyObjects(flat, 10, 12)).any(axis=2)
    assert np.array_equal(decode_polygons(FRAME, rings), expected)
    assert np.array_equal(full(decode_rles(FRAME, [encode_polygons(FRAME, rings)]))[0], expected)


def test_no_mask_has_no_code() -> None:
    assert encode_rles(Masks.empty(FRAME)) == []
    assert len(decode_rles(FRAME, [])) == 0
