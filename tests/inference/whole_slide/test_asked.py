"""Regions that were asked for: what is looked at around them, and what is told of neighbours near their edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from nucleate.core import Frame, NucleiColumns
from nucleate.inference.whole_slide import AskedRegions, SlideFolder, segment_slide
from nucleate.slides import Region
from tests.inference.fake_segmenter import InkSegmenter, draw_discs
from tests.inference.whole_slide.drawn import ArraySlide, nuclei_of, plan_of, run_of, segment_drawn

# At 0.25 um a pixel: 50 um.
MARGIN_PX = 200.0
FRAME = Frame(height_px=400, width_px=400)


def test_windows_within_the_margin_are_looked_at() -> None:
    asked = AskedRegions([Region(name="a", geometry=shapely.box(100, 100, 200, 200))], FRAME, margin_px=10)
    windows = np.array([[0, 0, 80, 80], [0, 120, 95, 180], [0, 120, 85, 180], [150, 150, 160, 160], [215, 0, 300, 300]])
    assert asked.meets(windows).tolist() == [False, True, False, True, False]
    bare = AskedRegions([Region(name="a", geometry=shapely.box(100, 100, 200, 200))], FRAME, margin_px=0)
    assert bare.meets(windows).tolist() == [False, False, False, True, False]


def asked_run(slide: ArraySlide, folder: Path, regions: list[Region]) -> tuple[NucleiColumns, int]:
    asked = AskedRegions(regions, slide.info.frame, margin_px=MARGIN_PX)
    plan = plan_of(slide, holds_tissue=asked.meets)
    run = run_of(plan, asked=asked)
    return nuclei_of(segment_slide(InkSegmenter(), slide, SlideFolder(folder, {}), run)), plan.tiles


def test_nuclei_of_regions_have_the_rows_of_the_whole_slide(tmp_path: Path) -> None:
    """Neighbours outside the regions did not count, so that density fell towards their edge."""
    rng = np.random.default_rng(5)
    discs = [
        (x + rng.uniform(-3, 3), y + rng.uniform(-3, 3), 6.0) for x in range(20, 980, 24) for y in range(20, 280, 24)
    ]
    slide = ArraySlide(draw_discs(300, 1000, discs))
    whole = nuclei_of(segment_drawn(slide, tmp_path / "whole"))
    region = Region(name="a", geometry=shapely.box(300, 60, 420, 200))
    part, tiles = asked_run(slide, tmp_path / "part", [region])
    assert tiles < plan_of(slide).tiles
    inside = shapely.intersects_xy(region.geometry, whole.centroids_xy)
    expected = whole.select(inside)
    assert 20 < len(part) == len(expected) < len(whole) / 2
    assert part.numbers.tolist() == list(range(1, len(part) + 1))
    first, second = (n.select(np.lexsort((n.boxes_xyxy[:, 0], n.boxes_xyxy[:, 1]))) for n in (part, expected))
    assert first.outlines_wkb.tolist() == second.outlines_wkb.tolist()
    np.testing.assert_array_equal(first.measurements, second.measurements)
    assert np.isfinite(first.measurement("neighbour_distance_um")).all()


def test_a_distance_that_reaches_beyond_what_was_looked_at_is_not_told(tmp_path: Path) -> None:
    # 120 um apart. Of 100 um around the first nucleus all is looked at, then of the whole slide.
    slide = ArraySlide(draw_discs(300, 1500, [(500, 150, 6), (980, 150, 6)]))
    near, _ = asked_run(slide, tmp_path / "near", [Region(name="a", geometry=shapely.box(300, 0, 700, 300))])
    assert np.isnan(near.measurement("neighbour_distance_um")).tolist() == [True]
    both, _ = asked_run(slide, tmp_path / "both", [Region(name="a", geometry=shapely.box(0, 0, 1500, 300))])
    assert both.measurement("neighbour_distance_um") == pytest.approx([120, 120], abs=0.5)


def test_without_a_scale_nuclei_are_chosen_all_the_same() -> None:
    asked = AskedRegions([Region(name="a", geometry=shapely.box(0, 0, 10, 10))], FRAME, margin_px=0)
    nuclei = NucleiColumns(
        numbers=np.zeros(2, np.int64),
        outlines_wkb=np.array([b"", b""], np.object_),
        boxes_xyxy=np.zeros((2, 4)),
        centroids_xy=np.array([[5.0, 5.0], [15.0, 5.0]]),
        areas_px=np.ones(2, np.int64),
        class_indices=np.zeros(2, np.int64),
        scores=np.ones(2, np.float32),
        measurement_names=("neighbour_distance_um",),
        measurements=np.full((2, 1), np.nan),
    )
    (kept,) = asked.only([nuclei], None)
    assert kept.centroids_xy.tolist() == [[5.0, 5.0]]
