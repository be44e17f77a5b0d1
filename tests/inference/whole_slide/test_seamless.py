"""A slide in tiles gives what the slide in one tile gives."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate.core import NucleiColumns
from nucleate.inference import TilingSettings
from nucleate.inference.whole_slide import SlideFolder, SlideProgress, segment_slide
from tests.inference.fake_segmenter import InkSegmenter, OutlineInkSegmenter, draw_discs
from tests.inference.whole_slide.drawn import ArraySlide, nuclei_of, plan_of, run_of, segment_drawn

WHOLE = TilingSettings(tile_px=4096)
Disc = tuple[float, float, float]


def scattered(seed: int, height_px: int, width_px: int, tries: int = 400) -> list[Disc]:
    """Return discs of 3 to 12 px radius that don't touch, many of them on seams and corners."""
    rng = np.random.default_rng(seed)
    discs: list[Disc] = []
    for _ in range(tries):
        x, y, r = rng.uniform(0, width_px), rng.uniform(0, height_px), rng.uniform(3, 12)
        if rng.random() < 0.5:
            # Tiles of 64 px that share 32: seams lie every 32 px or so.
            x = round(x / 32) * 32 + rng.uniform(-3, 3)
        if rng.random() < 0.5:
            y = round(y / 32) * 32 + rng.uniform(-3, 3)
        if all(np.hypot(x - u, y - v) > r + s + 2 for u, v, s in discs):
            discs.append((x, y, r))
    return discs


def assert_same_nuclei(first: NucleiColumns, second: NucleiColumns) -> None:
    def by_place(nuclei: NucleiColumns) -> NucleiColumns:
        boxes = nuclei.boxes_xyxy
        return nuclei.select(np.lexsort((boxes[:, 2], boxes[:, 0], boxes[:, 1])))

    first, second = by_place(first), by_place(second)
    assert first.outlines_wkb.tolist() == second.outlines_wkb.tolist()
    np.testing.assert_array_equal(first.scores, second.scores)
    for name in first.measurement_names:
        np.testing.assert_allclose(
            first.measurement(name), second.measurement(name), rtol=1e-5, atol=1e-6, err_msg=name
        )


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height_px=st.integers(40, 210),
    width_px=st.integers(40, 210),
    block_tiles=st.integers(1, 3),
)
def test_tiled_equals_untiled(seed: int, height_px: int, width_px: int, block_tiles: int) -> None:
    slide = ArraySlide(draw_discs(height_px, width_px, scattered(seed, height_px, width_px, tries=60)))
    with tempfile.TemporaryDirectory() as folder:
        tiled = nuclei_of(segment_drawn(slide, Path(folder) / "tiled", plan=plan_of(slide, block_tiles=block_tiles)))
        whole = nuclei_of(segment_drawn(slide, Path(folder) / "whole", tiling=WHOLE))
    assert len(whole) > 0
    assert_same_nuclei(tiled, whole)


@pytest.mark.parametrize("magnification", [0.5, 2.0])
def test_nuclei_are_in_level_0_pixels_whatever_the_scale(tmp_path: Path, magnification: float) -> None:
    discs: list[Disc] = [(60.0, 60.0, 12.0), (130.0, 64.0, 10.0), (128.0, 128.0, 12.0)]
    slide = ArraySlide(draw_discs(400, 420, discs))
    tiling = TilingSettings(tile_px=64, overlap_px=32)
    plan = plan_of(slide, tiling=tiling, magnification=magnification)
    assert plan.tiles > 4
    nuclei = nuclei_of(segment_drawn(slide, tmp_path, segmenter=OutlineInkSegmenter(), plan=plan, tiling=tiling))
    centres = nuclei.centroids_xy[np.argsort(nuclei.centroids_xy[:, 0])]
    np.testing.assert_allclose(centres, sorted((x, y) for x, y, _ in discs), atol=1)
    np.testing.assert_allclose(np.sort(nuclei.areas_px), np.pi * np.array([10.0, 12.0, 12.0]) ** 2, rtol=0.15)


def test_numbers_count_from_one_and_neighbours_are_measured(tmp_path: Path) -> None:
    slide = ArraySlide(draw_discs(100, 300, [(20, 50, 6), (60, 50, 6), (280, 50, 6)]))
    nuclei = nuclei_of(segment_drawn(slide, tmp_path))
    assert nuclei.numbers.tolist() == [1, 2, 3]
    order = np.argsort(nuclei.centroids_xy[:, 0])
    distances = nuclei.measurement("neighbour_distance_um")[order]
    assert distances == pytest.approx([10.0, 10.0, 55.0], abs=0.3)
    density = nuclei.measurement("density_per_mm2")[order]
    assert density == pytest.approx(np.array([1, 1, 0]) / (np.pi * 0.05**2), rel=1e-6)


def test_progress_counts_tiles_nuclei_and_area(tmp_path: Path) -> None:
    slide = ArraySlide(draw_discs(300, 200, scattered(1, 300, 200)))
    plan = plan_of(slide)
    seen: list[SlideProgress] = []
    folder = SlideFolder(tmp_path, {})
    outcome = segment_slide(InkSegmenter(), slide, folder, run_of(plan), progress=seen.append)
    assert [now.tiles for now in seen] == sorted(now.tiles for now in seen)
    assert seen[0].tiles == 0
    assert seen[-1].tiles == seen[-1].tiles_in_all == plan.tiles
    assert seen[-1].mm2 == pytest.approx(300 * 200 * 0.25**2 / 1e6)
    assert seen[-1].nuclei == pytest.approx(outcome.nuclei, abs=3)


def test_tiles_without_tissue_are_not_segmented(tmp_path: Path) -> None:
    slide = ArraySlide(draw_discs(64, 640, [(20, 30, 6), (600, 30, 6)]))
    segmenter = InkSegmenter()
    plan = plan_of(slide, holds_tissue=lambda windows: windows[:, 2] <= 200)
    nuclei = nuclei_of(segment_drawn(slide, tmp_path, segmenter=segmenter, plan=plan))
    assert len(nuclei) == 1
    assert sum(map(len, segmenter.batches)) == plan.tiles < plan_of(slide).tiles


def test_no_nucleus_gives_an_empty_table(tmp_path: Path) -> None:
    outcome = segment_drawn(ArraySlide(draw_discs(200, 200, [])), tmp_path)
    assert outcome.nuclei == 0
    assert len(nuclei_of(outcome)) == 0


def test_six_hundred_nuclei_of_a_tile_survive(tmp_path: Path) -> None:
    discs: list[Disc] = [(10.0 + 18 * (n % 28), 10.0 + 18 * (n // 28), 5.0) for n in range(28 * 28)]
    slide = ArraySlide(draw_discs(512, 512, discs))
    assert segment_drawn(slide, tmp_path, tiling=TilingSettings(tile_px=512)).nuclei == 784
