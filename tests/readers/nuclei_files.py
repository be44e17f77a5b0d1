"""The same nuclei in every format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nucleate.core import Instances, masks_from_label_map
from nucleate.data import dataset_of_instances
from nucleate.export import ImagePredictions, mask_geometry, write_coco_results, write_geojson

Maps = Mapping[str, NDArray[np.int64]]


def instances_of(label_map: NDArray[np.int64], score: float = 1.0) -> Instances:
    masks, ids = masks_from_label_map(label_map)
    return Instances.from_masks(masks, scores=np.full(len(ids), score, np.float32))


def write_png(folder: Path, maps: Maps) -> Path:
    folder.mkdir(parents=True)
    for name, label_map in maps.items():
        Image.fromarray(label_map.astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def write_tiff(folder: Path, maps: Maps) -> Path:
    folder.mkdir(parents=True)
    for name, label_map in maps.items():
        tifffile.imwrite(folder / f"{name}.tif", label_map.astype(np.uint32))
    return folder


def write_npy(folder: Path, maps: Maps) -> Path:
    folder.mkdir(parents=True)
    for name, label_map in maps.items():
        np.save(folder / f"{name}.npy", label_map.astype(np.int32))
    return folder


def write_geojson_folder(folder: Path, maps: Maps) -> Path:
    folder.mkdir(parents=True)
    for name, label_map in maps.items():
        write_geojson(folder / f"{name}.geojson", name, instances_of(label_map), ["nucleus"])
    return folder


def write_parquet(
    path: Path,
    geometries: Sequence[shapely.Geometry],
    *,
    scores: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    rows_a_group: int = 100,
) -> Path:
    columns: dict[str, object] = {"geometry": pa.array([shapely.to_wkb(each) for each in geometries], pa.binary())}
    if scores is not None:
        columns["score"] = pa.array(scores, pa.float64())
    if classes is not None:
        columns["class"] = pa.array(classes, pa.string())
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows_a_group)
    return path


def geometries_of(label_map: NDArray[np.int64]) -> list[shapely.Geometry]:
    masks, ids = masks_from_label_map(label_map)
    return [mask_geometry(masks, index) for index in range(len(ids))]


def write_parquet_folder(folder: Path, maps: Maps) -> Path:
    for name, label_map in maps.items():
        write_parquet(folder / f"{name}.parquet", geometries_of(label_map))
    return folder


def write_coco(folder: Path, maps: Maps) -> Path:
    folder.mkdir(parents=True)
    images = [(f"{name}.png", instances_of(label_map)) for name, label_map in maps.items()]
    dataset = dataset_of_instances(folder, images, class_names=["nucleus"], images_dir=folder)
    assert dataset.content is not None
    (folder / "coco.json").write_bytes(dataset.content)
    return folder / "coco.json"


def _predictions(maps: Maps) -> list[ImagePredictions]:
    return [
        ImagePredictions(image_id=place, file_name=f"{name}.png", instances=instances_of(label_map, 0.9))
        for place, (name, label_map) in enumerate(maps.items(), start=1)
    ]


def write_results(folder: Path, maps: Maps) -> Path:
    write_coco_results(folder / "results.json", _predictions(maps), category_ids=[1])
    return folder / "results.json"


def write_results_folder(folder: Path, maps: Maps) -> Path:
    write_coco_results(folder / "coco_instances_results.json", _predictions(maps), category_ids=[1])
    (folder / "nuclei.csv").write_text("file\n")
    return folder


def write_features(path: Path, features: object) -> Path:
    path.write_text(json.dumps(features))
    return path


WRITERS: dict[str, Callable[[Path, Maps], Path]] = {
    "png": write_png,
    "tiff": write_tiff,
    "npy": write_npy,
    "geojson": write_geojson_folder,
    "parquet": write_parquet_folder,
    "coco": write_coco,
    "results": write_results,
    "results folder": write_results_folder,
}
