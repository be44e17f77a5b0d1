"""Worked examples of the definitions of Dice, AJI and PQ, and a brute-force twin."""

from __future__ import annotations

import math
from dataclasses import astuple
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nucleate.evaluation import Overlaps, Scores, label_map_overlaps, mean_scores, score_overlaps
from nucleate.evaluation.aji import LARGEST_SAFE_FACTOR, aggregated_jaccard_index, best_pairs
from nucleate.evaluation.dice import foreground_dice
from nucleate.evaluation.image_scores import EmptyImageRule
from nucleate.evaluation.panoptic import panoptic_quality
from tests.evaluation.drawings import Box, draw, overlaps_of


def _scores(overlaps: Overlaps, empty_image: EmptyImageRule = "one") -> Scores:
    scores = score_overlaps(overlaps, empty_image)
    assert scores is not None
    return scores


SHIFTED: tuple[Box, Box] = ((5, 15, 10, 20), (5, 15, 11, 21))


def test_a_perfect_nucleus_scores_exactly_100() -> None:
    assert set(astuple(_scores(overlaps_of([(5, 15, 10, 20)], [(5, 15, 10, 20)])))) == {100.0}


def test_a_shift_by_one_of_ten_columns() -> None:
    scores = _scores(overlaps_of([SHIFTED[0]], [SHIFTED[1]]))
    assert (scores.dice, scores.aji, scores.dq) == pytest.approx((90, 81.818, 100), abs=1e-3)
    assert scores.sq == scores.pq == pytest.approx(81.818, abs=1e-3)


def test_one_of_two_found() -> None:
    scores = _scores(overlaps_of([(5, 15, 2, 12), (5, 15, 25, 35)], [(5, 15, 2, 12)]))
    found = (scores.dice, scores.aji, scores.dq, scores.sq, scores.pq)
    assert found == pytest.approx((66.667, 50, 66.667, 100, 66.667), abs=1e-3)


def test_at_equal_fractions_of_iou_the_lower_id_is_taken() -> None:
    annotated: list[Box] = [(5, 15, 10, 20), (5, 15, 20, 23)]
    left: Box = (5, 15, 7, 15)
    right: Box = (5, 15, 15, 23)
    assert aggregated_jaccard_index(overlaps_of(annotated, [left, right])) == pytest.approx(0.38095, abs=1e-5)
    assert aggregated_jaccard_index(overlaps_of(annotated, [right, left])) == pytest.approx(0.27586, abs=1e-5)


def test_at_equal_iou_the_larger_union_is_taken() -> None:
    """2/8 and 4/16 are one fraction; HoVer-Net's epsilon prefers the second."""
    annotated, predicted = draw((0, 1, 0, 8)), draw((0, 1, 0, 2), (0, 1, 4, 16))
    assert aggregated_jaccard_index(label_map_overlaps(annotated, predicted)) == pytest.approx(0.22222, abs=1e-5)


def test_equal_fractions_that_differ_as_floats_are_a_tie() -> None:
    """1/49 and 3/147 are one fraction; the larger union must win, however the division rounds."""
    overlaps = _overlaps_from(intersections=[1, 3], annotated=10, predicted=[40, 140])
    assert best_pairs(overlaps).tolist() == [1]


def test_products_beyond_64_bits_are_compared_exactly() -> None:
    large = LARGEST_SAFE_FACTOR * 4
    overlaps = _overlaps_from(intersections=[large - 2, large - 1], annotated=large, predicted=[large - 2, large - 1])
    assert best_pairs(overlaps).tolist() == [1]


def _overlaps_from(*, intersections: list[int], annotated: int, predicted: list[int]) -> Overlaps:
    return Overlaps(
        annotated_ids=np.array([1]),
        predicted_ids=np.arange(1, len(predicted) + 1),
        annotated_areas_px=np.array([annotated]),
        predicted_areas_px=np.array(predicted),
        annotated_indices=np.zeros(len(predicted), np.int64),
        predicted_indices=np.arange(len(predicted)),
        intersections_px=np.array(intersections),
    )


