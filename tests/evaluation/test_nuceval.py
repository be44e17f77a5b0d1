"""Worked cases of the protocol `nuceval`; arrays as `drawings` writes them, 20 rows x 40 columns."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nucleate.core import Frame, Masks
from nucleate.errors import ConfigError, DataError
from nucleate.evaluation import (
    NucevalParts,
    Protocol,
    Scores,
    border_ring,
    correct_image,
    image_scores,
    label_map_overlaps,
    mean_scores,
    score_overlaps,
    tally_overlaps,
)
from nucleate.evaluation.nuceval import disc
from tests.evaluation.drawings import Box, draw, masks_of

G: Box = (5, 15, 10, 20)
A: Box = (5, 15, 5, 15)
B: Box = (5, 15, 11, 21)
ALONE = NucevalParts()
VAGUE = NucevalParts(vague_threshold=0.25)
OVERLAPPING = NucevalParts(overlapping=True)
EVERYTHING = (100.0, 100.0, 100.0)
NOTHING = (0.0, 0.0, 0.0)


def _ring(width_px: int) -> NucevalParts:
    return NucevalParts(ring_px=width_px)


def _scored(
    annotated: Sequence[Box], predicted: Sequence[Box], parts: NucevalParts, vague: Box | None = None
) -> tuple[Scores, int]:
    area = None if vague is None else draw(vague) > 0
    image = correct_image(masks_of(annotated), draw(*predicted), vague=area, parts=parts)
    tally = tally_overlaps(image.overlaps(), foreground=image.foreground(), centroids=image.centroids())
    scores = image_scores(tally)
    assert scores is not None
    return scores, tally.annotated


def _three(scores: Scores) -> tuple[float, float, float]:
    return scores.dice, scores.aji, scores.pq


@pytest.mark.parametrize(
    ("vague", "predicted", "expected", "nuclei"),
    [
        pytest.param((5, 10, 15, 20), G, EVERYTHING, 1, id="V1 exactly a quarter stays on both sides"),
        pytest.param((5, 15, 17, 20), G, EVERYTHING, 0, id="V2 30 percent removes both"),
        pytest.param((5, 15, 17, 20), (5, 15, 8, 18), NOTHING, 0, id="V3 the prediction stays as a false positive"),
        pytest.param(
            (5, 15, 18, 22), (5, 15, 12, 22), NOTHING, 1, id="V4 the prediction is removed, the nucleus stays"
        ),
    ],
)
def test_vague_areas(vague: Box, predicted: Box, expected: tuple[float, ...], nuclei: int) -> None:
    scores, count = _scored([G], [predicted], VAGUE, vague)
    assert (_three(scores), count) == (expected, nuclei)


def test_without_its_vague_area_case_v3_scores_66() -> None:
    scores, _ = _scored([G], [(5, 15, 8, 18)], ALONE)
    assert _three(scores) == pytest.approx((80, 66.667, 66.667), abs=1e-3)


def test_v5_a_threshold_above_1_only_cuts_pixels() -> None:
    scores, count = _scored([G], [(5, 15, 12, 22)], NucevalParts(vague_threshold=10), (5, 15, 18, 22))
    assert _three(scores) == pytest.approx((85.714, 75, 75), abs=1e-3)
    assert count == 1


@pytest.mark.parametrize(
    ("parts", "dice", "pq", "nuclei"), [(VAGUE, 90, 81.818, 1), (ALONE, 95, 90.909, 2)], ids=["V6", "without"]
)
def test_v6_a_pair_in_a_vague_area_is_removed(parts: NucevalParts, dice: float, pq: float, nuclei: int) -> None:
    annotated: list[Box] = [(5, 15, 2, 12), (5, 15, 25, 35)]
    scores, count = _scored(annotated, [(5, 15, 3, 13), (5, 15, 25, 35)], parts, (0, 20, 20, 40))
    assert (scores.dice, scores.pq, count) == pytest.approx((dice, pq, nuclei), abs=1e-3)


def test_the_weighted_mean_is_neither_the_mean_nor_pooled() -> None:
    images = [_scored([G], [B], ALONE), _scored([(5, 15, 2, 12), (5, 15, 25, 35)], [(5, 15, 2, 12)], ALONE)]
    weighted = mean_scores([scores for scores, _ in images], weights=[nuclei for _, nuclei in images])
    found = (weighted.dice, weighted.aji, weighted.dq, weighted.sq, weighted.pq)
    assert found == pytest.approx((74.444, 60.606, 77.778, 93.939, 71.717), abs=1e-3)


def test_weights_of_nothing_give_0() -> None:
    assert mean_scores([Scores.all_equal(100.0)], weights=[0]).pq == 0


def test_o1_overlapping_masks_are_matched_by_their_whole_pixels() -> None:
    scores, _ = _scored([A, B], [A, (5, 15, 15, 21)], OVERLAPPING)
    assert (scores.dice, scores.aji, scores.dq, scores.sq, scores.pq) == pytest.approx((100, 80, 100, 80, 80))


@pytest.mark.parametrize(("annotated", "value"), [([A, B], 60), ([B, A], 100)], ids=["B on top", "A on top"])
def test_o1_flattened(annotated: list[Box], value: float) -> None:
    scores, _ = _scored(annotated, [A, (5, 15, 15, 21)], ALONE)
    assert (scores.dice, scores.aji, scores.dq, scores.sq, scores.pq) == pytest.approx((100, value, 100, value, value))


def test_o2_two_annotated_nuclei_match_one_prediction() -> None:
    scores, _ = _scored([A, (5, 15, 6, 16)], [A], OVERLAPPING)
    found = (scores.dice, scores.aji, scores.dq, scores.sq, scores.pq)
    assert found == pytest.approx((95.238, 90.476, 100, 90.909, 90.909), abs=1e-3)


def test_o3_overlapping_masks_may_exceed_the_bound_of_label_maps() -> None:
    scores, _ = _scored([A, A], [A, (5, 15, 25, 35)], OVERLAPPING)
    assert (scores.dice, scores.aji, scores.dq, scores.sq, scores.pq) == pytest.approx(
        (66.667, 66.667, 80, 100, 80), abs=1e-3
    )
    dice = scores.dice / 100
    assert scores.aji > 100 * dice / (2 - dice)


@pytest.mark.parametrize(("width_px", "pixels"), [(1, 5), (2, 17), (3, 33), (4, 57), (5, 89), (6, 121)])
def test_the_structuring_element(width_px: int, pixels: int) -> None:
    assert disc(width_px).sum() == pixels


@pytest.mark.parametrize(("width_px", "ring", "core"), [(1, 76, 64), (2, 152, 36), (4, 296, 4), (5, 368, 0)])
def test_ring_and_core(width_px: int, ring: int, core: int) -> None:
    masks = masks_of([G])
    found = border_ring(masks, width_px)
    assert (int(found.sum()), int((masks.full(0) & ~found).sum())) == (ring, core)


@pytest.mark.parametrize(
    ("shift", "width_px", "pq"),
    [(1, 0, 81.818), (1, 1, 100), (1, 2, 100), (3, 0, 53.846), (3, 1, 57.143), (3, 2, 65.217)],
    ids=["R1 w0", "R1 w1", "R1 w2", "R2 w0", "R2 w1", "R2 w2"],
)
def test_shifts_under_a_ring(shift: int, width_px: int, pq: float) -> None:
    scores, _ = _scored([G], [(5, 15, 10 + shift, 20 + shift)], _ring(width_px))
    assert scores.pq == pytest.approx(pq, abs=1e-3)


def test_r1_without_a_ring_has_dice_90() -> None:
    assert _scored([G], [B], ALONE)[0].dice == pytest.approx(90)


@pytest.mark.parametrize("predicted", [[(5, 7, 10, 12)], []], ids=["found", "missed"])
def test_r3_a_nucleus_that_the_ring_eats_counts_nowhere(predicted: list[Box]) -> None:
    scores, count = _scored([(5, 7, 10, 12)], predicted, _ring(1))
    assert (_three(scores), count) == (EVERYTHING, 0)


def test_r4_a_missed_nucleus_that_the_ring_eats() -> None:
    annotated: list[Box] = [(5, 7, 10, 12), (5, 15, 20, 30)]
    without, nuclei = _scored(annotated, [(5, 15, 20, 30)], ALONE)
    assert (*_three(without), nuclei) == pytest.approx((98.039, 96.154, 66.667, 2), abs=1e-3)
    scores, count = _scored(annotated, [(5, 15, 20, 30)], _ring(1))
    assert (_three(scores), count) == (EVERYTHING, 1)


def test_r5_no_ring_runs_along_the_images_edge() -> None:
    image = correct_image(masks_of([(0, 10, 10, 20)]), draw(), parts=_ring(1))
    assert image.annotated.areas_px().tolist() == [72]


def test_r6_touching_nuclei_under_one_prediction() -> None:
    annotated: list[Box] = [(5, 15, 5, 15), (5, 15, 15, 25)]
    image = correct_image(masks_of(annotated), draw((5, 15, 5, 25)), parts=_ring(1))
    assert image.annotated.areas_px().tolist() == [64, 64]
    for parts in (ALONE, _ring(1)):
        scores, _ = _scored(annotated, [(5, 15, 5, 25)], parts)
        assert (scores.aji, scores.pq) == (50, 0)


def test_r7_each_ring_cuts_the_other_mask() -> None:
    image = correct_image(masks_of([A, B]), draw(), parts=NucevalParts(overlapping=True, ring_px=1))
    assert image.annotated.areas_px().tolist() == [48, 48]


def test_r8_a_false_sliver_lies_in_the_ring() -> None:
    predicted: list[Box] = [G, (5, 15, 20, 21)]
    scores, _ = _scored([G], predicted, ALONE)
    assert (scores.aji, scores.pq) == pytest.approx((90.909, 66.667), abs=1e-3)
    assert _three(_scored([G], predicted, _ring(1))[0]) == EVERYTHING


BOTH = NucevalParts(vague_threshold=0.25, ring_px=1)


def test_the_edge_that_a_vague_area_cuts_gets_a_ring() -> None:
    """Ring first would leave 56 px."""
    image = correct_image(masks_of([G]), draw(), vague=draw((5, 15, 18, 20)) > 0, parts=BOTH)
    assert image.annotated.areas_px().tolist() == [48]


def test_vague_areas_come_before_the_ring() -> None:
    """Ring first would leave one nucleus."""
    assert _scored([G], [], BOTH, (5, 15, 17, 20))[1] == 0


@pytest.mark.parametrize(("parts", "pq"), [(VAGUE, 77.778), (BOTH, 82.759)], ids=["w 0", "w 1"])
def test_a_shift_beside_a_vague_area(parts: NucevalParts, pq: float) -> None:
    assert _scored([G], [B], parts, (5, 15, 18, 20))[0].pq == pytest.approx(pq, abs=1e-3)


def test_a_vague_area_that_swallows_pieces_leaves_no_empty_mask() -> None:
    image = correct_image(
        masks_of([G]), draw(G), vague=draw((0, 20, 0, 40)) > 0, parts=NucevalParts(vague_threshold=10)
    )
    assert (len(image.annotated), int(image.predicted.max())) == (0, 0)


@pytest.mark.parametrize(
    ("masks", "predicted", "vague", "problem"),
    [
        (masks_of([G]), np.zeros((3, 3), int), None, "predicted map of shape"),
        (masks_of([G]), draw(), np.zeros((3, 3), bool), "vague area of shape"),
        (masks_of([G]), draw((0, 1, 0, 1), ids=[-1]), None, "negative id -1"),
        (masks_of([G]), draw(), None, "no vague area"),
        (masks_of([(0, 0, 0, 0)]), draw(), None, "annotated mask 0 has no pixel"),
    ],
)
def test_what_cannot_be_corrected_is_refused(
    masks: Masks, predicted: NDArray[np.int64], vague: NDArray[np.bool_] | None, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        correct_image(masks, predicted, vague=vague, parts=VAGUE)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="vague threshold -1"):
        NucevalParts(vague_threshold=-1)
    with pytest.raises(ConfigError, match="ring of -1 px"):
        NucevalParts(ring_px=-1)
    with pytest.raises(ConfigError, match="belong to nuceval, not to standard"):
        Protocol(parts=ALONE)
    with pytest.raises(ConfigError, match="protocol 'mine' is not one of"):
        Protocol(name="mine")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rasteriser 'pen' is not one of"):
        NucevalParts(rasteriser="pen")  # type: ignore[arg-type]


def test_the_protocols_name_says_its_parts() -> None:
    parts = NucevalParts(vague_threshold=0.25, weighted=True, overlapping=True, ring_px=2)
    assert str(Protocol(name="nuceval", parts=parts)) == (
        "nuceval (vague areas above 0.25 removed, ring 2 px, overlapping annotations kept, weighted by nuclei, "
        "rasteriser coco)"
    )
    assert str(Protocol()) == "standard"


bitmaps = arrays(np.bool_, (3, 7, 9), elements=st.booleans())


@settings(deadline=None, max_examples=60)
@given(bitmaps, st.integers(1, 3))
def test_the_ring_equals_one_made_on_whole_images(nuclei: NDArray[np.bool_], width_px: int) -> None:
    masks = Masks.from_full(Frame(height_px=7, width_px=9), list(nuclei))
    whole = np.zeros((7, 9), bool)
    for nucleus in nuclei:
        pixels = nucleus.astype(np.uint8)
        whole |= cv2.dilate(pixels, disc(width_px)) > cv2.erode(pixels, disc(width_px))
    assert np.array_equal(border_ring(masks, width_px), whole)


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.int64, (5, 6), elements=st.sampled_from([0, 1, 2, 9])),
    arrays(np.int64, (5, 6), elements=st.sampled_from([0, 1, 4])),
)
def test_without_its_parts_nuceval_scores_label_maps_as_standard_does(
    annotated: NDArray[np.int64], predicted: NDArray[np.int64]
) -> None:
    nuclei = [annotated == number for number in sorted(set(annotated.flat) - {0})]
    masks = Masks.from_full(Frame(height_px=5, width_px=6), nuclei)
    for parts in (ALONE, OVERLAPPING):
        image = correct_image(masks, predicted, parts=parts)
        tally = tally_overlaps(image.overlaps(), foreground=image.foreground())
        assert image_scores(tally) == score_overlaps(label_map_overlaps(annotated, predicted))
