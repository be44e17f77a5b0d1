from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from nucleate.core import Frame, Masks, label_map_from_masks, masks_from_label_map, relabel_sequentially
from tests.core.strategies import full, label_maps, masks_of, stacks


@given(label_maps())
def test_each_id_becomes_the_mask_of_its_pixels(label_map: NDArray[np.uint16]) -> None:
    masks, ids = masks_from_label_map(label_map)
    assert ids.tolist() == [value for value in np.unique(label_map).tolist() if value]
    assert np.array_equal(full(masks), label_map[None] == ids[:, None, None])


@given(label_maps())
def test_masks_of_a_label_map_paint_it_again(label_map: NDArray[np.uint16]) -> None:
    masks, ids = masks_from_label_map(label_map)
    painted = label_map_from_masks(masks)
    assert np.array_equal(np.concatenate([[0], ids])[painted], label_map)


@given(label_maps())
def test_sequential_ids_keep_the_order(label_map: NDArray[np.uint16]) -> None:
    sequential, old_ids = relabel_sequentially(label_map)
    assert sorted(set(sequential.ravel().tolist()) - {0}) == list(range(1, len(old_ids) + 1))
    assert np.array_equal(np.concatenate([[0], old_ids])[sequential], label_map)


@given(stacks(), st.data())
def test_the_higher_priority_owns_shared_pixels_and_the_earlier_of_equals(
    stack: NDArray[np.bool_], data: st.DataObject
) -> None:
    count = len(stack)
    priority = np.array(data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=count, max_size=count)))
    expected = np.zeros(stack.shape[1:], np.int64)
    for y, x in np.ndindex(*expected.shape):
        owners = [index for index in range(count) if stack[index, y, x]]
        if owners:
            expected[y, x] = 1 + max(owners, key=lambda index: (priority[index], -index))
    assert np.array_equal(label_map_from_masks(masks_of(stack), priority), expected)


@given(label_maps())
def test_large_ids_make_the_same_masks(label_map: NDArray[np.uint16]) -> None:
    small, ids = masks_from_label_map(label_map)
    large, large_ids = masks_from_label_map(label_map.astype(np.int64) * 2**33)
    assert np.array_equal(full(small), full(large))
    assert (ids * 2**33).tolist() == large_ids.tolist()


def test_an_id_in_two_pieces_is_one_nucleus() -> None:
    masks, ids = masks_from_label_map(np.array([[5, 0, 5]]))
    assert ids.tolist() == [5]
    assert ndimage.label(masks.full(0))[1] == 2


def test_a_map_without_nuclei_has_no_mask() -> None:
    masks, ids = masks_from_label_map(np.zeros((3, 4), np.uint8), mpp=0.25)
    assert len(masks) == len(ids) == 0
    assert masks.frame == Frame(height_px=3, width_px=4, mpp=0.25)
    assert not label_map_from_masks(Masks.empty(masks.frame)).any()


def test_more_nuclei_than_16_bits_hold_survive() -> None:
    label_map = np.arange(70_000).reshape(280, 250)
    masks, ids = masks_from_label_map(label_map)
    assert len(masks) == 69_999
    assert ids[-1] == 69_999
    assert np.array_equal(label_map_from_masks(masks), label_map)
