from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucleate.models.star_convex.averaging import AveragedEngine
from nucleate.models.star_convex.decoding import DenseMaps
from tests.models.star_convex.scenes import ellipses, perfect_maps


class _ReadsLabels:
    """Answers perfectly to images whose red channel holds the nuclei's numbers."""

    fingerprint = "labels"

    def run(self, images_rgb: NDArray[np.uint8]) -> list[DenseMaps]:
        return [perfect_maps(image_rgb[:, :, 0].astype(np.int32)) for image_rgb in images_rgb]


class _Lopsided:
    """Sees the left half of every image alone."""

    fingerprint = "left"

    def run(self, images_rgb: NDArray[np.uint8]) -> list[DenseMaps]:
        maps = []
        for image_rgb in images_rgb:
            cells = np.zeros((image_rgb.shape[0] // 2, image_rgb.shape[1] // 2), np.float32)
            cells[:, : cells.shape[1] // 2] = 1
            log_distances = np.stack([np.log(np.maximum(cells, 1e-6))] * 4)
            maps.append(DenseMaps(depth=cells, inside=cells, quality=cells, log_distances=log_distances))
        return maps


def test_an_engine_that_treats_all_directions_alike_is_its_own_average() -> None:
    labels = ellipses(96, 12, radius_px=(7, 12), seed=5)[:64]
    image = np.stack([labels] * 3, axis=2).astype(np.uint8)
    alone, averaged = _ReadsLabels().run(image[None])[0], AveragedEngine(engine=_ReadsLabels()).run(image[None])[0]
    assert np.allclose(averaged.inside, alone.inside, atol=1e-6)
    deep = alone.depth > 0.5
    assert np.count_nonzero(deep) > 50
    # Cells' centres are pixels' corners: rays along rows, columns and diagonals run between two pixels.
    clear = np.arange(32) % 4 != 0
    assert np.abs(np.exp(averaged.log_distances) - np.exp(alone.log_distances))[clear][:, deep].max() < 0.1


def test_what_one_view_in_eight_sees_counts_an_eighth() -> None:
    averaged = AveragedEngine(engine=_Lopsided()).run(np.zeros((1, 64, 64, 3), np.uint8))[0]
    # Each of the eight views shows another half, twice each of the four.
    assert np.allclose(averaged.depth, 0.5)
    assert np.allclose(np.exp(averaged.log_distances), 0.5)


def test_its_fingerprint_is_not_the_plain_engines() -> None:
    assert AveragedEngine(engine=_Lopsided()).fingerprint != _Lopsided.fingerprint
