from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from shapely.geometry import shape

from nucleate.core import Frame, Instances, Masks, masks_from_label_map
from nucleate.export import mask_geometry, write_geojson
from tests.synthetic import draw_he


def one(bitmap: NDArray[np.bool_]) -> Masks:
    return Masks.from_full(Frame(height_px=bitmap.shape[0], width_px=bitmap.shape[1]), [bitmap])


def features(tmp_path: Path, instances: Instances) -> list[dict[str, Any]]:
    write_geojson(tmp_path / "a.geojson", "a.png", instances, ["nucleus", "mitosis"])
    collection = json.loads((tmp_path / "a.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    return list(collection["features"])


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=150, deadline=None)
def test_any_mask_is_a_valid_geometry_of_its_own_area(bitmap: NDArray[np.bool_]) -> None:
    geometry = mask_geometry(one(bitmap), 0)
    assert geometry.is_valid
    assert geometry.area == bitmap.sum()


def test_coordinates_are_image_pixels() -> None:
    bitmap = np.zeros((10, 12), np.bool_)
    bitmap[2:5, 3:9] = True
    assert mask_geometry(one(bitmap), 0).bounds == (3, 2, 9, 5)


def test_hole_is_kept() -> None:
    bitmap = np.ones((5, 5), np.bool_)
    bitmap[2, 2] = False
    geometry = mask_geometry(one(bitmap), 0)
    assert geometry.geom_type == "Polygon"
    assert len(geometry.interiors) == 1


def test_ring_that_meets_itself_at_a_corner_is_made_valid() -> None:
    bitmap = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1]], np.bool_)
    geometry = mask_geometry(one(bitmap), 0)
    assert geometry.is_valid
    assert geometry.area == 7


def test_nucleus_in_two_parts_is_a_multipolygon(tmp_path: Path) -> None:
    bitmap = np.zeros((3, 7), np.bool_)
    bitmap[:, :2] = bitmap[:, 5:] = True
    (feature,) = features(tmp_path, Instances.from_masks(one(bitmap)))
    assert feature["geometry"]["type"] == "MultiPolygon"
    assert shape(feature["geometry"]).area == 12


def test_feature_has_what_qupath_reads(tmp_path: Path) -> None:
    found = Instances.from_masks(
        one(np.ones((4, 4), np.bool_)), class_indices=np.array([1]), scores=np.array([0.75], np.float32)
    )
    (feature,) = features(tmp_path, found)
    properties = feature["properties"]
    assert properties["objectType"] == "detection"
    assert properties["isLocked"] is False
    assert properties["classification"]["name"] == "mitosis"
    assert len(properties["classification"]["color"]) == 3
    assert properties["measurements"] == {"number": 1, "score": 0.75, "area_px": 16}
    assert uuid.UUID(feature["id"])
    ring = feature["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]


def test_drawn_nuclei_keep_their_areas(tmp_path: Path) -> None:
    masks, _ = masks_from_label_map(draw_he().label_map)
    written = features(tmp_path, Instances.from_masks(masks))
    assert [shape(feature["geometry"]).area for feature in written] == masks.areas_px().tolist()


def test_nucleus_without_pixels_has_no_feature(tmp_path: Path) -> None:
    assert features(tmp_path, Instances.from_masks(one(np.zeros((3, 3), np.bool_)))) == []


def test_no_nucleus_is_an_empty_collection(tmp_path: Path) -> None:
    assert features(tmp_path, Instances.empty(Frame(height_px=3, width_px=3))) == []


@pytest.mark.shared_data
def test_annotated_nuclei_of_a_real_image_keep_their_areas(shared_data: Path, tmp_path: Path) -> None:
    from nucleate.files import read_label_map

    path = shared_data / "nuinsseg" / "mouse spleen" / "label masks modify" / "mouse_spleen_02.tif"
    masks, _ = masks_from_label_map(read_label_map(path))
    written = features(tmp_path, Instances.from_masks(masks))
    assert [shape(feature["geometry"]).area for feature in written] == masks.areas_px().tolist()
