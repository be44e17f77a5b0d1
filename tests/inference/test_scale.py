from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.core import Instances
from nucleate.errors import ConfigError
from nucleate.inference.scale import ScaleSettings, estimate_scale, part_with_most_tissue
from tests.inference.fake_segmenter import InkSegmenter, draw_discs, draw_grid

WORKING_PX = 20.0


class TrainedInkSegmenter(InkSegmenter):
    """Sees discs as a network does that was trained at 20 px: the surest at that size, blind far from it."""

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        answers = []
        for found in super().segment(images_rgb):
            diameters = 2 * np.sqrt(found.masks.areas_px() / np.pi)
            scores = np.exp(-((np.log(diameters / WORKING_PX) / 0.7) ** 2)).astype(np.float32)
            answers.append(
                Instances.from_masks(found.masks, scores=scores) if len(found) else Instances.empty(found.frame)
            )
        return answers


@pytest.mark.parametrize("diameter_px", [10, 14, 20, 28, 40, 60])
def test_nuclei_of_ten_to_sixty_pixels_are_measured_within_five_percent(diameter_px: int) -> None:
    image = draw_grid(400, 400, pitch_px=2 * diameter_px, radius=diameter_px / 2)
    estimate = estimate_scale(TrainedInkSegmenter(), image, WORKING_PX)
    assert estimate.diameter_px == pytest.approx(diameter_px, rel=0.05)
    assert estimate.magnification == pytest.approx(WORKING_PX / diameter_px, rel=0.05)


def test_three_scales_are_looked_at() -> None:
    image = draw_grid(200, 200, pitch_px=40, radius=10)
    looks = estimate_scale(TrainedInkSegmenter(), image, WORKING_PX).looks
    assert [round(look.magnification, 2) for look in looks] == [1.48, 0.82, 0.45]
    assert looks[1].nuclei == 25


def test_the_mean_of_what_is_found_is_the_estimate() -> None:
    discs = [(40, 40, 8), (100, 40, 10), (40, 100, 10), (100, 100, 16)]
    estimate = estimate_scale(TrainedInkSegmenter(), draw_discs(140, 140, discs), WORKING_PX)
    assert estimate.diameter_px == pytest.approx(2 * 44 / 4, rel=0.04)


def test_scale_where_large_nuclei_fall_into_parts_is_not_taken() -> None:
    """The parts are more than the nuclei and have their scores, but not the working diameter."""

    class Splitting(TrainedInkSegmenter):
        def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
            answers = []
            for found in InkSegmenter.segment(self, images_rgb):
                diameters = 2 * np.sqrt(found.masks.areas_px() / np.pi)
                parts = found.select(np.repeat(np.arange(len(found)), np.where(diameters > 60, 2, 1)))
                answers.append(replace(parts, scores=np.full(len(parts), 0.9, np.float32)))
            return answers

    looks = estimate_scale(Splitting(), draw_grid(400, 400, pitch_px=80, radius=22), WORKING_PX).looks
    assert [look.nuclei for look in looks] == [50, 25, 25]
    assert max(looks, key=lambda look: look.evidence).magnification == pytest.approx(0.45, abs=0.01)


def test_less_sure_nuclei_count_where_there_are_no_others() -> None:
    class Unsure(TrainedInkSegmenter):
        def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
            return [replace(found, scores=found.scores * np.float32(0.45)) for found in super().segment(images_rgb)]

    estimate = estimate_scale(Unsure(), draw_grid(200, 200, pitch_px=40, radius=10), WORKING_PX)
    assert estimate.diameter_px == pytest.approx(20, rel=0.05)
    settings = ScaleSettings(least_scores=(0.5,))
    image = draw_grid(200, 200, pitch_px=40, radius=10)
    assert estimate_scale(Unsure(), image, WORKING_PX, settings=settings).diameter_px is None


def test_image_without_nuclei_stays_as_it_is() -> None:
    estimate = estimate_scale(TrainedInkSegmenter(), draw_discs(100, 100, []), WORKING_PX)
    assert (estimate.diameter_px, estimate.magnification, len(estimate.looks)) == (None, 1.0, 3)


def test_specks_are_not_taken_for_nuclei_of_a_pixel() -> None:
    image = draw_grid(60, 60, pitch_px=10, radius=1)
    estimate = estimate_scale(InkSegmenter(), image, WORKING_PX, settings=ScaleSettings(least_scores=(0.0,)))
    assert estimate.diameter_px == 13.5 / 2


def test_no_more_than_the_part_is_looked_at() -> None:
    segmenter = TrainedInkSegmenter()
    image = draw_grid(900, 900, pitch_px=40, radius=10)
    estimate_scale(segmenter, image, WORKING_PX, settings=ScaleSettings(part_px=320))
    assert max(width_px for batch in segmenter.batches for width_px in batch) == round(320 * WORKING_PX / 13.5)


@pytest.mark.parametrize("shape", [(40, 3), (1, 1), (2000, 31)])
def test_images_thinner_than_the_part_are_taken(shape: tuple[int, int]) -> None:
    image = draw_discs(*shape, [])
    rows, columns = part_with_most_tissue(image, 640)
    assert image[rows, columns].shape == (min(640, shape[0]), shape[1], 3)


def test_part_lies_where_the_tissue_is() -> None:
    image = np.full((1000, 1400, 3), 245, np.uint8)
    image[700:1000, 1100:1400] = (220, 150, 190)
    rows, columns = part_with_most_tissue(image, 320)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (680, 1000, 1080, 1400)


@pytest.mark.parametrize("level", [150, 250])
def test_part_is_central_where_all_is_alike(level: int) -> None:
    image = np.full((1000, 1400, 3), level, np.uint8)
    rows, columns = part_with_most_tissue(image, 320)
    assert abs((rows.start + rows.stop) / 2 - 500) < 16
    assert abs((columns.start + columns.stop) / 2 - 700) < 16


@pytest.mark.parametrize(
    "wrong",
    [{"diameters_px": ()}, {"diameters_px": (0.0, 20.0)}, {"part_px": 8}, {"least_scores": (1.0,)}, {"spread": 0.0}],
)
def test_impossible_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ScaleSettings(**wrong)  # type: ignore[arg-type]
