from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.models.star_convex.rays import GRID_PX, RAYS, cell_centres_xy, ray_directions
from nucleate.training.star_convex.targets import UNKNOWN, Patch, relative_depth, trace_patch

WHOLE = Patch(window_xyxy=(0, 0, 64, 64), to_image=np.eye(2, 3))


def disc(radius_px: float, *, x: float = 32, y: float = 32, side_px: int = 64) -> NDArray[np.int32]:
    rows, columns = np.mgrid[:side_px, :side_px] + 0.5
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 < radius_px**2, np.int32)


def test_rays_of_a_disc_end_at_its_outline_from_every_cell() -> None:
    traced = trace_patch(disc(20), WHOLE)
    rows, columns = np.nonzero(traced.labels > 0)
    centres = cell_centres_xy(32, 32)[rows, columns]
    ends = centres[:, None] + traced.distances_px[:, :, None] * ray_directions()
    assert np.abs(np.linalg.norm(ends - 32, axis=2) - 20).max() < 1.2
    assert traced.visible.all()


def test_a_magnified_patch_has_longer_rays() -> None:
    twice = Patch(window_xyxy=(0, 0, 128, 128), to_image=np.array([[0.5, 0, 0], [0, 0.5, 0]]))
    once, larger = trace_patch(disc(12), WHOLE), trace_patch(disc(12), twice)
    assert np.median(larger.distances_px) / np.median(once.distances_px) == pytest.approx(2, rel=0.1)


def test_a_turned_patch_turns_its_rays() -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[28:36, 12:52] = 1
    quarter = Patch(window_xyxy=(0, 0, 64, 64), to_image=np.array([[0, 1, 0], [-1, 0, 64.0]]))
    straight, turned = trace_patch(labels, WHOLE), trace_patch(labels, quarter)
    middle = np.array([15, 15])

    def rays_at_the_middle(labels_of_cells: np.ndarray, distances: np.ndarray) -> np.ndarray:
        cells = np.argwhere(labels_of_cells > 0)
        return np.asarray(distances[np.abs(cells - middle).sum(axis=1).argmin()])

    along = rays_at_the_middle(straight.labels, straight.distances_px)
    across = rays_at_the_middle(turned.labels, turned.distances_px)
    assert along[0] > 15 > 6 > along[RAYS // 4]
    assert across[RAYS // 4] > 15 > 6 > across[0]


def test_where_the_image_ends_the_outline_is_unknown() -> None:
    traced = trace_patch(disc(20, x=5), WHOLE)
    left, right = RAYS // 2, 0
    in_the_middle = np.nonzero(traced.labels > 0)[0] == 16
    assert not traced.visible[in_the_middle, left].any()
    assert traced.visible[in_the_middle, right].all()


def test_where_the_patch_ends_the_outline_is_not_visible() -> None:
    half = Patch(window_xyxy=(0, 0, 32, 64), to_image=np.eye(2, 3))
    traced = trace_patch(disc(20), half)
    assert traced.labels.shape == (32, 16)
    assert not traced.visible[:, 0].any()
    assert traced.visible[:, RAYS // 2].all()


def test_beyond_the_image_and_in_crowds_nothing_is_known() -> None:
    labels = disc(6)
    labels[:8] = UNKNOWN
    shifted = Patch(window_xyxy=(0, 0, 64, 64), to_image=np.array([[1, 0, 32.0], [0, 1, 0]]))
    traced = trace_patch(labels, shifted)
    assert np.all(traced.labels[:, 16:] == UNKNOWN)
    assert np.all(traced.labels[: 8 // GRID_PX] == UNKNOWN)


def test_depth_is_one_in_the_middle_and_small_at_the_outline() -> None:
    depth = relative_depth(disc(20))
    assert depth[32, 32] == 255
    assert 0 < depth[32, 13] < 40
    assert depth[0, 0] == 0


def test_touching_nuclei_have_an_outline_between_them() -> None:
    labels = np.zeros((32, 64), np.int32)
    labels[:, 4:32], labels[:, 32:60] = 1, 2
    depth = relative_depth(labels)
    assert depth[16, 31] < 40
    assert depth[16, 32] < 40
    assert depth[16, 18] > 230


def test_a_nucleus_that_fills_the_image_is_deep_everywhere() -> None:
    assert np.all(relative_depth(np.ones((8, 8), np.int32)) == 255)
