from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.evaluation import assignment
from nucleate.evaluation.assignment import best_assignment

pairs = st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 6)), st.floats(0.01, 3), max_size=25)


@given(weights=pairs)
def test_large_groups_are_solved_to_the_same_sum_as_small_ones(weights: dict[tuple[int, int], float]) -> None:
    keys = sorted(weights)
    rows, columns = (np.array([key[side] for key in keys], np.int64) for side in (0, 1))
    values = np.array([weights[key] for key in keys])
    dense = best_assignment(rows, columns, values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "LARGEST_MATRIX", 0)
        sparse = best_assignment(rows, columns, values)
    assert values[sparse].sum() == pytest.approx(values[dense].sum())
    assert len(set(rows[sparse])) == sparse.sum() == len(set(columns[sparse]))