def test_a_prediction_may_be_taken_twice() -> None:
    aji = aggregated_jaccard_index(overlaps_of([(5, 15, 5, 10), (5, 15, 10, 15)], [(5, 15, 5, 15)]))
    assert aji == 0.5


def test_a_prediction_taken_twice_counts_twice_in_the_denominator() -> None:
    aji = aggregated_jaccard_index(overlaps_of([(5, 15, 5, 10), (5, 15, 15, 20)], [(5, 15, 5, 20)]))
    assert aji == pytest.approx(100 / 300)


def test_an_annotated_nucleus_without_overlap_takes_nothing() -> None:
    aji = aggregated_jaccard_index(overlaps_of([(0, 5, 0, 10), (10, 15, 0, 10)], [(0, 5, 0, 10)]))
    assert aji == 0.5


def test_iou_of_exactly_one_half_matches_for_f1_and_not_for_pq() -> None:
    scores = _scores(overlaps_of([(5, 15, 5, 15)], [(5, 15, 5, 10)]))
    assert (scores.pq, scores.dq, scores.f1) == (0, 0, 100)


def test_two_halves_of_one_nucleus_are_one_true_positive() -> None:
    scores = _scores(overlaps_of([(5, 15, 5, 15)], [(5, 15, 5, 10), (5, 15, 10, 15)]))
    assert (scores.f1, scores.precision, scores.recall) == pytest.approx((66.667, 50, 100), abs=1e-3)


def test_the_sliver_beside_a_found_nucleus_is_a_false_positive() -> None:
    scores = _scores(overlaps_of([(5, 15, 10, 20)], [(5, 15, 10, 20), (5, 15, 20, 21)]))
    assert (scores.aji, scores.pq) == pytest.approx((90.909, 66.667), abs=1e-3)


def test_gaps_in_the_ids_change_nothing() -> None:
    annotated: list[Box] = [(0, 5, 0, 10), (10, 15, 0, 10)]
    with_gaps = label_map_overlaps(draw(*annotated, ids=[7, 500]), draw(*annotated, ids=[3, 70_000]))
    assert _scores(with_gaps) == _scores(overlaps_of(annotated, annotated))


def test_an_id_in_two_pieces_is_one_nucleus() -> None:
    pieces = draw((0, 5, 0, 5), (10, 15, 0, 5), ids=[1, 1])
    assert panoptic_quality(label_map_overlaps(pieces, pieces)).true_positives == 1


def test_an_image_without_background_is_legal() -> None:
    full = np.ones((3, 4), int)
    assert _scores(label_map_overlaps(full, full)).pq == 100


@pytest.mark.parametrize(("rule", "value"), [("one", 100.0), ("zero", 0.0)])
def test_both_sides_empty_score_what_the_rule_says(rule: EmptyImageRule, value: float) -> None:
    assert set(astuple(_scores(overlaps_of([], []), rule))) == {value}


def test_both_sides_empty_are_skipped_on_request() -> None:
    assert score_overlaps(overlaps_of([], []), "skip") is None


@pytest.mark.parametrize("rule", ["one", "zero", "skip"])
@pytest.mark.parametrize(("annotated", "predicted"), [([], [(5, 15, 5, 15)]), ([(5, 15, 5, 15)], [])])
def test_one_side_empty_scores_0(rule: EmptyImageRule, annotated: list[Box], predicted: list[Box]) -> None:
    assert set(astuple(_scores(overlaps_of(annotated, predicted), rule))) == {0.0}


def test_nothing_found_scores_0_in_sq() -> None:
    assert _scores(overlaps_of([(0, 5, 0, 5)], [(10, 15, 0, 5)])).sq == 0


