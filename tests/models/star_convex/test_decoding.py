from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.core import Frame, Instances
from nucleate.errors import ConfigError
from nucleate.inference.magnification import in_frame
from nucleate.models.star_convex.decoding import DecodingSettings, decode
from nucleate.models.star_convex.segmenter import StarConvexSegmenter, padded
from tests.models.star_convex.scenes import ellipses, perfect_maps


def frame_of(labels: NDArray[np.int32]) -> Frame:
    return Frame(height_px=labels.shape[0], width_px=labels.shape[1])


def best_ious(labels: NDArray[np.int32], found: Instances) -> NDArray[np.float64]:
    """Return each nucleus' IoU with the mask that overlaps it most."""
    best = np.zeros(int(labels.max()))
    for index in range(len(found)):
        mask = found.masks.full(index)
        numbers, counts = np.unique(labels[mask], return_counts=True)
        for number, shared in zip(numbers, counts, strict=True):
            if number > 0:
                union = mask.sum() + (labels == number).sum() - shared
                best[number - 1] = max(best[number - 1], shared / union)
    return best


@pytest.mark.parametrize(
    "settings",
    [DecodingSettings(), DecodingSettings(filling=None), DecodingSettings(voters=8, filling=None)],
    ids=["filled", "drawn", "voted"],
)
def test_perfect_maps_give_the_nuclei_back(settings: DecodingSettings) -> None:
    labels = ellipses(256, 60, radius_px=(9, 16), seed=3)
    found = decode(perfect_maps(labels), frame_of(labels), settings)
    assert len(found) == labels.max()
    assert best_ious(labels, found).mean() > 0.97


def test_six_hundred_nuclei_survive() -> None:
    labels = np.zeros((512, 512), np.int32)
    rows, columns = np.mgrid[:512, :512]
    labels[:, :] = 1 + (rows // 20) * 25 + columns // 20
    away = ((rows % 20 - 9.5) ** 2 + (columns % 20 - 9.5) ** 2 > 64) | (rows >= 480) | (columns >= 500)
    labels[away] = 0
    assert len(np.unique(labels)) == 601
    found = decode(perfect_maps(labels), frame_of(labels))
    assert len(found) == 600


def test_touching_nuclei_stay_two() -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[20:40, 10:30] = 1
    labels[20:40, 30:50] = 2
    found = decode(perfect_maps(labels), frame_of(labels))
    assert len(found) == 2
    assert best_ious(labels, found).min() > 0.9


def test_an_image_without_nuclei_gives_none() -> None:
    labels = np.zeros((64, 32), np.int32)
    assert len(decode(perfect_maps(labels), frame_of(labels))) == 0


def test_the_vote_mends_a_winner_with_bad_rays() -> None:
    labels = ellipses(64, 1, radius_px=(12, 14), seed=8)
    maps = perfect_maps(labels)
    row, column = np.unravel_index(int(np.argmax(maps.depth)), maps.depth.shape)
    log_distances = maps.log_distances.copy()
    log_distances[::2, row, column] += np.log(0.6)
    spoilt = replace(maps, log_distances=log_distances)
    alone = best_ious(labels, decode(spoilt, frame_of(labels), DecodingSettings(voters=1, filling=None)))
    agreed = best_ious(labels, decode(spoilt, frame_of(labels), DecodingSettings(voters=12, filling=None)))
    assert alone[0] < 0.85 < 0.9 < agreed[0]


def test_scores_follow_quality_and_fall() -> None:
    labels = ellipses(128, 12, radius_px=(8, 12), seed=4)
    maps = perfect_maps(labels)
    quality = np.tile(np.linspace(0.2, 1, 64, dtype=np.float32), (64, 1))
    found = decode(replace(maps, quality=quality), frame_of(labels))
    assert np.all(np.diff(found.scores) <= 0)
    centres = found.boxes_xyxy[:, [0, 2]].mean(axis=1)
    assert np.corrcoef(centres, found.scores)[0, 1] > 0.9


@pytest.mark.parametrize("settings", [{"least_depth": 1.5}, {"most_overlap": -1.0}, {"voters": 0}])
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        DecodingSettings(**settings)  # type: ignore[arg-type]


class _PerfectEngine:
    """Knows the nuclei of the image it is shown, however that was padded."""

    fingerprint = "perfect"

    def __init__(self, labels: NDArray[np.int32]) -> None:
        self._labels = labels
        self.shapes: list[tuple[int, ...]] = []

    def run(self, images_rgb: NDArray[np.uint8]) -> list[object]:
        self.shapes.append(images_rgb.shape)
        height_px, width_px = images_rgb.shape[1:3]
        labels = np.zeros((height_px, width_px), np.int32)
        labels[: self._labels.shape[0], : self._labels.shape[1]] = self._labels
        return [perfect_maps(labels)]


@pytest.mark.parametrize("shape", [(31, 2000), (33, 65), (1, 5), (64, 64)])
def test_any_size_is_padded_and_answered_in_its_own_frame(shape: tuple[int, int]) -> None:
    labels = np.zeros(shape, np.int32)
    labels[: shape[0] // 2 + 1, shape[1] // 2 :] = 1
    engine = _PerfectEngine(labels)
    found = StarConvexSegmenter(engine=engine).segment([np.zeros((*shape, 3), np.uint8)])[0]  # type: ignore[arg-type]
    assert found.frame.shape == shape
    assert all(side % 32 == 0 for side in engine.shapes[0][1:3])
    assert len(found) >= (min(shape) > 4)


def test_padding_mirrors_where_it_can() -> None:
    image = np.arange(33 * 40 * 3, dtype=np.uint32).astype(np.uint8).reshape(33, 40, 3)
    larger = padded(image)
    assert larger.shape == (64, 64, 3)
    assert np.array_equal(larger[:33, :40], image)
    assert np.array_equal(larger[33, :40], image[31])


def test_outlines_seen_at_half_the_size_are_drawn_without_loss() -> None:
    labels = ellipses(256, 40, radius_px=(11, 18), seed=6)
    maps = perfect_maps(labels, shrunk_by=2)
    small, large = Frame(height_px=128, width_px=128), frame_of(labels)
    found = decode(maps, small, drawn_in=large)
    assert found.frame.shape == (256, 256)
    resampled = in_frame(decode(maps, small), large)
    assert best_ious(labels, found).mean() > 0.95 > best_ious(labels, resampled).mean()
