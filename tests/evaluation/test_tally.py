"""Worked cases of AJI+, F1 at IoU thresholds, splits, merges and size classes, and brute-force twins."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nucleate.evaluation import (
    Matches,
    Scores,
    SizeMatches,
    detection_scores,
    label_map_overlaps,
    mean_detection,
    pooled,
    score_overlaps,
    tally_overlaps,
)
from nucleate.evaluation.aji import EPSILON, aggregated_jaccard_plus
from nucleate.evaluation.panoptic import TWENTIETHS, closest_matches, panoptic_quality
from tests.evaluation.drawings import Box, draw, overlaps_of


def test_aji_plus_pairs_one_to_one() -> None:
    overlaps = overlaps_of([(5, 15, 5, 10), (5, 15, 10, 15)], [(5, 15, 5, 15)])
    assert aggregated_jaccard_plus(overlaps).index == pytest.approx(50 / 150)


def test_aji_plus_does_not_depend_on_the_order_of_ids() -> None:
    annotated: list[Box] = [(5, 15, 10, 20), (5, 15, 20, 23)]
    predicted: list[Box] = [(5, 15, 7, 15), (5, 15, 15, 23)]
    for order in (predicted, predicted[::-1]):
        assert aggregated_jaccard_plus(overlaps_of(annotated, order)).index == pytest.approx(0.38095, abs=1e-5)


LOW_IOU = label_map_overlaps(
    draw((0, 1, 0, 100), (0, 1, 100, 130), shape=(1, 130)), draw((0, 1, 0, 26), (0, 1, 26, 130), shape=(1, 130))
)


def test_below_one_half_panoptic_quality_assigns_before_it_asks_the_threshold() -> None:
    quality = panoptic_quality(LOW_IOU, iou_twentieths=5)
    assert (quality.true_positives, quality.pq) == pytest.approx((1, 0.28462), abs=1e-5)


def test_below_one_half_stardist_prefers_more_matches() -> None:
    matches = closest_matches(LOW_IOU, 5)
    assert (matches.true_positives, matches.dq, matches.pq) == pytest.approx((2, 1, 0.27423), abs=1e-5)


def test_iou_of_exactly_06_passes_the_threshold_06() -> None:
    """In 64-bit floats np.arange(.5, 1, .05)[2] is 0.6000000000000001, which an IoU of 0.6 fails."""
    scores = detection_scores(tally_overlaps(overlaps_of([(0, 1, 0, 10)], [(0, 1, 0, 6)])))
    assert [each.rule for each in scores if each.f1 == 100] == ["IoU >= 0.50", "IoU >= 0.55", "IoU >= 0.60"]


def test_an_iou_of_exactly_one_half_has_a_panoptic_quality_by_stardists_pairs() -> None:
    assert closest_matches(overlaps_of([(5, 15, 5, 15)], [(5, 15, 5, 10)]), 10).pq == 0.5


def test_a_split_holds_two_predictions_and_a_merge_two_nuclei() -> None:
    whole: list[Box] = [(5, 15, 5, 15)]
    halves: list[Box] = [(5, 15, 5, 10), (5, 15, 10, 15)]
    split, merge = tally_overlaps(overlaps_of(whole, halves)), tally_overlaps(overlaps_of(halves, whole))
    assert (split.splits, split.merges, split.count_error) == (1, 0, 1)
    assert (merge.splits, merge.merges, merge.count_error) == (0, 1, -1)


def test_a_prediction_that_lies_half_outside_makes_no_split() -> None:
    overlaps = overlaps_of([(5, 15, 5, 15)], [(5, 15, 5, 10), (5, 15, 12, 18)])
    assert tally_overlaps(overlaps).splits == 0


def test_size_classes_go_by_the_annotated_area_of_pairs_and_by_the_own_area_of_others() -> None:
    shape = (200, 200)
    annotated = draw((0, 31, 0, 33), (0, 32, 50, 82), (100, 196, 0, 96), shape=shape)
    predicted = draw((0, 32, 0, 33), (0, 95, 100, 195), shape=shape)
    sizes = tally_overlaps(label_map_overlaps(annotated, predicted)).by_size
    found = [(size.true_positives, size.false_positives, size.false_negatives) for size in _each(sizes)]
    assert found == [(1, 0, 0), (0, 1, 1), (0, 0, 1)]
    assert sizes.small.sq == pytest.approx(31 / 32)


def _each(sizes: SizeMatches) -> tuple[Matches, ...]:
    return sizes.small, sizes.medium, sizes.large


def test_pooling_adds_counts_and_divides_once() -> None:
    images = [
        tally_overlaps(overlaps_of([(5, 15, 10, 20)], [(5, 15, 11, 21)])),
        tally_overlaps(overlaps_of([(5, 15, 2, 12), (5, 15, 25, 35)], [(5, 15, 2, 12)])),
    ]
    scores = Scores.of(pooled(images))
    assert (scores.pq, scores.aji) == pytest.approx((72.727, 100 * 190 / 310), abs=1e-3)
    assert scores.dice == pytest.approx(100 * 2 * 190 / 500)


def test_an_empty_image_counts_in_the_mean_and_not_in_the_pool() -> None:
    images = [tally_overlaps(overlaps_of([(0, 5, 0, 5)], [(0, 5, 0, 5)])), tally_overlaps(overlaps_of([], []))]
    assert mean_detection(images, "zero")[0].f1 == 50
    assert Scores.of(pooled(images)).f1 == 100


def test_skipped_images_leave_a_mean_that_is_not_a_number() -> None:
    assert np.isnan(mean_detection([tally_overlaps(overlaps_of([], []))], "skip")[0].f1)


def test_a_pool_of_no_image_scores_0() -> None:
    assert Scores.of(pooled([])).pq == 0


label_maps = arrays(np.int64, (4, 6), elements=st.sampled_from([0, 1, 2, 3, 9]))


def _sets(label_map: NDArray[np.int64]) -> list[set[int]]:
    flat = label_map.reshape(-1)
    return [set(np.flatnonzero(flat == number).tolist()) for number in sorted(set(flat.tolist()) - {0})]


def _assignments(rows: int, columns: int) -> Iterator[list[tuple[int, int]]]:
    for size in range(min(rows, columns) + 1):
        for chosen in combinations(range(rows), size):
            for order in permutations(range(columns), size):
                yield list(zip(chosen, order, strict=True))


def _iou(nucleus: set[int], other: set[int]) -> Fraction:
    return Fraction(len(nucleus & other), len(nucleus | other))


@settings(deadline=None, max_examples=60)
@given(label_maps, label_maps, st.sampled_from([5, 8, 10, 11, 14]))
def test_closest_matches_equal_the_best_of_all_assignments(
    annotated: NDArray[np.int64], predicted: NDArray[np.int64], twentieths: int
) -> None:
    ours, theirs = _sets(annotated), _sets(predicted)
    threshold = Fraction(twentieths, TWENTIETHS)
    ranked = []
    for pairs in _assignments(len(ours), len(theirs)):
        ious = [_iou(ours[row], theirs[column]) for row, column in pairs]
        ranked.append((sum(iou >= threshold for iou in ious), sum(ious)))
    matches = closest_matches(label_map_overlaps(annotated, predicted), twentieths)
    assert matches.true_positives == max(ranked)[0]
    assert matches.false_positives == len(theirs) - matches.true_positives
    assert matches.false_negatives == len(ours) - matches.true_positives


@settings(deadline=None, max_examples=60)
@given(label_maps, label_maps)
def test_aji_plus_equals_that_of_a_best_assignment(annotated: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
    ours, theirs = _sets(annotated), _sets(predicted)
    found = []
    for pairs in _assignments(len(ours), len(theirs)):
        pairs = [(row, column) for row, column in pairs if ours[row] & theirs[column]]
        weight = sum(
            len(ours[row] & theirs[column]) / (len(ours[row] | theirs[column]) + EPSILON) for row, column in pairs
        )
        shared = sum(len(ours[row] & theirs[column]) for row, column in pairs)
        total = sum(len(ours[row] | theirs[column]) for row, column in pairs)
        total += sum(len(nucleus) for row, nucleus in enumerate(ours) if row not in {pair[0] for pair in pairs})
        total += sum(len(other) for column, other in enumerate(theirs) if column not in {pair[1] for pair in pairs})
        found.append((weight, shared / total if total else 0.0))
    best = max(weight for weight, _ in found)
    index = aggregated_jaccard_plus(label_map_overlaps(annotated, predicted)).index
    assert any(index == pytest.approx(value) for weight, value in found if weight >= best - 1e-12)


@settings(deadline=None, max_examples=100)
@given(label_maps, label_maps)
def test_splits_and_merges_equal_those_counted_one_by_one(
    annotated: NDArray[np.int64], predicted: NDArray[np.int64]
) -> None:
    ours, theirs = _sets(annotated), _sets(predicted)
    tally = tally_overlaps(label_map_overlaps(annotated, predicted))
    assert tally.splits == sum(sum(2 * len(a & b) > len(b) for b in theirs) >= 2 for a in ours)
    assert tally.merges == sum(sum(2 * len(a & b) > len(a) for a in ours) >= 2 for b in theirs)
    assert tally.panoptic.true_positives == sum(size.true_positives for size in _each(tally.by_size))


@settings(deadline=None, max_examples=100)
@given(label_maps, label_maps)
def test_aji_plus_stays_below_the_bound_too(annotated: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
    scores = score_overlaps(label_map_overlaps(annotated, predicted))
    assert scores is not None
    dice = scores.dice / 100
    assert scores.aji_plus / 100 <= dice / (2 - dice) + 1e-12
