"""RoiSet.zip opens in roifile: counts, outlines and places."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import roifile
import shapely
from shapely.geometry import Polygon

from nucleate.core import NucleiColumns
from nucleate.errors import ConfigError, DataError
from nucleate.export.slide import ExportArea, SlideTable, read_slide_rois, with_cells, write_slide_rois
from tests.export.slide.drawn_table import blob_nuclei, blob_table
from tests.export.slide.sameness import assert_same_nuclei
from tests.tables import table_info, write_table


def opened(path: Path) -> list[roifile.ImagejRoi]:
    rois = roifile.roiread(path)
    assert isinstance(rois, list)
    return rois


def test_roifile_opens_every_outline(tmp_path: Path) -> None:
    nuclei = blob_nuclei()
    assert write_slide_rois(tmp_path / "a.zip", blob_table(tmp_path)) == 63
    rois = opened(tmp_path / "a.zip")
    assert len(rois) == 63
    assert [int(roi.name) for roi in rois] == nuclei.numbers.tolist()
    assert [roi.group - 1 for roi in rois] == nuclei.class_indices.tolist()
    for index in (3, 30, 62):
        assert rois[index].roitype is roifile.ROI_TYPE.POLYGON
        assert Polygon(rois[index].coordinates()).equals(nuclei.outlines()[index])
    # A hole, and several parts.
    for index in (0, 1, 2):
        assert rois[index].composite
        rings = [Polygon(ring) for ring in rois[index].coordinates(multi=True)]
        together = rings[0].symmetric_difference(rings[1])
        assert together.equals(nuclei.outlines()[index])


def test_rois_come_back(tmp_path: Path) -> None:
    write_slide_rois(tmp_path / "a.zip", blob_table(tmp_path))
    assert_same_nuclei(read_slide_rois(tmp_path / "a.zip"), blob_nuclei(), measured=False)


def test_region_takes_nuclei_by_centroid_and_moves_them(tmp_path: Path) -> None:
    nuclei = blob_nuclei()
    x1, y1, x2, y2 = 120, 80, 250, 200
    inside = (nuclei.centroids_xy > (x1, y1)) & (nuclei.centroids_xy < (x2, y2))
    held = inside[:, 0] & inside[:, 1]
    count = write_slide_rois(tmp_path / "a.zip", blob_table(tmp_path), ExportArea.parse("120,80,250,200"))
    assert count == held.sum() > 3
    first = opened(tmp_path / "a.zip")[0]
    expected = shapely.transform(nuclei.outlines()[held][0], lambda xy: xy - (x1, y1))
    assert Polygon(first.coordinates()).equals(expected)
    assert_same_nuclei(read_slide_rois(tmp_path / "a.zip"), nuclei.select(held), measured=False)


def test_cells_are_the_outlines(tmp_path: Path) -> None:
    with with_cells(blob_table(tmp_path), expand_um=1, beside=tmp_path) as table:
        write_slide_rois(tmp_path / "a.zip", table, ExportArea.parse("0,0,200,200"))
        (group,) = table.groups()
    read = read_slide_rois(tmp_path / "a.zip").nuclei
    cells = group.shapes.outlines()[read.numbers - 1]
    assert shapely.equals(read.outlines(), cells).all()


def test_places_beyond_16_bits_are_kept(tmp_path: Path) -> None:
    near = blob_nuclei()
    far = NucleiColumns(
        **{
            **{name: getattr(near, name) for name in NucleiColumns.__slots__},
            "outlines_wkb": np.asarray(
                shapely.to_wkb(shapely.transform(near.outlines(), lambda xy: xy + (90_000, 70_000))), np.object_
            ),
            "boxes_xyxy": near.boxes_xyxy + (90_000, 70_000, 90_000, 70_000),
            "centroids_xy": near.centroids_xy + (90_000, 70_000),
        }
    )
    info = table_info(100_000)
    path = tmp_path / "t.parquet"
    from dataclasses import replace

    table = SlideTable.open(write_table(path, far, replace(info, measurement_names=far.measurement_names)))
    write_slide_rois(tmp_path / "a.zip", table)
    assert_same_nuclei(read_slide_rois(tmp_path / "a.zip"), far, measured=False)


def test_too_many_rois_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.export.slide.rois.MOST_ROIS", 62)
    table = blob_table(tmp_path)
    with pytest.raises(ConfigError, match="63 ROIs are more than the 62"):
        write_slide_rois(tmp_path / "a.zip", table)
    assert not (tmp_path / "a.zip").exists()
    write_slide_rois(tmp_path / "a.zip", table, ExportArea.parse("0,0,300,300"))


def test_geojson_regions(tmp_path: Path) -> None:
    triangle = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [0, 10], [0, 0]]]}
    square = {"type": "Polygon", "coordinates": [[[20, 20], [30, 20], [30, 30], [20, 30], [20, 20]]]}
    collection = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": each, "properties": {}} for each in (triangle, square)],
    }
    path = tmp_path / "r.geojson"
    for document, area in ((collection, 150), (collection["features"][0], 50), (square, 100)):
        path.write_text(json.dumps(document))
        assert ExportArea.parse(str(path)).shape.area == area  # type: ignore[attr-defined]
    assert ExportArea.parse(str(path)).corner_xy == (20, 20)
    for text, problem in (
        ("[]", "no region in it"),
        ("{", "no GeoJSON"),
        ('{"type":"Point","coordinates":[1,1]}', "no region in it"),
        ('{"type":"FeatureCollection","features":[]}', "no region in it"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=problem):
            ExportArea.parse(str(path))
    with pytest.raises(DataError, match="or give --region x1,y1,x2,y2"):
        ExportArea.parse(str(tmp_path / "none"))
    for text in ("5,5,5,9", "5,9,8,2", "0,0,inf,2"):
        with pytest.raises(ConfigError, match="x1 below x2"):
            ExportArea.parse(text)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("no zip")
    roifile.roiwrite(tmp_path / "b.zip", [roifile.ImagejRoi.frompoints([[0, 0], [3, 0], [3, 3]], name="x")])
    for name, problem in (("a.zip", "no RoiSet.zip"), ("b.zip", "no RoiSet.zip"), ("c.zip", "no such file")):
        with pytest.raises(DataError, match=problem):
            read_slide_rois(tmp_path / name)
