"""Which windows and points lie in regions, against shapely one by one; tissue as a region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPolygon, Point, Polygon

from nucleate.errors import DataError
from nucleate.slides import Region, RegionIndex, Tissue, find_tissue, open_slide, regions_cover, tissue_region
from nucleate.slides.regions import dissolved

RING = Polygon([(0, 0), (10, 0), (10, 10), (0, 10)], [[(4, 4), (6, 4), (6, 6), (4, 6)]])
coordinates = st.integers(0, 12)
triangles = (
    st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=3)
    .map(Polygon)
    .filter(lambda polygon: polygon.area > 0)
)
windows = st.tuples(coordinates, coordinates, st.integers(1, 8), st.integers(1, 8)).map(
    lambda each: (each[0], each[1], each[0] + each[2], each[1] + each[3])
)


def region(geometry: Polygon | MultiPolygon, name: str = "drawn") -> Region:
    return Region(name=name, geometry=geometry)


@given(polygons=st.lists(triangles, max_size=4), asked=st.lists(windows, max_size=6))
def test_shares_of_windows_equal_the_area_in_common(
    polygons: list[Polygon], asked: list[tuple[int, int, int, int]]
) -> None:
    index = RegionIndex([region(polygon) for polygon in polygons])
    whole = shapely.union_all(polygons)
    shares = index.shares(asked)
    expected = [shapely.intersection(whole, shapely.box(*window)).area / shapely.box(*window).area for window in asked]
    np.testing.assert_allclose(shares, expected, atol=1e-12)
    np.testing.assert_array_equal(index.meets(asked), shares > 0)
    for window, share in zip(asked, shares, strict=True):
        assert regions_cover(index.regions, window) == pytest.approx(share, abs=1e-12)


@given(polygons=st.lists(triangles, max_size=4), points=st.lists(st.tuples(coordinates, coordinates), max_size=12))
def test_members_are_what_shapely_covers(polygons: list[Polygon], points: list[tuple[int, int]]) -> None:
    index = RegionIndex([region(polygon) for polygon in polygons])
    points_xy = np.array(points, np.float64).reshape(-1, 2)
    members = index.members(points_xy)
    for place, polygon in enumerate(polygons):
        expected = [number for number, point in enumerate(points) if polygon.covers(Point(point))]
        assert members.of(place).tolist() == expected
    anywhere = [any(polygon.covers(Point(point)) for polygon in polygons) for point in points]
    assert index.contains(points_xy).tolist() == anywhere


def test_a_hole_is_outside() -> None:
    index = RegionIndex([region(RING)])
    assert index.contains(np.array([[5.0, 5.0], [1.0, 1.0]])).tolist() == [False, True]
    assert index.shares([(4, 4, 6, 6), (0, 0, 4, 4), (0, 0, 10, 10)]).tolist() == pytest.approx([0, 1, 0.96])


def test_a_common_border_is_no_meeting() -> None:
    assert RegionIndex([region(RING)]).meets([(10, 0, 20, 10), (9, 0, 20, 10)]).tolist() == [False, True]


def test_a_window_without_an_area_is_refused() -> None:
    with pytest.raises(DataError, match="has no area"):
        RegionIndex([region(RING)]).shares([(3, 3, 3, 9)])


@pytest.mark.parametrize(
    ("geometry", "problem"),
    [
        (Point(1, 1), "is a Point: polygons are needed"),
        (Polygon(), "not valid or has no area"),
        (Polygon([(0, 0), (4, 4), (4, 0), (0, 4)]), "not valid or has no area"),
    ],
)
def test_a_region_is_a_valid_polygon(geometry: Polygon, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        region(geometry)


def test_dissolving_leaves_areas_alone() -> None:
    assert dissolved([]).is_empty
    assert dissolved([RING, LineString([(20, 0), (30, 0)]), Polygon()]).equals(RING)
    assert dissolved([RING, shapely.box(20, 0, 21, 1)]).geom_type == "MultiPolygon"


def test_tissue_is_a_region_of_the_same_area() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((40, 60)) < 0.5
    tissue = Tissue(
        path=Path("drawn.svs"),
        thumbnail_rgb=np.zeros((40, 60, 3), np.uint8),
        mask=mask,
        ink=np.zeros_like(mask),
        downsample_xy=(8.0, 7.5),
    )
    found = tissue_region(tissue)
    assert found is not None
    assert found.area_px == pytest.approx(mask.sum() * 60)
    ys, xs = np.mgrid[:40, :60]
    centres = np.stack([(xs.ravel() + 0.5) * 8, (ys.ravel() + 0.5) * 7.5], axis=1)
    np.testing.assert_array_equal(RegionIndex([found]).contains(centres), mask.ravel())


def test_no_tissue_is_no_region() -> None:
    blank = np.zeros((4, 4), np.bool_)
    tissue = Tissue(
        path=Path("x.svs"), thumbnail_rgb=np.zeros((4, 4, 3), np.uint8), mask=blank, ink=blank, downsample_xy=(1, 1)
    )
    assert tissue_region(tissue) is None


@pytest.mark.shared_data
def test_tissue_of_the_sample_slide_is_a_region(shared_data: Path) -> None:
    tissue = find_tissue(open_slide(shared_data / "wsi" / "CMU-1-Small-Region.svs"))
    found = tissue_region(tissue)
    assert found is not None
    assert tissue.mpp is not None
    assert found.area_px * tissue.mpp**2 / 1e6 == pytest.approx(tissue.area_mm2)
