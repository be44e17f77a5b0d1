"""One-to-one pairs of annotated and predicted nuclei with the highest summed weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components


def best_assignment(
    rows: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return (K,) which of K pairs belong to the one-to-one assignment of the highest summed weight.

    Pairs that are not listed weigh 0, as in a full matrix. Each group of nuclei that are linked by pairs is solved by
    itself, which gives the same sum: a slide's matrix would not fit into memory.

    Args:
        rows: (K,) indices of annotated nuclei.
        columns: (K,) indices of predicted nuclei; no pair twice.
        weights: (K,) greater than 0.
    """
    chosen = np.zeros(len(rows), np.bool_)
    if not len(rows):
        return chosen
    height, width = int(rows.max()) + 1, int(columns.max()) + 1
    links = csr_matrix((np.ones(len(rows)), (rows, columns + height)), shape=(height + width, height + width))
    _, labels = connected_components(links, directed=False)
    group_of_pair = labels[rows]
    order = np.argsort(group_of_pair, kind="stable")
    for pairs in np.split(order, np.flatnonzero(np.diff(group_of_pair[order])) + 1):
        if len(pairs) == 1:
            chosen[pairs] = True
            continue
        row_ids, row_places = np.unique(rows[pairs], return_inverse=True)
        column_ids, column_places = np.unique(columns[pairs], return_inverse=True)
        matrix = np.zeros((len(row_ids), len(column_ids)))
        matrix[row_places, column_places] = weights[pairs]
        places = np.full(matrix.shape, -1)
        places[row_places, column_places] = pairs
        picked = places[linear_sum_assignment(matrix, maximize=True)]
        chosen[picked[picked >= 0]] = True
    return chosen
