"""Cells hold the nuclei, and lie in an area, as one by one they would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Polygon

from nucleate.core import Frame
from nucleate.errors import DataError
from nucleate.export.summary import cells_inside, centroid_grid
from nucleate.slides import Region, RegionIndex
from nucleate.slides.regions import dissolved
from tests.tables import drawn_nuclei, table_info, write_table

# Thousandths: shapely itself stumbles over corners 1e-180 apart.
corner = st.integers(-5_000, 30_000).map(lambda thousandths: thousandths / 1000)


@given(
    polygons=st.lists(
        st.lists(st.tuples(corner, corner), min_size=3, max_size=8)
        .map(Polygon)
        .map(lambda polygon: polygon.buffer(0))
        .filter(lambda polygon: polygon.area > 0.01),
        min_size=1,
        max_size=3,
    ),
    cell_px=st.floats(0.5, 4),
)
def test_cells_inside_are_those_with_their_centre_inside(polygons: list[Polygon], cell_px: float) -> None:
    area = dissolved(polygons)
    inside = cells_inside(area, (14, 11), cell_px=cell_px)
    rows, columns = np.mgrid[:14, :11]
    centres = shapely.points((columns.ravel() + 0.5) * cell_px, (rows.ravel() + 0.5) * cell_px)
    # On a border either side is right.
    clear = shapely.distance(shapely.boundary(area), centres) > 1e-9
    np.testing.assert_array_equal(inside.ravel()[clear], shapely.contains(area, centres)[clear])


def test_nothing_is_inside_an_empty_area() -> None:
    assert not cells_inside(Polygon(), (3, 4), cell_px=1).any()


def test_grid_counts_every_nucleus_once(tmp_path: Path) -> None:
    nuclei = drawn_nuclei(3000, side_px=1000)
    table = write_table(tmp_path / "nuclei.parquet", nuclei, table_info(1000))
    grid = centroid_grid(table, table_info(1000).frame, cell_px=96.5)
    edges = np.arange(12) * 96.5
    expected, _, _ = np.histogram2d(nuclei.centroids_xy[:, 1], nuclei.centroids_xy[:, 0], bins=(edges, edges))
    np.testing.assert_array_equal(grid.counts, expected)


def test_grid_counts_one_class_in_regions(tmp_path: Path) -> None:
    nuclei = drawn_nuclei(3000, side_px=1000)
    table = write_table(tmp_path / "nuclei.parquet", nuclei, table_info(1000))
    index = RegionIndex([Region(name="a", geometry=shapely.box(100, 100, 400, 700))])
    grid = centroid_grid(table, table_info(1000).frame, cell_px=50, inside=index, class_index=1)
    x, y = nuclei.centroids_xy.T
    assert grid.counts.sum() == ((x >= 100) & (x <= 400) & (y >= 100) & (y <= 700) & (nuclei.class_indices == 1)).sum()


def test_nuclei_beyond_the_frame_count_at_its_edge(tmp_path: Path) -> None:
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(50, side_px=1000), table_info(1000))
    grid = centroid_grid(table, Frame(height_px=10, width_px=10), cell_px=5)
    assert grid.counts.tolist() == [[0, 0], [0, 50]]


def test_cells_have_a_side(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cells of 0 px"):
        centroid_grid(tmp_path / "x", Frame(height_px=10, width_px=10), cell_px=0)
