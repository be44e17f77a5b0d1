from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nucleate.core import relabel_sequentially

# 900,000 is above what is counted in a table, so both ways are met.
maps = arrays(np.int64, (3, 4), elements=st.sampled_from([0, 1, 2, 5, 70_000, 900_000]))


@settings(deadline=None)
@given(maps)
def test_ids_become_1_to_n_in_ascending_order(label_map: NDArray[np.int64]) -> None:
    sequential, ids = relabel_sequentially(label_map)
    assert ids.tolist() == sorted(set(label_map.flat) - {0})
    assert np.array_equal(np.concatenate([[0], ids])[sequential], label_map)
    assert sequential.dtype == np.int32
    assert ids.dtype == np.int64


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.uint16, np.int32, np.uint64])
def test_every_integer_type_is_taken(kind: type[np.generic]) -> None:
    sequential, ids = relabel_sequentially(np.array([[0, 1], [1, 0]]).astype(kind))
    assert (sequential.tolist(), ids.tolist()) == ([[0, 1], [1, 0]], [1])


def test_a_map_without_pixels_has_no_id() -> None:
    assert len(relabel_sequentially(np.zeros((0, 3), np.int64))[1]) == 0


def test_maps_of_many_rows_are_numbered_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.core.label_maps.ROWS_AT_ONCE", 2)
    label_map = np.array([[0, 9], [4, 0], [9, 9], [0, 2], [7, 0]], np.uint16)
    sequential, ids = relabel_sequentially(label_map)
    assert ids.tolist() == [2, 4, 7, 9]
    assert sequential.tolist() == [[0, 4], [2, 0], [4, 4], [0, 1], [3, 0]]
