"""SpatialData opens in spatialdata's own reader; without the package these tests are skipped, and say so."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import shapely

from nucleate.errors import DataError, MissingExtraError, ResultsError
from nucleate.export.slide import SlideTable, read_slide_spatialdata, with_cells, write_slide_spatialdata
from tests.export.slide.drawn_table import MEASUREMENTS, MPP, blob_nuclei, blob_table
from tests.export.slide.sameness import assert_same_nuclei
from tests.tables import drawn_nuclei, write_table

# Its dependencies warn when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def needs_spatialdata() -> None:
    pytest.importorskip("spatialdata", reason="NOT TESTED: spatialdata is not installed; see docs/exports.md")


@pytest.mark.usefixtures("needs_spatialdata")
def test_spatialdatas_reader_opens_it(tmp_path: Path) -> None:
    import spatialdata
    from spatialdata.transformations import get_transformation

    nuclei = blob_nuclei()
    write_slide_spatialdata(tmp_path / "a.zarr", blob_table(tmp_path))
    data = spatialdata.read_zarr(tmp_path / "a.zarr")
    assert list(data.shapes) == ["nuclei"]
    shapes = data.shapes["nuclei"]
    assert shapes.index.tolist() == nuclei.numbers.tolist()
    assert shapely.equals(shapes.geometry.to_numpy(), nuclei.outlines()).all()
    table = data.tables["measurements"]
    assert table.var_names.tolist() == list(MEASUREMENTS)
    np.testing.assert_array_equal(table.X, nuclei.measurements.astype(np.float32))
    assert table.obs["class"].tolist()[:2] == ["lymphocyte", "nucleus"]
    np.testing.assert_allclose(table.obsm["spatial"], nuclei.centroids_xy)
    assert set(data.coordinate_systems) == {"global", "um"}
    to_um = get_transformation(shapes, "um").to_affine_matrix(("x", "y"), ("x", "y"))
    np.testing.assert_allclose(to_um, np.diag([MPP, MPP, 1]))
    # The table's rows are the shapes'.
    joined, rows = spatialdata.join_spatialelement_table(
        sdata=data, spatial_element_names="nuclei", table_name="measurements"
    )
    assert len(joined["nuclei"]) == len(rows) == 63


@pytest.mark.usefixtures("needs_spatialdata")
def test_nuclei_and_cells_come_back(tmp_path: Path) -> None:
    with with_cells(blob_table(tmp_path), expand_um=1, beside=tmp_path) as table:
        write_slide_spatialdata(tmp_path / "a.zarr", table)
        (group,) = table.groups()
    read = read_slide_spatialdata(tmp_path / "a.zarr")
    assert_same_nuclei(read, blob_nuclei())
    assert read.cells_wkb is not None
    assert shapely.equals(shapely.from_wkb(read.cells_wkb), group.shapes.outlines()).all()


@pytest.mark.usefixtures("needs_spatialdata")
def test_no_nucleus(tmp_path: Path) -> None:
    table = SlideTable.open(write_table(tmp_path / "t.parquet", drawn_nuclei(0)))
    write_slide_spatialdata(tmp_path / "a.zarr", table)
    assert len(read_slide_spatialdata(tmp_path / "a.zarr").nuclei) == 0


@pytest.mark.usefixtures("needs_spatialdata")
def test_nothing_is_overwritten_or_half_written(tmp_path: Path) -> None:
    table = blob_table(tmp_path)
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(ResultsError, match="holds something already"):
        write_slide_spatialdata(tmp_path / "a.zarr", table)
    with pytest.raises(DataError, match="no SpatialData"):
        read_slide_spatialdata(tmp_path / "a.zarr")
    with pytest.raises(DataError, match="no such folder"):
        read_slide_spatialdata(tmp_path / "b.zarr")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="can't be written"):
        write_slide_spatialdata(tmp_path / "file" / "a.zarr", table)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[spatial\]'"):
        write_slide_spatialdata(tmp_path / "a.zarr", blob_table(tmp_path))
    with pytest.raises(MissingExtraError, match="spatial"):
        read_slide_spatialdata(tmp_path / "a.zarr")
