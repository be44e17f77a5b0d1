"""Equal to public implementations where the definition is the same: StarDist's F1, HoVer-Net's PQ, AJI, AJI+, Dice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nucleate.evaluation import Tally, label_map_overlaps, tally_overlaps
from tests.evaluation.public_scores import CASES, STORED, TWENTIETHS, digest, drawn_maps, stardist_scores


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return content


def _tally(case: int) -> Tally:
    return tally_overlaps(label_map_overlaps(*drawn_maps(case)))


def _check_stardist(tally: Tally, expected: list[dict[str, Any]]) -> None:
    for step, matches, theirs in zip(TWENTIETHS, tally.by_iou, expected, strict=True):
        counts = (matches.true_positives, matches.false_positives, matches.false_negatives)
        assert counts == (theirs["tp"], theirs["fp"], theirs["fn"]), f"IoU >= {step / 20}"
        scores = (matches.precision, matches.recall, matches.dq, matches.sq)
        names = ("precision", "recall", "f1", "mean_matched_score")
        assert scores == pytest.approx([theirs[name] for name in names], abs=1e-6)


def test_the_maps_are_those_that_the_stored_scores_are_of(stored: dict[str, Any]) -> None:
    assert (stored["maps"], len(stored["cases"])) == (digest(), CASES)


def test_f1_precision_and_recall_are_stardists_as_stored(stored: dict[str, Any]) -> None:
    for case, scores in enumerate(stored["cases"]):
        _check_stardist(_tally(case), scores["stardist"])


def test_f1_precision_and_recall_are_stardists() -> None:
    """The twin of the stored ones, on more maps, where StarDist is installed."""
    pytest.importorskip("stardist.matching", reason="stardist is not installed (pip install stardist)")
    for case in range(2 * CASES):
        _check_stardist(_tally(case), stardist_scores(*drawn_maps(case)))


def test_pq_aji_and_dice_are_hovernets_as_stored(stored: dict[str, Any]) -> None:
    for case, scores in enumerate(stored["cases"]):
        tally, theirs = _tally(case), scores["hovernet"]
        # HoVer-Net adds 1e-6 to the divisor of SQ.
        ours = (tally.panoptic.dq, tally.panoptic.sq, tally.panoptic.pq, tally.foreground.dice)
        assert ours == pytest.approx([theirs[name] for name in ("dq", "sq", "pq", "dice")], abs=2e-6)
        assert (tally.jaccard.index, tally.jaccard_plus.index) == pytest.approx((theirs["aji"], theirs["aji_plus"]))
