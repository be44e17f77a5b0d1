from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks
from nucleate.errors import ConfigError
from nucleate.inference import InferenceSettings, LoadedImage, TilingSettings, segment_images
from nucleate.inference.tiling import Tile, merge_tiles, plan_tiles
from tests.inference.fake_segmenter import InkSegmenter, OutlineInkSegmenter, draw_discs, draw_grid


def found(
    image: NDArray[np.uint8],
    tile_px: int | None,
    overlap_px: int = 32,
    *,
    magnification: float = 1.0,
    segmenter: InkSegmenter | None = None,
) -> Instances:
    settings = InferenceSettings(
        score_threshold=0,
        magnification=magnification,
        tiling=TilingSettings(tile_px=tile_px, overlap_px=overlap_px),
    )
    images = [LoadedImage(index=0, image_rgb=image)]
    return next(iter(segment_images(segmenter or InkSegmenter(), images, settings))).instances


def described(instances: Instances) -> list[tuple[int, ...]]:
    areas = instances.masks.areas_px().tolist()
    return sorted((*box, area) for box, area in zip(instances.boxes_xyxy.astype(int).tolist(), areas, strict=True))


def assert_equal_to_untiled(image: NDArray[np.uint8], tile_px: int, overlap_px: int = 32) -> None:
    tiled, whole = found(image, tile_px, overlap_px), found(image, None)
    assert described(tiled) == described(whole)
    assert np.array_equal(np.sort(tiled.scores), np.sort(whole.scores))


def frame_of(image: NDArray[np.uint8]) -> Frame:
    return Frame(height_px=image.shape[0], width_px=image.shape[1])


def test_three_nuclei_are_found_as_if_untiled() -> None:
    assert_equal_to_untiled(draw_discs(200, 300, [(40, 50, 9), (150, 120, 12), (260, 170, 7)]), tile_px=96)


@pytest.mark.parametrize("x", range(60, 130, 3))
def test_nucleus_on_a_seam_is_kept_once_wherever_it_is(x: int) -> None:
    assert_equal_to_untiled(draw_discs(150, 200, [(x, 70, 11), (20, 20, 6), (180, 130, 8)]), tile_px=96)


