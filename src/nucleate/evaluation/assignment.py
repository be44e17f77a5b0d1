"""One-to-one pairs of annotated and predicted nuclei with the highest summed weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

# Groups with more entries in their full matrix are solved as sparse ones: a slide's nuclei may all hang together.
LARGEST_MATRIX = 1_000_000


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
    sizes = np.bincount(group_of_pair)
    # Most nuclei of a slide have one partner, which needs no solving.
    chosen[sizes[group_of_pair] == 1] = True
    rest = np.flatnonzero(~chosen)
    order = rest[np.argsort(group_of_pair[rest], kind="stable")]
    for pairs in np.split(order, np.flatnonzero(np.diff(group_of_pair[order])) + 1):
        row_ids, row_places = np.unique(rows[pairs], return_inverse=True)
        column_ids, column_places = np.unique(columns[pairs], return_inverse=True)
        if len(row_ids) * len(column_ids) > LARGEST_MATRIX:
            chosen[pairs[_sparse_assignment(row_places, column_places, weights[pairs])]] = True
            continue
        matrix = np.zeros((len(row_ids), len(column_ids)))
        matrix[row_places, column_places] = weights[pairs]
        places = np.full(matrix.shape, -1)
        places[row_places, column_places] = pairs
        picked = places[linear_sum_assignment(matrix, maximize=True)]
        chosen[picked[picked >= 0]] = True
    return chosen


def _sparse_assignment(
    rows: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the places of the chosen pairs; a column of its own lets each row stay without a partner."""
    count, width = int(rows.max()) + 1, int(columns.max()) + 1
    # Costs above 0, since a sparse matrix does not tell 0 from nothing; a row without a partner gains nothing.
    alone = float(weights.max()) + 1
    costs = np.concatenate([alone - weights, np.full(count, alone)])
    all_rows = np.concatenate([rows, np.arange(count)])
    all_columns = np.concatenate([columns, width + np.arange(count)])
    graph = csr_matrix((costs, (all_rows, all_columns)), shape=(count, width + count))
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph)
    partner = np.full(count, -1)
    partner[matched_rows] = matched_columns
    return np.asarray(np.flatnonzero(partner[rows] == columns), np.int64)