def test_the_mean_is_over_images_score_by_score() -> None:
    images = [overlaps_of([SHIFTED[0]], [SHIFTED[1]])]
    images.append(overlaps_of([(5, 15, 2, 12), (5, 15, 25, 35)], [(5, 15, 2, 12)]))
    mean = mean_scores([score_overlaps(image) for image in images])
    found = (mean.dice, mean.aji, mean.dq, mean.sq, mean.pq)
    assert found == pytest.approx((78.333, 65.909, 83.333, 90.909, 74.242), abs=1e-3)


def test_skipped_images_are_not_in_the_mean() -> None:
    assert mean_scores([None, Scores.all_equal(40.0)]).pq == 40


def test_a_mean_of_no_image_is_not_a_number() -> None:
    assert all(math.isnan(value) for value in astuple(mean_scores([None])))


def test_the_mean_aji_may_exceed_the_bound_that_holds_for_images() -> None:
    mean = mean_scores([Scores.all_equal(100.0), Scores.all_equal(0.0)])
    assert mean.aji == 50 > 100 * 0.5 / 1.5


def test_overlaps_that_break_the_bound_are_our_own_bug() -> None:
    broken = _overlaps_from(intersections=[5, -4], annotated=5, predicted=[5, 1])
    with pytest.raises(AssertionError, match="above D / \\(2 - D\\)"):
        score_overlaps(broken)


label_maps = arrays(np.int64, (4, 6), elements=st.sampled_from([0, 1, 2, 3, 9]))


def _sets(label_map: NDArray[np.int64]) -> list[set[int]]:
    flat = label_map.reshape(-1)
    return [set(np.flatnonzero(flat == number).tolist()) for number in sorted(set(flat.tolist()) - {0})]


def _brute_aji(annotated: list[set[int]], predicted: list[set[int]]) -> Fraction:
    shared = total = 0
    taken = set()
    for nucleus in annotated:
        ranked = [
            (Fraction(len(nucleus & other), len(nucleus | other)), len(nucleus | other), -index)
            for index, other in enumerate(predicted)
            if nucleus & other
        ]
        if not ranked:
            total += len(nucleus)
            continue
        best = -max(ranked)[2]
        taken.add(best)
        shared += len(nucleus & predicted[best])
        total += len(nucleus | predicted[best])
    total += sum(len(other) for index, other in enumerate(predicted) if index not in taken)
    return Fraction(shared, total) if total else Fraction(0)


def _brute_pq(annotated: list[set[int]], predicted: list[set[int]]) -> Fraction:
    ious = [Fraction(len(nucleus & other), len(nucleus | other)) for nucleus in annotated for other in predicted]
    total = sum(iou for iou in ious if iou > Fraction(1, 2))
    return Fraction(2 * total, len(annotated) + len(predicted)) if annotated or predicted else Fraction(0)


@settings(deadline=None, max_examples=200)
@given(label_maps, label_maps)
def test_scores_equal_those_of_sets_and_fractions(annotated: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
    overlaps = label_map_overlaps(annotated, predicted)
    ours, theirs = _sets(annotated), _sets(predicted)
    assert aggregated_jaccard_index(overlaps) == pytest.approx(float(_brute_aji(ours, theirs)), abs=1e-12)
    assert panoptic_quality(overlaps).pq == pytest.approx(float(_brute_pq(ours, theirs)), abs=1e-12)
    foreground = ((annotated > 0) & (predicted > 0)).sum() * 2 / max((annotated > 0).sum() + (predicted > 0).sum(), 1)
    assert foreground_dice(overlaps) == pytest.approx(float(foreground))


@settings(deadline=None, max_examples=200)
@given(label_maps, label_maps)
def test_aji_stays_below_its_bound(annotated: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
    scores = score_overlaps(label_map_overlaps(annotated, predicted))
    assert scores is not None
    dice = scores.dice / 100
    assert scores.aji / 100 <= dice / (2 - dice) + 1e-12