@pytest.mark.parametrize("seed", range(8))
def test_random_fields_are_found_as_if_untiled(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # A grid that jitters, so that no blot is wider than the overlap, in which case it is whole in no tile.
    discs = [
        (x + rng.uniform(-7, 7), y + rng.uniform(-7, 7), rng.uniform(2, 14))
        for x in range(0, 301, 34)
        for y in range(0, 261, 34)
    ]
    image = draw_discs(260, 300, discs)
    assert_equal_to_untiled(image, tile_px=128, overlap_px=64)


@pytest.mark.parametrize("make", [InkSegmenter, OutlineInkSegmenter])
@pytest.mark.parametrize(("magnification", "tile_px", "overlap_px"), [(2.0, 256, 128), (0.5, 64, 32), (4.0, 512, 256)])
def test_magnified_tiles_find_what_the_magnified_image_shows(
    make: type[InkSegmenter], magnification: float, tile_px: int, overlap_px: int
) -> None:
    """Tiles start at even pixels here, so that halving pairs the same pixels in tiles and in the whole."""
    rng = np.random.default_rng(3)
    discs = [
        (x + rng.uniform(-7, 7), y + rng.uniform(-7, 7), rng.uniform(3, 14))
        for x in range(0, 321, 36)
        for y in range(0, 257, 36)
    ]
    image = draw_discs(256, 320, discs)
    segmenter = make()
    tiled = found(image, tile_px, overlap_px, magnification=magnification, segmenter=segmenter)
    whole = found(image, None, magnification=magnification, segmenter=make())
    assert sum(len(batch) for batch in segmenter.batches) == 12
    assert len(tiled) == len(whole) > 50
    assert described(tiled) == described(whole)


def test_no_more_than_a_tile_is_magnified_at_a_time() -> None:
    segmenter = InkSegmenter()
    found(draw_discs(600, 600, []), 256, magnification=2.0, segmenter=segmenter)
    assert {width_px for batch in segmenter.batches for width_px in batch} == {256}


def test_tiles_of_a_magnified_image_are_smaller_in_its_own_pixels() -> None:
    settings = TilingSettings(tile_px=512, overlap_px=128)
    tiles = plan_tiles(Frame(height_px=100, width_px=1000), settings, magnification=2.0)
    assert [tile.window_xyxy[::2] for tile in tiles] == [(0, 256), (186, 442), (372, 628), (558, 814), (744, 1000)]
    tiles = plan_tiles(Frame(height_px=100, width_px=1000), settings, magnification=0.5)
    assert len(tiles) == 1


def test_tiny_tiles_of_a_strongly_magnified_image_cover_it() -> None:
    tiles = plan_tiles(Frame(height_px=3, width_px=9), TilingSettings(tile_px=32, overlap_px=64), magnification=20.0)
    assert {x for tile in tiles for x in range(tile.window_xyxy[0], tile.window_xyxy[2])} == set(range(9))


def test_nucleus_cut_within_a_pixel_of_the_network_is_no_nucleus_of_its_own() -> None:
    """At a magnification of 0.25 a mask that stops a network's pixel short of the side ends four pixels before it."""
    fragment, whole = one((81, 5, 97, 15), 0.9), one((5, 5, 40, 15), 0.8)
    merged = merge_tiles(WIDE, TWO_TILES, [fragment, whole], SETTINGS, magnification=0.25)
    assert merged.boxes_xyxy.tolist() == [[85, 5, 120, 15]]


def test_nucleus_wider_than_the_overlap_is_not_reported_with_its_fragments() -> None:
    """A tile whose side cuts a nucleus reports a fragment; another tile sees the whole."""
    image = draw_discs(100, 200, [(70, 50, 24)])
    assert described(found(image, 100, overlap_px=40)) == described(found(image, None))


def test_six_hundred_nuclei_survive_tiling() -> None:
    assert len(found(draw_grid(400, 600, pitch_px=20, radius=6), 128, overlap_px=40)) == 600


def test_no_nucleus_is_an_ordinary_result_of_tiles() -> None:
    assert len(found(draw_discs(300, 300, []), 96)) == 0


def test_strip_of_31_px_by_2000_is_cut_along_its_length_only() -> None:
    image = draw_discs(31, 2000, [(x, 15, 8) for x in range(15, 2000, 40)])
    tiles = plan_tiles(frame_of(image), TilingSettings(tile_px=256, overlap_px=64))
    assert {tile.window_xyxy[1:4:2] for tile in tiles} == {(0, 31)}
    assert len(found(image, 256, overlap_px=64)) == 50


def test_image_smaller_than_the_tile_stays_whole() -> None:
    tiles = plan_tiles(Frame(height_px=40, width_px=50), TilingSettings(tile_px=512))
    assert [tile.window_xyxy for tile in tiles] == [(0, 0, 50, 40)]


@pytest.mark.parametrize(("side_px", "count"), [(640, 1), (641, 2)])
def test_side_is_cut_when_it_exceeds_the_tile_by_more_than_a_quarter(side_px: int, count: int) -> None:
    tiles = plan_tiles(Frame(height_px=100, width_px=side_px), TilingSettings(tile_px=512))
    assert len(tiles) == count


@pytest.mark.parametrize("side_px", [641, 1000, 1024, 3001])
def test_tiles_have_the_size_of_the_tile_and_at_least_the_overlap(side_px: int) -> None:
    tiles = plan_tiles(Frame(height_px=10, width_px=side_px), TilingSettings(tile_px=512, overlap_px=128))
    starts = [tile.window_xyxy[0] for tile in tiles]
    assert {tile.window_xyxy[2] - tile.window_xyxy[0] for tile in tiles} == {512}
    assert starts[0] == 0
    assert starts[-1] + 512 == side_px
    assert max(np.diff(starts)) <= 512 - 128


def test_seam_halves_the_shared_strip() -> None:
    tiles = plan_tiles(Frame(height_px=10, width_px=180), TilingSettings(tile_px=100, overlap_px=20))
    assert tiles[0].window_xyxy == (0, 0, 100, 10)
    assert tiles[1].window_xyxy == (80, 0, 180, 10)
    assert tiles[0].owned_xyxy[2] == tiles[1].owned_xyxy[0] == 90


def test_more_overlap_than_half_a_tile_is_cut_to_half() -> None:
    tiles = plan_tiles(Frame(height_px=10, width_px=160), TilingSettings(tile_px=64, overlap_px=128))
    assert [tile.window_xyxy[0] for tile in tiles] == [0, 32, 64, 96]


def one(window: tuple[int, int, int, int], score: float) -> Instances:
    frame = Frame(height_px=20, width_px=100)
    bitmap = np.ones((window[3] - window[1], window[2] - window[0]), np.bool_)
    masks = Masks.from_bitmaps(frame, np.array([window], np.int32), [bitmap])
    return Instances.from_masks(masks, scores=np.array([score], np.float32))


TWO_TILES = (
    Tile(window_xyxy=(0, 0, 100, 20), owned_xyxy=(-np.inf, -np.inf, 90, np.inf)),
    Tile(window_xyxy=(80, 0, 180, 20), owned_xyxy=(90, -np.inf, np.inf, np.inf)),
)
WIDE = Frame(height_px=20, width_px=180)
SETTINGS = TilingSettings(tile_px=100, overlap_px=20)


def test_nucleus_that_both_tiles_own_by_a_pixel_is_kept_once_with_the_better_score() -> None:
    left, right = one((84, 5, 95, 15), 0.7), one((6, 5, 16, 15), 0.8)
    merged = merge_tiles(WIDE, TWO_TILES, [left, right], SETTINGS)
    assert merged.scores.tolist() == pytest.approx([0.8])
    assert merged.boxes_xyxy.tolist() == [[86, 5, 96, 15]]


def test_nucleus_that_neither_tile_owns_by_a_pixel_is_not_lost() -> None:
    left, right = one((86, 5, 96, 15), 0.7), one((4, 5, 15, 15), 0.8)
    merged = merge_tiles(WIDE, TWO_TILES, [left, right], SETTINGS)
    assert merged.scores.tolist() == pytest.approx([0.8])


def test_two_nuclei_that_overlap_little_at_a_seam_both_stay() -> None:
    left, right = one((70, 5, 92, 15), 0.7), one((8, 5, 30, 15), 0.8)
    assert len(merge_tiles(WIDE, TWO_TILES, [left, right], SETTINGS)) == 2


def test_merged_nuclei_are_sorted_by_falling_score() -> None:
    left, right = one((10, 5, 20, 15), 0.4), one((60, 5, 70, 15), 0.9)
    assert merge_tiles(WIDE, TWO_TILES, [left, right], SETTINGS).scores.tolist() == pytest.approx([0.9, 0.4])


def test_boxes_that_meet_with_masks_that_do_not_are_two_nuclei() -> None:
    frame = Frame(height_px=20, width_px=100)

    def corner(x1: int, *, upper: bool) -> Instances:
        bitmap = np.zeros((10, 12), np.bool_)
        bitmap[:5, :6] = upper
        bitmap[5:, 6:] = not upper
        masks = Masks.from_bitmaps(frame, np.array([(x1, 5, x1 + 12, 15)], np.int32), [bitmap])
        return Instances(
            frame=frame,
            boxes_xyxy=np.array([[x1, 5, x1 + 12, 15]], np.float32),
            masks=masks,
            class_indices=np.zeros(1, np.int64),
            scores=np.ones(1, np.float32),
        )

    merged = merge_tiles(WIDE, TWO_TILES, [corner(83, upper=True), corner(5, upper=False)], SETTINGS)
    assert len(merged) == 2


@pytest.mark.parametrize("wrong", [{"tile_px": 8}, {"overlap_px": -1}, {"same_nucleus_iou": 0}])
def test_impossible_tiling_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        TilingSettings(**wrong)
