from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from nucleate.evaluation import AnnotatedNuclei, Fate, image_fates, label_map_overlaps, recall_by_area, tally_overlaps
from nucleate.evaluation.fates import recall_by_contact, touching_ids
from tests.evaluation.drawings import Box, draw, overlaps_of

G: Box = (5, 15, 10, 20)
maps = arrays.arrays(np.int64, (6, 7), elements=st.integers(0, 4))


def test_matched_missed_and_false() -> None:
    fates = image_fates(overlaps_of([G, (0, 3, 0, 3)], [(5, 15, 11, 20), (16, 19, 30, 33)]))
    assert fates.annotated.tolist() == [Fate.MATCHED, Fate.MISSED]
    assert fates.predicted.tolist() == [Fate.MATCHED, Fate.FALSE]


def test_a_split_nucleus_and_its_pieces_though_one_matches() -> None:
    fates = image_fates(overlaps_of([G], [(5, 15, 10, 17), (5, 15, 17, 20)]))
    assert fates.annotated.tolist() == [Fate.SPLIT]
    assert fates.predicted.tolist() == [Fate.SPLIT, Fate.SPLIT]


def test_a_merging_prediction_and_what_it_holds() -> None:
    fates = image_fates(overlaps_of([(5, 15, 10, 15), (5, 15, 15, 20), (0, 3, 0, 3)], [G]))
    assert fates.annotated.tolist() == [Fate.MERGED, Fate.MERGED, Fate.MISSED]
    assert fates.predicted.tolist() == [Fate.MERGED]


@given(annotated=maps, predicted=maps)
def test_splits_merges_and_matches_are_those_of_the_tally(
    annotated: NDArray[np.int64], predicted: NDArray[np.int64]
) -> None:
    overlaps = label_map_overlaps(annotated, predicted)
    tally, fates = tally_overlaps(overlaps), image_fates(overlaps)
    assert int((fates.annotated == Fate.SPLIT).sum()) == tally.splits
    assert int((fates.predicted == Fate.MERGED).sum()) == tally.merges
    assert int((fates.annotated == Fate.MISSED).sum()) <= tally.panoptic.false_negatives
    assert int((fates.predicted == Fate.FALSE).sum()) <= tally.panoptic.false_positives
    nuclei = AnnotatedNuclei.of_image(annotated, overlaps)
    assert int(nuclei.found.sum()) == tally.panoptic.true_positives


@given(label_map=maps)
def test_touching_is_what_a_loop_over_neighbours_finds(label_map: NDArray[np.int64]) -> None:
    expected = set()
    padded = np.pad(label_map, 1)
    for row, column in np.argwhere(label_map):
        around = padded[row : row + 3, column : column + 3]
        if ((around > 0) & (around != label_map[row, column])).any():
            expected.add(int(label_map[row, column]))
    assert touching_ids(label_map).tolist() == sorted(expected)


def test_shares_found_by_contact() -> None:
    annotated = draw((0, 4, 0, 4), (4, 8, 4, 8), (10, 14, 30, 34))
    overlaps = label_map_overlaps(annotated, draw((4, 8, 4, 8), (10, 14, 30, 34)))
    touching, isolated = recall_by_contact(AnnotatedNuclei.of_image(annotated, overlaps))
    assert (touching.annotated, touching.found, touching.recall) == (2, 1, 50)
    assert (isolated.annotated, isolated.recall) == (1, 100)


@given(areas=st.lists(st.integers(1, 30), max_size=60), bins=st.integers(1, 9))
def test_bins_by_area_hold_every_nucleus_once(areas: list[int], bins: int) -> None:
    found = np.arange(len(areas)) % 2 == 0
    nuclei = AnnotatedNuclei(areas_px=np.array(areas, np.int64), found=found, touching=found)
    shares = recall_by_area(nuclei, bins)
    assert sum(share.annotated for share in shares) == len(areas)
    assert sum(share.found for share in shares) == found.sum()
    assert len(shares) <= bins


def test_no_nucleus_has_no_share() -> None:
    nothing = AnnotatedNuclei.concatenate([])
    assert recall_by_area(nothing) == ()
    assert all(math.isnan(share.recall) for share in recall_by_contact(nothing))
