"""NuInsSeg's own label images against disturbed copies of them; test_image_scores.py has the synthetic twins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.evaluation import label_map_overlaps, score_overlaps
from nucleate.files import read_label_map
from tests.synthetic import draw_he


def _some_label_maps(shared_data: Path) -> list[NDArray[np.int64]]:
    organs = sorted((shared_data / "nuinsseg").iterdir())[::2]
    return [read_label_map(min((organ / "label masks modify").glob("*.tif"))) for organ in organs]


def _check_shifts(maps: list[NDArray[np.int64]]) -> None:
    for label_map in maps:
        same = score_overlaps(label_map_overlaps(label_map, label_map))
        assert same is not None
        assert (same.pq, same.aji, same.dice) == (100, 100, 100)
        previous = 100.0
        for shift_px in (1, 3, 8):
            moved = np.zeros_like(label_map)
            moved[:, shift_px:] = label_map[:, :-shift_px]
            scores = score_overlaps(label_map_overlaps(label_map, moved))
            assert scores is not None
            assert scores.pq <= scores.dq
            assert scores.aji < previous
            previous = scores.aji


@pytest.mark.shared_data
def test_real_nuclei_score_less_the_further_they_are_shifted(shared_data: Path) -> None:
    _check_shifts(_some_label_maps(shared_data))


def test_drawn_nuclei_score_less_the_further_they_are_shifted() -> None:
    _check_shifts([draw_he(seed=seed).label_map.astype(np.int64) for seed in range(3)])
