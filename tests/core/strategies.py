"""Random small masks, label maps and images for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from nucleate.core import Frame, Masks

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


def bitmaps() -> st.SearchStrategy[NDArray[np.bool_]]:
    return npst.arrays(np.bool_, SHAPES, fill=st.nothing())


def label_maps() -> st.SearchStrategy[NDArray[np.uint16]]:
    return npst.arrays(np.uint16, SHAPES, elements=st.sampled_from([0, 0, 1, 2, 7, 300, 65535]), fill=st.nothing())


@st.composite
def stacks(draw: st.DrawFn, least: int = 0) -> NDArray[np.bool_]:
    """Draw (N, H, W) masks that may overlap, be empty, or be none at all."""
    height_px, width_px = draw(SHAPES)
    count = draw(st.integers(least, 5))
    return draw(npst.arrays(np.bool_, (count, height_px, width_px), fill=st.nothing()))


def masks_of(stack: NDArray[np.bool_]) -> Masks:
    return Masks.from_full(Frame(height_px=stack.shape[1], width_px=stack.shape[2]), list(stack))


def full(masks: Masks) -> NDArray[np.bool_]:
    whole = [masks.full(index) for index in range(len(masks))]
    return np.array(whole, np.bool_).reshape(-1, *masks.frame.shape)
