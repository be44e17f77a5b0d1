"""Cells against their definition, pixel by pixel, and the same however the slide is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from nucleate.core import Frame, NucleiColumns
from nucleate.errors import ConfigError, ResultsError
from nucleate.export.slide import SlideTable, grow_cells, rasterise_outlines, with_cells
from nucleate.export.slide import cells as cells_module
from tests.export.slide.drawn_table import blob_info, blob_nuclei, blob_table
from tests.tables import drawn_nuclei, table_info, write_table

FRAME = Frame(height_px=60, width_px=80)


def boxes_as_nuclei(boxes: NDArray[np.int64]) -> NucleiColumns:
    outlines = shapely.box(*boxes.T.astype(float))
    return NucleiColumns(
        numbers=np.arange(1, len(boxes) + 1),
        outlines_wkb=np.asarray(shapely.to_wkb(outlines), np.object_),
        boxes_xyxy=boxes.astype(float),
        centroids_xy=shapely.get_coordinates(shapely.centroid(outlines)),
        areas_px=shapely.area(outlines).astype(np.int64),
        class_indices=np.zeros(len(boxes), np.int64),
        scores=np.linspace(1, 0.5, len(boxes)).astype(np.float32),
        measurement_names=(),
        measurements=np.zeros((len(boxes), 0)),
    )


def nearest_nucleus(nuclei: NucleiColumns, radius_px: float) -> NDArray[np.int64]:
    """Return (H, W) the index from 1 of the nearest nucleus within reach, the first of equally near ones."""
    masks = rasterise_outlines(nuclei.outlines(), FRAME)
    distances = [ndimage.distance_transform_edt(~masks.full(index)) for index in range(len(masks))]
    squares = np.rint(np.square(distances))
    return np.asarray(np.where(squares.min(axis=0) <= radius_px**2, squares.argmin(axis=0) + 1, 0))


@given(
    st.lists(
        st.tuples(st.integers(0, 70), st.integers(0, 50), st.integers(1, 10), st.integers(1, 10)),
        min_size=1,
        max_size=9,
    ),
    st.floats(0.5, 15),
)
@settings(max_examples=80)
def test_each_pixel_within_reach_belongs_to_the_nearest_nucleus(
    corners: list[tuple[int, int, int, int]], radius_px: float
) -> None:
    x, y, width, height = np.array(corners).T
    nuclei = boxes_as_nuclei(np.stack([x, y, x + width, y + height], axis=1))
    nearest = nearest_nucleus(nuclei, radius_px)
    cells = grow_cells(nuclei, nuclei, radius_px=radius_px, frame=FRAME)
    drawn = rasterise_outlines(cells, FRAME)
    for index in range(len(nuclei)):
        if (nearest == index + 1).any():
            np.testing.assert_array_equal(drawn.full(index), nearest == index + 1)
        else:
            assert shapely.equals(cells[index], nuclei.outlines()[index])


def test_cells_never_overlap_and_hold_their_nuclei(tmp_path: Path) -> None:
    with with_cells(blob_table(tmp_path), expand_um=5, beside=tmp_path) as table:
        (group,) = table.groups()
    assert group.cells is not None
    cells, nuclei = group.cells.outlines(), group.nuclei.outlines()
    assert shapely.covers(cells, nuclei).all()
    assert shapely.area(shapely.union_all(cells)) == shapely.area(cells).sum()
    assert shapely.bounds(cells)[:, :2].min() >= 0
    np.testing.assert_array_equal(group.cells.areas_px, shapely.area(cells))


def test_cells_do_not_depend_on_blocks_and_row_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OpenCV's distances differed from call to call by 1e-6, which moved pixels between equally near nuclei."""
    nuclei, frame = blob_nuclei(), blob_info().frame
    whole = grow_cells(nuclei, nuclei, radius_px=20, frame=frame)
    monkeypatch.setattr(cells_module, "_BLOCK_PX", 64)
    assert shapely.equals(grow_cells(nuclei, nuclei, radius_px=20, frame=frame), whole).all()
    monkeypatch.setattr("nucleate.export.nuclei_table.ROWS_A_GROUP", 10)
    with with_cells(blob_table(tmp_path), expand_um=5, beside=tmp_path) as table:
        grown = np.concatenate([group.shapes.outlines() for group in table.groups()])
    assert shapely.equals(grown, whole).all()


def test_temporary_cells_go_away(tmp_path: Path) -> None:
    table = blob_table(tmp_path)
    with with_cells(table, expand_um=1, beside=tmp_path / "new") as grown:
        assert grown.cells_path is not None
        assert grown.cells_path.is_file()
    assert list((tmp_path / "new").iterdir()) == []


def test_impossible_growth_is_one_line(tmp_path: Path) -> None:
    table = blob_table(tmp_path)
    for expand_um in (0, -1, 51, float("nan")):
        with (
            pytest.raises(ConfigError, match="above 0 and at most 50"),
            with_cells(table, expand_um=expand_um, beside=tmp_path),
        ):
            pass
    unknown = SlideTable.open(write_table(tmp_path / "t.parquet", drawn_nuclei(1), table_info(mpp=None)))
    with pytest.raises(ConfigError, match="um/px"), with_cells(unknown, expand_um=1, beside=tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ResultsError, match="can't be written"),
        with_cells(table, expand_um=1, beside=tmp_path / "file"),
    ):
        pass
