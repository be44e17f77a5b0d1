"""Run-length codes are pycocotools' own, byte for byte and pixel for pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from nucleate.core import Frame, Masks, Rle, decode_rles, encode_rles

bitmaps = arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 6)))


def _pycocotools_code(bitmap: np.ndarray[Any, Any]) -> str:
    code: Any = coco_mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    return str(code["counts"].decode("ascii"))


@settings(deadline=None)
@given(bitmaps, st.booleans())
def test_codes_equal_those_of_pycocotools(bitmap: np.ndarray[Any, Any], loose_window: bool) -> None:
    height_px, width_px = bitmap.shape
    frame = Frame(height_px=height_px, width_px=width_px)
    masks = Masks.from_full(frame, [bitmap])
    if loose_window:
        masks = Masks(frame=frame, windows_xyxy=np.array([[0, 0, width_px, height_px]]), bits=bitmap.reshape(-1))
    assert encode_rles(masks)[0].counts == _pycocotools_code(bitmap)


@settings(deadline=None)
@given(bitmaps)
def test_codes_of_pycocotools_give_their_pixels_in_a_tight_window(bitmap: np.ndarray[Any, Any]) -> None:
    frame = Frame(height_px=bitmap.shape[0], width_px=bitmap.shape[1])
    decoded = decode_rles(frame, [Rle(size_hw=frame.shape, counts=_pycocotools_code(bitmap))])
    assert np.array_equal(decoded.full(0), bitmap)
    assert np.array_equal(decoded.windows_xyxy, decoded.cropped().windows_xyxy)


def test_runs_of_no_pixel_are_taken() -> None:
    frame = Frame(height_px=2, width_px=3)
    plain: Any = {"size": [2, 3], "counts": [0, 2, 0, 3, 1, 0]}
    code: Any = coco_mask.frPyObjects(plain, 2, 3)
    decoded = decode_rles(frame, [Rle(size_hw=(2, 3), counts=code["counts"].decode("ascii"))])
    assert decoded.full(0).tolist() == [[True, True, True], [True, True, False]]
