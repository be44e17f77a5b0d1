from __future__ import annotations

import math

import numpy as np
import pytest

from nucleate.evaluation import PannukeImage, label_map_overlaps, pannuke_averages, pannuke_image
from tests.evaluation.drawings import draw


def test_classes_are_matched_within_themselves() -> None:
    """Both nuclei are found, one as the other class."""
    nuclei = draw((0, 5, 0, 5), (10, 15, 0, 5))
    image = pannuke_image(
        label_map_overlaps(nuclei, nuclei), np.array([0, 1]), np.array([0, 0]), class_count=3, tissue="colon"
    )
    assert (image.tissue, image.pq, image.class_pq) == ("colon", 1.0, (2 / 3, 0.0, None))
    counts = [(each.true_positives, each.false_positives, each.false_negatives) for each in image.class_matches]
    assert counts == [(1, 1, 0), (0, 0, 1), (0, 0, 0)]


def test_an_image_without_annotated_nuclei_has_no_pq_whatever_is_predicted() -> None:
    overlaps = label_map_overlaps(draw(), draw((0, 5, 0, 5)))
    image = pannuke_image(overlaps, np.zeros(0, np.int64), np.array([0]), class_count=1)
    assert (image.pq, image.class_pq) == (None, (None,))


IMAGES = (
    PannukeImage(tissue="a", pq=0.8, class_pq=(0.6, 0.4)),
    PannukeImage(tissue="a", pq=0.4, class_pq=(0.2, None)),
    PannukeImage(tissue="b", pq=0.2, class_pq=(None, 0.1)),
    PannukeImage(tissue="b", pq=None, class_pq=(None, None)),
)


def test_averages_over_images_tissues_and_classes_are_five_numbers() -> None:
    averages = pannuke_averages(IMAGES)
    assert averages.bpq == pytest.approx(100 * (0.8 + 0.4 + 0.2) / 3)
    assert averages.mpq == pytest.approx(100 * (0.5 + 0.2 + 0.1) / 3)
    assert averages.bpq_tissues == pytest.approx(100 * (0.6 + 0.2) / 2)
    assert averages.mpq_tissues == pytest.approx(100 * (0.35 + 0.1) / 2)
    assert averages.mpq_classes == pytest.approx(100 * (0.4 + 0.25) / 2)
    assert (averages.images, averages.tissues) == (3, 2)


def test_averages_of_nothing_are_not_numbers() -> None:
    averages = pannuke_averages(IMAGES[3:])
    assert math.isnan(averages.bpq)
    assert math.isnan(averages.mpq_tissues)
    assert averages.images == 0


def test_dropping_nuclei_of_other_classes_renumbers_both_sides() -> None:
    overlaps = label_map_overlaps(draw((0, 5, 0, 5), (6, 9, 0, 5)), draw((0, 5, 0, 4), (6, 9, 0, 5)))
    part = overlaps.of_classes(np.array([False, True]), np.array([False, True]))
    assert (part.annotated_ids.tolist(), part.annotated_indices.tolist(), part.predicted_indices.tolist()) == (
        [2],
        [0],
        [0],
    )
