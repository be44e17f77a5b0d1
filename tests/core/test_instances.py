from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from nucleate.core import Frame, Instances
from nucleate.errors import DataError
from tests.core.strategies import full, masks_of, stacks

TWO = masks_of(np.array([[[1, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 1]]], np.bool_))


def instances(**changes: Any) -> Instances:
    values: dict[str, Any] = {
        "frame": TWO.frame,
        "boxes_xyxy": np.array([[0, 0, 2, 1], [1, 1, 3, 2]]),
        "masks": TWO,
        "class_indices": np.array([0, 1]),
        "scores": np.array([0.5, 0.9]),
    }
    return Instances(**{**values, **changes})


@given(stacks())
def test_boxes_of_masks_hug_them(stack: NDArray[np.bool_]) -> None:
    boxes = Instances.from_masks(masks_of(stack)).boxes_xyxy
    for box, mask in zip(boxes, stack, strict=True):
        ys, xs = np.nonzero(mask)
        assert box.tolist() == ([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 0, 0])


def test_types_are_settled_once() -> None:
    both = instances()
    assert [str(each.dtype) for each in (both.boxes_xyxy, both.class_indices, both.scores)] == [
        "float32",
        "int64",
        "float32",
    ]


def test_the_threshold_itself_is_not_above() -> None:
    assert instances().above(0.5).class_indices.tolist() == [1]


def test_select_keeps_all_columns_together() -> None:
    swapped = instances().select([1, 0])
    assert swapped.scores.tolist() == pytest.approx([0.9, 0.5])
    assert swapped.boxes_xyxy[0].tolist() == [1, 1, 3, 2]
    assert np.array_equal(full(swapped.masks)[0], full(TWO)[1])


def test_masks_without_pixels_can_be_left_out() -> None:
    some = Instances.from_masks(masks_of(np.array([[[0, 0]], [[0, 1]]], np.bool_)))
    assert some.without_empty_masks().boxes_xyxy.tolist() == [[1, 0, 2, 1]]


def test_an_image_without_nuclei_is_an_ordinary_value() -> None:
    none = Instances.empty(Frame(height_px=3, width_px=4))
    assert len(none) == len(none.above(0.5)) == len(none.without_empty_masks()) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": np.array([0.5])}, "differ in number"),
        ({"frame": Frame(height_px=9, width_px=9)}, "masks of an image of"),
        ({"boxes_xyxy": np.full((2, 4), np.nan)}, "not a number"),
        ({"scores": np.array([0.5, 1.5])}, "outside 0 to 1"),
        ({"scores": np.array([0.5, np.nan])}, "outside 0 to 1"),
        ({"class_indices": np.array([0, -1])}, "negative"),
    ],
)
def test_unsound_values_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        instances(**changes)
