from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks
from nucleate.core.stain import LabStatistics, StainNormalisation
from nucleate.errors import ConfigError
from nucleate.inference import InferenceSettings, LoadedImage, TilingSettings, segment_images
from nucleate.inference.magnification import in_frame, magnified
from tests.inference.fake_segmenter import InkSegmenter, draw_discs, draw_grid


def images(*pictures: NDArray[np.uint8]) -> list[LoadedImage]:
    return [LoadedImage(index=index, image_rgb=picture) for index, picture in enumerate(pictures)]


def test_results_come_in_the_images_order_whatever_their_sizes() -> None:
    pictures = [draw_discs(40, 40 + 10 * (n % 2), [(20, 20, 5 + n)]) for n in range(5)]
    done = list(segment_images(InkSegmenter(), images(*pictures), InferenceSettings(score_threshold=0)))
    assert [item.image.index for item in done] == [0, 1, 2, 3, 4]
    assert [item.instances.frame.width_px for item in done] == [40, 50, 40, 50, 40]


def test_batches_are_bounded_and_hold_one_size() -> None:
    segmenter = InkSegmenter()
    pictures = [draw_discs(64, width_px, []) for width_px in (64, 64, 64, 200, 64)]
    settings = InferenceSettings(tiling=TilingSettings(tile_px=64, overlap_px=16), batch_images=2)
    list(segment_images(segmenter, images(*pictures), settings))
    assert max(len(batch) for batch in segmenter.batches) == 2
    assert sum(len(batch) for batch in segmenter.batches) == 4 + 4


def test_size_of_batches_does_not_change_results() -> None:
    picture = draw_grid(200, 200, pitch_px=20, radius=6)
    tiling = TilingSettings(tile_px=64, overlap_px=32)
    one, many = (
        next(segment_images(InkSegmenter(), images(picture), InferenceSettings(tiling=tiling, batch_images=n)))
        for n in (1, 7)
    )
    assert np.array_equal(one.instances.boxes_xyxy, many.instances.boxes_xyxy)


def test_nuclei_at_or_below_the_threshold_are_dropped() -> None:
    picture = draw_discs(60, 60, [(15, 15, 10), (45, 45, 3)])
    found = next(segment_images(InkSegmenter(), images(picture), InferenceSettings(score_threshold=0.5))).instances
    assert len(found) == 1
    assert found.scores[0] > 0.5


def test_nuclei_are_sorted_by_falling_score() -> None:
    picture = draw_discs(60, 60, [(15, 15, 3), (45, 45, 10)])
    found = next(segment_images(InkSegmenter(), images(picture), InferenceSettings(score_threshold=0))).instances
    assert found.scores[0] > found.scores[1]


@pytest.mark.parametrize("factor", [0.5, 1.7, 3.0])
def test_magnified_image_gives_nuclei_in_the_inputs_pixels(factor: float) -> None:
    picture = draw_discs(120, 160, [(50, 60, 16), (120, 40, 20)])
    settings = InferenceSettings(score_threshold=0, magnification=factor)
    found = next(segment_images(InkSegmenter(), images(picture), settings)).instances
    assert found.frame.shape == (120, 160)
    union = found.masks.full(0) | found.masks.full(1)
    ink = picture[..., 0] < 128
    assert np.count_nonzero(union & ink) / np.count_nonzero(union | ink) > 0.95


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.7])
def test_image_of_one_tile_is_magnified_whole_to_the_bit(factor: float) -> None:
    picture = draw_discs(120, 161, [(50, 60, 16), (120, 40, 20)])
    tiling = TilingSettings(tile_px=224)
    settings = InferenceSettings(score_threshold=0, magnification=factor, tiling=tiling)
    found = next(segment_images(InkSegmenter(), images(picture), settings)).instances
    (answer,) = InkSegmenter().segment([magnified(picture, factor)])
    expected = in_frame(answer, Frame(height_px=120, width_px=161))
    order = np.argsort(-expected.scores, kind="stable")
    assert np.array_equal(found.masks.bits, expected.masks.select(order).bits)
    assert np.array_equal(found.boxes_xyxy, expected.boxes_xyxy[order])
    assert np.array_equal(found.scores, expected.scores[order])


def test_images_may_differ_in_magnification() -> None:
    segmenter = InkSegmenter()
    picture = draw_discs(60, 60, [(30, 30, 8)])
    loaded = [
        LoadedImage(index=n, image_rgb=picture, magnification=factor) for n, factor in enumerate((2.0, None, 3.0))
    ]
    done = list(segment_images(segmenter, loaded, InferenceSettings(score_threshold=0, magnification=0.5)))
    assert segmenter.batches == [(120,), (30,), (180,)]
    assert [item.instances.frame.shape for item in done] == [(60, 60)] * 3


def test_impossible_magnification_of_an_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="a magnification of 30: 0.05 to 20"):
        LoadedImage(index=0, image_rgb=draw_discs(4, 4, []), magnification=30.0)


def test_nucleus_thinner_than_an_input_pixel_is_left_out() -> None:
    speck = np.zeros((40, 40), np.bool_)
    speck[20, 20] = True

    class Speck(InkSegmenter):
        def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
            return [Instances.from_masks(Masks.from_full(Frame(height_px=40, width_px=40), [speck]))]

    picture = np.full((10, 10, 3), 255, np.uint8)
    settings = InferenceSettings(score_threshold=0, magnification=4)
    assert len(next(segment_images(Speck(), images(picture), settings)).instances) == 0


def test_stain_normalisation_comes_before_the_network() -> None:
    seen: list[NDArray[np.uint8]] = []

    class Watching(InkSegmenter):
        def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
            seen.extend(images_rgb)
            return super().segment(images_rgb)

    rng = np.random.default_rng(0)
    picture = rng.integers(90, 160, (32, 32, 3), np.uint8)
    statistics = LabStatistics(mean=(60.0, 20.0, -10.0), deviation=(10.0, 5.0, 5.0))
    stain = StainNormalisation(method="reinhard", reinhard_reference=statistics)
    list(segment_images(Watching(), images(picture), InferenceSettings(stain=stain)))
    assert np.array_equal(seen[0], stain.apply(picture))


def test_magnification_of_one_leaves_the_image_alone() -> None:
    picture = draw_discs(10, 10, [])
    assert magnified(picture, 1.0) is picture


def test_tiny_image_keeps_a_pixel_when_made_smaller() -> None:
    assert magnified(draw_discs(3, 3, []), 0.05).shape == (1, 1, 3)


def test_halved_mask_of_even_corners_is_exact() -> None:
    frame = Frame(height_px=40, width_px=40)
    bitmap = np.zeros((40, 40), np.bool_)
    bitmap[10:20, 4:30] = True
    half = in_frame(Instances.from_masks(Masks.from_full(frame, [bitmap])), Frame(height_px=20, width_px=20))
    expected = np.zeros((20, 20), np.bool_)
    expected[5:10, 2:15] = True
    assert np.array_equal(half.masks.full(0), expected)
    assert half.boxes_xyxy.tolist() == [[2, 5, 15, 10]]


@pytest.mark.parametrize("wrong", [{"score_threshold": 1.5}, {"magnification": 0.0}, {"batch_images": 0}])
def test_impossible_setting_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        InferenceSettings(**wrong)  # type: ignore[arg-type]
