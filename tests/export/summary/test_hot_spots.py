"""Hot spots hold what is counted by hand, don't overlap, and are the densest of the grid."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from shapely.geometry import Point

from nucleate.core import NucleiColumns
from nucleate.errors import ConfigError
from nucleate.export.summary import HotSpot, HotSpotSettings, find_hot_spots, write_hot_spots
from nucleate.slides import Region, read_regions
from tests.tables import drawn_nuclei, table_info, write_table

SIDE_PX = 4000
# At 0.25 um a pixel the slide is 1 mm2; spots of 0.04 mm2 are squares of 800 px.
SMALL = HotSpotSettings(number=4, area_mm2=0.04)


def placed(centroids_xy: NDArray[np.float64]) -> NucleiColumns:
    drawn = drawn_nuclei(len(centroids_xy))
    values = {name: getattr(drawn, name) for name in NucleiColumns.__slots__}
    return NucleiColumns(**{**values, "centroids_xy": centroids_xy})


def clustered(seed: int = 0) -> NucleiColumns:
    rng = np.random.default_rng(seed)
    clusters = [rng.normal(centre, 250, (700, 2)) for centre in ((800, 3000), (3100, 900), (2000, 2000))]
    everywhere = rng.uniform(0, SIDE_PX, (1500, 2))
    points = np.concatenate([*clusters, everywhere])
    return placed(points[(points > 0).all(axis=1) & (points < SIDE_PX).all(axis=1)])


def table_of(folder: Path, nuclei: NucleiColumns, *, mpp: float | None = 0.25) -> Path:
    return write_table(folder / "nuclei.parquet", nuclei, table_info(SIDE_PX, mpp=mpp))


def check_counts(spots: tuple[HotSpot, ...], nuclei: NucleiColumns, class_index: int | None = None) -> None:
    points = shapely.points(nuclei.centroids_xy)
    for spot in spots:
        inside = shapely.covers(spot.region.geometry, points)
        by_class = np.bincount(nuclei.class_indices[inside], minlength=2).tolist()
        assert [each.count for each in spot.classes] == by_class
        assert spot.nuclei == (sum(by_class) if class_index is None else by_class[class_index])
        assert spot.area_mm2 == pytest.approx(spot.region.area_px / 16e6)
        assert spot.nuclei_per_mm2 == pytest.approx(spot.nuclei / spot.area_mm2)
    for place, one in enumerate(spots):
        assert all(
            shapely.intersection(one.region.geometry, other.region.geometry).area < 1e-6 for other in spots[:place]
        )
    assert [spot.number for spot in spots] == list(range(1, len(spots) + 1))
    counts = [spot.nuclei for spot in spots]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("shape", ["circle", "square"])
def test_spots_are_counted_exactly_and_dont_overlap(tmp_path: Path, shape: str) -> None:
    nuclei = clustered()
    settings = HotSpotSettings(number=6, area_mm2=0.04, shape=shape)  # type: ignore[arg-type]
    spots = find_hot_spots(table_of(tmp_path, nuclei), settings=settings)
    assert len(spots) == 6
    check_counts(spots, nuclei)
    whole = [spot for spot in spots if spot.inside == 1]
    assert whole
    assert all(spot.area_mm2 == pytest.approx(0.04) for spot in whole)


def test_first_spot_is_the_densest_of_the_grid(tmp_path: Path) -> None:
    nuclei = clustered(1)
    settings = HotSpotSettings(number=1, area_mm2=0.04, shape="square", cell_um=50, least_inside=0)
    (spot,) = find_hot_spots(table_of(tmp_path, nuclei), settings=settings)
    # A twentieth of the side, 40 px: squares reach 10 cells to each side of the centre's.
    cells, _, _ = np.histogram2d(
        nuclei.centroids_xy[:, 1], nuclei.centroids_xy[:, 0], bins=(np.arange(101) * 40.0, np.arange(101) * 40.0)
    )
    padded = np.pad(cells, 10)
    sums = np.array(
        [[padded[row : row + 21, column : column + 21].sum() for column in range(100)] for row in range(100)]
    )
    row, column = np.unravel_index(np.argmax(sums), sums.shape)
    assert spot.centre_xy == ((column + 0.5) * 40, (row + 0.5) * 40)


def test_clusters_are_found(tmp_path: Path) -> None:
    spots = find_hot_spots(table_of(tmp_path, clustered()), settings=HotSpotSettings(number=3, area_mm2=0.04))
    centres = {(800, 3000), (3100, 900), (2000, 2000)}
    for spot in spots:
        centres.remove(min(centres, key=lambda centre: math.dist(centre, spot.centre_xy)))
    assert not centres


def test_regions_and_tissue_hold_the_spots(tmp_path: Path) -> None:
    nuclei = clustered()
    regions = [Region(name="left", geometry=shapely.box(0, 0, 1900, SIDE_PX))]
    tissue = Region(name="tissue", geometry=shapely.box(0, 1500, SIDE_PX, SIDE_PX))
    spots = find_hot_spots(table_of(tmp_path, nuclei), regions=regions, tissue=tissue, settings=SMALL)
    assert spots
    check_counts(spots, nuclei)
    for spot in spots:
        assert spot.inside >= 0.5
        assert regions[0].geometry.buffer(1e-6).contains(spot.region.geometry)
        assert shapely.intersection(regions[0].geometry, tissue.geometry).contains(Point(spot.centre_xy))


def test_nuclei_outside_the_regions_dont_count(tmp_path: Path) -> None:
    """The densest circle that touches a region may owe its nuclei to the neighbourhood."""
    inside, outside = np.full((20, 2), (1000.0, 1000.0)), np.full((500, 2), (2050.0, 3000.0))
    region = Region(name="left", geometry=shapely.box(0, 0, 2000, SIDE_PX))
    spots = find_hot_spots(
        table_of(tmp_path, placed(np.concatenate([inside, outside]))), regions=[region], settings=SMALL
    )
    assert [spot.nuclei for spot in spots] == [20]


def test_one_class_is_counted(tmp_path: Path) -> None:
    nuclei = clustered()
    settings = HotSpotSettings(number=3, area_mm2=0.04, class_name="lymphocyte")
    check_counts(find_hot_spots(table_of(tmp_path, nuclei), settings=settings), nuclei, class_index=1)
    with pytest.raises(ConfigError, match="no class 'mitosis': the table has nucleus, lymphocyte"):
        find_hot_spots(tmp_path / "nuclei.parquet", settings=HotSpotSettings(class_name="mitosis"))


@pytest.mark.parametrize(("number", "mpp", "count"), [(0, 0.25, 100), (5, None, 100), (5, 0.25, 0)])
def test_where_there_are_none(tmp_path: Path, number: int, mpp: float | None, count: int) -> None:
    table = table_of(tmp_path, drawn_nuclei(count), mpp=mpp)
    assert find_hot_spots(table, settings=HotSpotSettings(number=number, area_mm2=0.04)) == ()


def test_a_spot_larger_than_the_tissue_is_none(tmp_path: Path) -> None:
    tissue = Region(name="tissue", geometry=shapely.box(0, 0, 2000, 2000))
    table = table_of(tmp_path, drawn_nuclei(500))
    assert find_hot_spots(table, tissue=tissue, settings=HotSpotSettings(area_mm2=100)) == ()
    some = HotSpotSettings(area_mm2=1, least_inside=0.1)
    assert len(find_hot_spots(table, tissue=tissue, settings=some)) >= 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"number": -1}, "-1 hot spots: 0 to 100"),
        ({"number": 101}, "101 hot spots"),
        ({"area_mm2": 0.001}, "of 0.001 mm2: 0.01 to 100"),
        ({"area_mm2": math.nan}, "of nan mm2"),
        ({"cell_um": 0}, "cells of 0 um"),
        ({"least_inside": 1.1}, "1.1 of a hot spot"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        HotSpotSettings(**settings)  # type: ignore[arg-type]


def test_spots_are_qupath_annotations_with_their_counts(tmp_path: Path) -> None:
    nuclei = clustered()
    spots = find_hot_spots(table_of(tmp_path, nuclei), settings=SMALL)
    write_hot_spots(tmp_path / "hot_spots.geojson", spots, slide="drawn.svs")
    read = read_regions(tmp_path / "hot_spots.geojson")
    assert [(each.name, each.classification) for each in read] == [
        (f"hot spot {spot.number}", "Hot spot") for spot in spots
    ]
    points = shapely.points(nuclei.centroids_xy)
    # What QuPath counts in the annotation is what the file says.
    assert [int(shapely.covers(each.geometry, points).sum()) for each in read] == [spot.nuclei for spot in spots]
    feature = json.loads((tmp_path / "hot_spots.geojson").read_text())["features"][0]
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["measurements"]["Nuclei"] == spots[0].nuclei
    assert feature["properties"]["measurements"]["Nuclei: lymphocyte"] == spots[0].classes[1].count
