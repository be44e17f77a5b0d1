from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.errors import ConfigError
from nucleate.models.star_convex.filling import FillingSettings, fill
from nucleate.models.star_convex.polygons import StarPolygons
from nucleate.models.star_convex.rays import RAYS

FRAME = Frame(height_px=48, width_px=64)
UNDECIDED = np.full((24, 32), 0.5, np.float32)


def circles(*centres_and_radii: tuple[float, float, float]) -> StarPolygons:
    values = np.array(centres_and_radii, np.float32).reshape(-1, 3)
    return StarPolygons(centres_xy=values[:, :2], distances_px=np.repeat(values[:, 2:], RAYS, axis=1))


def probability_of_disc(x: float, y: float, radius_px: float) -> NDArray[np.float32]:
    rows, columns = np.mgrid[:24, :32] * 2 + 1.0
    distance = np.hypot(columns - x, rows - y)
    return np.asarray(1 / (1 + np.exp(np.clip((distance - radius_px) * 1.5, -9, 9))), np.float32)


def test_undecided_pixels_follow_the_outline() -> None:
    outline = circles((20, 24, 8))
    filled = fill(outline, UNDECIDED, FRAME, FRAME, FillingSettings(bias=0.0))
    assert np.array_equal(filled.full(0), outline.draw(FRAME).full(0))


def test_pixels_mend_an_outline_that_is_too_small() -> None:
    disc = circles((30, 24, 10)).draw(FRAME).full(0)
    outline = circles((30, 24, 8.2))
    inside = probability_of_disc(30, 24, 10)
    filled = fill(outline, inside, FRAME, FRAME, FillingSettings()).full(0)
    drawn = outline.draw(FRAME).full(0)

    def iou(mask: NDArray[np.bool_]) -> float:
        return float(np.count_nonzero(mask & disc) / np.count_nonzero(mask | disc))

    assert iou(drawn) < 0.7 < 0.85 < iou(filled)


def test_no_pixel_is_further_out_than_the_reach() -> None:
    everywhere = np.full((24, 32), 1.0, np.float32)
    filled = fill(circles((30, 24, 8)), everywhere, FRAME, FRAME, FillingSettings(reach=1.25, firmness=0.0))
    assert np.array_equal(filled.full(0), circles((30, 24, 10)).draw(FRAME).full(0))


def test_a_pixel_of_two_nuclei_goes_to_the_one_it_lies_deeper_in() -> None:
    filled = fill(circles((20, 24, 12), (36, 24, 6)), UNDECIDED, FRAME, FRAME, FillingSettings())
    large, small = filled.full(0), filled.full(1)
    assert not (large & small).any()
    # 11.5 px of 12 on the way out of the large one, 4.5 of 6 of the small one.
    assert small[24, 31]
    # 9.5 of 12, 6.5 of 6.
    assert large[24, 29]


def test_random_nuclei_share_no_pixel_and_are_in_one_piece() -> None:

    rng = np.random.default_rng(7)
    centres = rng.uniform((0, 0), (64, 48), (40, 2))
    stars = StarPolygons(
        centres_xy=centres.astype(np.float32), distances_px=rng.uniform(2, 9, (40, RAYS)).astype(np.float32)
    )
    masks = fill(stars, rng.uniform(0, 1, (24, 32)).astype(np.float32), FRAME, FRAME, FillingSettings())
    full = np.stack([masks.full(index) for index in range(40)])
    assert full.sum(axis=0).max() == 1
    pieces = [cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1 for mask in full]
    assert max(pieces) == 1


def test_probabilities_are_read_where_they_lie_in_an_image_seen_at_half_its_size() -> None:
    large = Frame(height_px=96, width_px=128)
    inside = probability_of_disc(30, 24, 10)
    filled = fill(circles((60, 48, 18)), inside, FRAME, large, FillingSettings(firmness=2.0)).full(0)
    disc = circles((60, 48, 20)).draw(large).full(0)
    assert np.count_nonzero(filled & disc) / np.count_nonzero(filled | disc) > 0.93


def test_no_outline_gives_no_mask() -> None:
    assert len(fill(circles(), UNDECIDED, FRAME, FRAME, FillingSettings())) == 0


@pytest.mark.parametrize("settings", [{"reach": 0.5}, {"reach": 9.0}, {"firmness": -1.0}])
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        FillingSettings(**settings)
