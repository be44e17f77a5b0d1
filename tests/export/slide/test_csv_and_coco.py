"""CSV and COCO of slides open in pandas and pycocotools, and come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from pycocotools.coco import COCO

from nucleate.errors import DataError
from nucleate.export.slide import (
    SlideTable,
    rasterise_outlines,
    read_slide_coco,
    read_slide_csv,
    with_cells,
    write_slide_coco,
    write_slide_csv,
)
from tests.export.slide.drawn_table import MEASUREMENTS, blob_info, blob_nuclei, blob_table
from tests.export.slide.sameness import assert_same_nuclei
from tests.tables import drawn_nuclei, write_table


def test_csv_comes_back(tmp_path: Path) -> None:
    write_slide_csv(tmp_path / "a.csv", blob_table(tmp_path))
    assert_same_nuclei(read_slide_csv(tmp_path / "a.csv"), blob_nuclei())


def test_pandas_and_geopandas_open_the_csv(tmp_path: Path) -> None:
    nuclei = blob_nuclei()
    write_slide_csv(tmp_path / "a.csv", blob_table(tmp_path))
    frame = pd.read_csv(tmp_path / "a.csv")
    assert list(frame.columns) == [
        *("number", "class", "score", "area_px", "centroid_x", "centroid_y", "x1", "y1", "x2", "y2"),
        *MEASUREMENTS,
        "outline",
    ]
    assert len(frame) == len(nuclei)
    assert frame["ring_eosin_od_sd"].isna().tolist() == [False, True] + [False] * 61
    outlines = geopandas.GeoSeries.from_wkt(frame["outline"])
    assert shapely.equals(outlines.to_numpy(), nuclei.outlines()).all()


def test_csv_with_cells(tmp_path: Path) -> None:
    with with_cells(blob_table(tmp_path), expand_um=1, beside=tmp_path) as table:
        write_slide_csv(tmp_path / "a.csv", table)
    frame = pd.read_csv(tmp_path / "a.csv")
    cells = geopandas.GeoSeries.from_wkt(frame["cell_outline"])
    np.testing.assert_array_equal(cells.area, frame["cell_area_px"])
    np.testing.assert_allclose(frame["cell_area_um2"], frame["cell_area_px"] / 16)
    assert (frame["cell_area_px"] > frame["area_px"]).all()
    read = read_slide_csv(tmp_path / "a.csv")
    assert_same_nuclei(read, blob_nuclei())
    assert read.cells_wkb is not None
    assert shapely.equals(shapely.from_wkb(read.cells_wkb), cells.to_numpy()).all()


def coco(path: Path) -> COCO:
    return COCO(str(path))


def test_coco_comes_back(tmp_path: Path) -> None:
    write_slide_coco(tmp_path / "a.json", blob_table(tmp_path))
    assert_same_nuclei(read_slide_coco(tmp_path / "a.json"), blob_nuclei())


def test_pycocotools_draws_the_same_pixels(tmp_path: Path) -> None:
    nuclei, info = blob_nuclei(), blob_info()
    write_slide_coco(tmp_path / "a.json", blob_table(tmp_path))
    opened = coco(tmp_path / "a.json")
    (image,) = opened.loadImgs(opened.getImgIds())
    assert (image["file_name"], image["width"], image["height"]) == ("blobs.svs", 360, 280)
    assert [each["name"] for each in opened.loadCats(opened.getCatIds())] == ["nucleus", "lymphocyte"]
    annotations: list[Any] = opened.loadAnns(opened.getAnnIds())
    assert len(annotations) == len(nuclei)
    masks = rasterise_outlines(nuclei.outlines(), info.frame)
    # The first three have a hole and several parts.
    for index in (0, 1, 2, 3, 30, 62):
        assert annotations[index]["area"] == nuclei.areas_px[index]
        np.testing.assert_array_equal(opened.annToMask(annotations[index]) == 1, masks.full(index))


def test_coco_with_cells_has_both(tmp_path: Path) -> None:
    with with_cells(blob_table(tmp_path), expand_um=1, beside=tmp_path) as table:
        write_slide_coco(tmp_path / "a.json", table)
    read = read_slide_coco(tmp_path / "a.json")
    assert_same_nuclei(read, blob_nuclei())
    annotations = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert read.cells_wkb is not None
    assert [each["area"] for each in annotations] == shapely.area(shapely.from_wkb(read.cells_wkb)).tolist()


def test_fractions_of_pixels_come_back(tmp_path: Path) -> None:
    nuclei = drawn_nuclei(200)
    table = SlideTable.open(write_table(tmp_path / "t.parquet", nuclei))
    write_slide_coco(tmp_path / "a.json", table)
    write_slide_csv(tmp_path / "a.csv", table)
    assert_same_nuclei(read_slide_coco(tmp_path / "a.json"), nuclei)
    assert_same_nuclei(read_slide_csv(tmp_path / "a.csv"), nuclei)


def test_hole_narrower_than_a_pixel_is_cut_through_its_middle(tmp_path: Path) -> None:
    from nucleate.core import NucleiColumns

    ring = shapely.difference(shapely.box(0, 0, 4, 4), shapely.box(1.2, 1, 1.4, 3))
    nuclei = NucleiColumns(
        **{
            **{name: getattr(drawn_nuclei(1), name) for name in NucleiColumns.__slots__},
            "outlines_wkb": np.array([shapely.to_wkb(ring)], np.object_),
        }
    )
    write_slide_coco(tmp_path / "a.json", SlideTable.open(write_table(tmp_path / "t.parquet", nuclei)))
    (outline,) = read_slide_coco(tmp_path / "a.json").nuclei.outlines()
    assert shapely.equals(outline, ring)


def test_no_nucleus(tmp_path: Path) -> None:
    table = SlideTable.open(write_table(tmp_path / "t.parquet", drawn_nuclei(0)))
    write_slide_coco(tmp_path / "a.json", table)
    write_slide_csv(tmp_path / "a.csv", table)
    assert coco(tmp_path / "a.json").getAnnIds() == []
    assert len(read_slide_coco(tmp_path / "a.json").nuclei) == 0
    assert len(read_slide_csv(tmp_path / "a.csv").nuclei) == 0
    with with_cells(table, expand_um=1, beside=tmp_path) as grown:
        write_slide_csv(tmp_path / "b.csv", grown)
    assert "cell_outline" in (tmp_path / "b.csv").read_text()


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("number,class\n1,x\n")
    (tmp_path / "b.csv").write_bytes(b'"a\n1,2,3\n')
    (tmp_path / "a.json").write_text('{"images":[],"annotations":[]}')
    for path, problem in (("a.csv", "no column 'score'"), ("b.csv", "not a CSV"), ("c.csv", "no such file")):
        with pytest.raises(DataError, match=problem):
            read_slide_csv(tmp_path / path)
    for path, problem in (("a.json", "no annotations of"), ("c.json", "no such file")):
        with pytest.raises(DataError, match=problem):
            read_slide_coco(tmp_path / path)
