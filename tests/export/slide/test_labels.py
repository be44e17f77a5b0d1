"""The label pyramid opens in tifffile, tile by tile the same as drawing the whole slide at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile

from nucleate.core import Frame, NucleiColumns
from nucleate.errors import DataError
from nucleate.export.slide import SlideTable, rasterise_outlines, read_slide_labels, with_cells, write_slide_labels
from tests.export.slide.drawn_table import blob_info, blob_nuclei, blob_table
from tests.tables import drawn_nuclei, table_info, write_table


def painted(
    nuclei: NucleiColumns, frame: Frame, factor: float = 1.0
) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    labels = np.zeros(frame.shape, np.uint32)
    masks = rasterise_outlines(nuclei.outlines(), frame, factor=factor)
    for index in np.lexsort((-nuclei.numbers, nuclei.scores)).tolist():
        labels[masks.full(index)] = nuclei.numbers[index]
    return labels


def test_tifffile_opens_a_pyramid_of_numbers(tmp_path: Path) -> None:
    write_slide_labels(tmp_path / "a.ome.tif", blob_table(tmp_path))
    nuclei, frame = blob_nuclei(), blob_info().frame
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert tiff.is_ome
        (series,) = tiff.series
        assert series.dtype == np.uint32
        assert [level.shape for level in series.levels] == [(280, 360), (140, 180)]
        labels = series.levels[0].asarray()
        half = series.levels[1].asarray()
        assert 'PhysicalSizeX="0.25"' in str(tiff.ome_metadata)
        assert tiff.pages.first.is_tiled
    np.testing.assert_array_equal(labels, painted(nuclei, frame))
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    np.testing.assert_array_equal(numbers, nuclei.numbers)
    np.testing.assert_array_equal(counts, nuclei.areas_px)
    np.testing.assert_array_equal(half, painted(nuclei, Frame(height_px=140, width_px=180), 0.5))


def test_overlapping_nuclei_in_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.export.nuclei_table.ROWS_A_GROUP", 300)
    nuclei, info = drawn_nuclei(1000, side_px=700), table_info(700, mpp=None)
    write_slide_labels(tmp_path / "a.ome.tif", SlideTable.open(write_table(tmp_path / "t.parquet", nuclei, info)))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.ome.tif"), painted(nuclei, info.frame))


def test_labels_come_back_as_outlines(tmp_path: Path) -> None:
    write_slide_labels(tmp_path / "a.ome.tif", blob_table(tmp_path))
    nuclei = blob_nuclei()
    read = read_slide_labels(tmp_path / "a.ome.tif").nuclei
    np.testing.assert_array_equal(read.numbers, nuclei.numbers)
    np.testing.assert_array_equal(read.areas_px, nuclei.areas_px)
    assert shapely.equals(read.outlines(), nuclei.outlines()).all()


def test_window_holds_its_own_nuclei(tmp_path: Path) -> None:
    write_slide_labels(tmp_path / "a.ome.tif", blob_table(tmp_path))
    nuclei = blob_nuclei()
    x1, y1, x2, y2 = window = (200, 160, 330, 270)
    read = read_slide_labels(tmp_path / "a.ome.tif", window_xyxy=window).nuclei
    pieces = shapely.intersection(nuclei.outlines(), shapely.box(x1, y1, x2, y2))
    inside = shapely.area(pieces) > 0
    np.testing.assert_array_equal(read.numbers, nuclei.numbers[inside])
    assert shapely.equals(read.outlines(), pieces[inside]).all()


def test_cells_replace_nuclei(tmp_path: Path) -> None:
    with with_cells(blob_table(tmp_path), expand_um=2, beside=tmp_path) as table:
        write_slide_labels(tmp_path / "a.ome.tif", table)
        (group,) = table.groups()
    read = read_slide_labels(tmp_path / "a.ome.tif").nuclei
    assert shapely.equals(read.outlines(), group.shapes.outlines()).all()


def test_no_nucleus_is_background(tmp_path: Path) -> None:
    write_slide_labels(
        tmp_path / "a.ome.tif", SlideTable.open(write_table(tmp_path / "t.parquet", drawn_nuclei(0), table_info(300)))
    )
    assert not tifffile.imread(tmp_path / "a.ome.tif").any()
    assert len(read_slide_labels(tmp_path / "a.ome.tif").nuclei) == 0


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slide_labels(tmp_path / "a.ome.tif", blob_table(tmp_path))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "text.tif").write_text("no TIFF")
    for name, problem in (("rgb.tif", "no tiled label"), ("text.tif", "no TIFF"), ("none.tif", "no such file")):
        with pytest.raises(DataError, match=problem):
            read_slide_labels(tmp_path / name)
    with pytest.raises(DataError, match="no pixel of the image"):
        read_slide_labels(tmp_path / "a.ome.tif", window_xyxy=(400, 0, 500, 10))
    monkeypatch.setattr("nucleate.export.slide.labels.MOST_READ_PX", 100)
    with pytest.raises(DataError, match="in windows of 100"):
        read_slide_labels(tmp_path / "a.ome.tif")
