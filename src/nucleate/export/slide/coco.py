"""A slide's nuclei as a COCO annotation file: one image, one annotation a nucleus, polygons throughout.

COCO's run-length codes count pixels in 32 bits, fewer than a slide has, and decode to the whole slide; its polygons
have no holes. So an outline with holes is cut into polygons without, which together cover the same area.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import Polygon

from nucleate.core import NucleiColumns
from nucleate.errors import DataError
from nucleate.export.nuclei_table import NucleiTableInfo
from nucleate.export.slide.reading import MeasuredRows, columns_of
from nucleate.export.slide.slide_table import ExportedNuclei, SlideGroup, SlideTable
from nucleate.files import write_path
from nucleate.files.json_stream import read_items

_IMAGE_ID = 1


def write_slide_coco(path: Path, table: SlideTable) -> None:
    """Write annotations with `score`, `label_id` (the nucleus' number) and `measurements` beside COCO's own keys.

    With cells, `segmentation`, `bbox` and `area` are the cell's, and `nucleus_segmentation` and `nucleus_area` the
    nucleus'.

    Raises:
        ResultsError: the file can't be written.
    """
    info = table.info
    image = {
        "id": _IMAGE_ID,
        "file_name": info.slide,
        "width": info.frame.width_px,
        "height": info.frame.height_px,
        "mpp": info.frame.mpp,
    }
    categories = [{"id": index, "name": name, "supercategory": ""} for index, name in enumerate(info.class_names, 1)]
    start = {
        "info": {"model": info.model, "measurements": list(info.measurement_names)},
        "images": [image],
        "categories": categories,
    }
    with write_path(path) as part, part.open("w", encoding="utf-8", newline="\n") as out:
        out.write(_json(start)[:-1] + ',"annotations":[')
        separator = "\n"
        for group in table.groups():
            for annotation in _annotations(group, info):
                out.write(separator + _json(annotation))
                separator = ",\n"
        out.write("\n]}\n")


def read_slide_coco(path: Path) -> ExportedNuclei:
    """Return the nuclei of a file that `write_slide_coco` wrote.

    Raises:
        DataError: no such file, or none of that kind.
    """
    annotations = read_items(path, "annotations")
    start = next(annotations)
    try:
        names = {category["id"]: category["name"] for category in start["categories"]}
        rows = MeasuredRows.named(start["info"]["measurements"])
        classes, nuclei, cells = [], [], []
        for annotation in annotations:
            with_cell = "nucleus_segmentation" in annotation
            rows.add(
                number=annotation["id"],
                score=annotation["score"],
                area_px=annotation["nucleus_area" if with_cell else "area"],
                **annotation["measurements"],
            )
            classes.append(names[annotation["category_id"]])
            nuclei.append(_outline(annotation["nucleus_segmentation" if with_cell else "segmentation"]))
            if with_cell:
                cells.append(_outline(annotation["segmentation"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"no annotations of `nucleate export`: {error!r}", path=path) from error
    return columns_of(rows, classes=classes, class_names=list(names.values()), outlines=nuclei, cells=cells or None)


def _annotations(group: SlideGroup, info: NucleiTableInfo) -> Iterator[dict[str, Any]]:
    nuclei, shapes = group.nuclei, group.shapes
    measured = nuclei.measurements.astype(np.float32)
    polygons = _segmentations(shapes)
    cores = [] if group.cells is None else _segmentations(nuclei)
    for index, number in enumerate(nuclei.numbers.tolist()):
        x1, y1, x2, y2 = shapes.boxes_xyxy[index].tolist()
        annotation = {
            "id": number,
            "image_id": _IMAGE_ID,
            "category_id": int(nuclei.class_indices[index]) + 1,
            "segmentation": polygons[index],
            "bbox": [_plain(side) for side in (x1, y1, x2 - x1, y2 - y1)],
            "area": int(shapes.areas_px[index]),
            "iscrowd": 0,
            "label_id": number,
            "score": float(str(nuclei.scores[index])),
        }
        if group.cells is not None:
            annotation |= {"nucleus_segmentation": cores[index], "nucleus_area": int(nuclei.areas_px[index])}
        annotation["measurements"] = {
            # The shortest text that gives the table's float32 back.
            name: float(str(value))
            for name, value in zip(info.measurement_names, measured[index], strict=True)
            if np.isfinite(value)
        }
        yield annotation


def _segmentations(shapes: NucleiColumns) -> list[list[list[float]]]:
    return [
        [
            [_plain(value) for value in shapely.get_coordinates(piece)[:-1].reshape(-1).tolist()]
            for piece in _without_holes(outline)
        ]
        for outline in shapes.outlines()
    ]


def _without_holes(outline: shapely.Geometry) -> Iterator[Polygon]:
    """Yield polygons without holes that cover the outline, cut where its holes are."""
    for part in shapely.get_parts(outline):
        if not isinstance(part, Polygon):
            continue
        if not part.interiors:
            yield part
            continue
        left, top, right, bottom = part.bounds
        hole_left, _, hole_right, _ = part.interiors[0].bounds
        middle = (hole_left + hole_right) / 2
        # Along pixel edges where the hole has any inside it.
        cut = float(round(middle)) if hole_left < round(middle) < hole_right else middle
        for x1, x2 in ((left, cut), (cut, right)):
            yield from _without_holes(shapely.intersection(part, shapely.box(x1, top, x2, bottom)))


def _outline(segmentation: list[list[float]]) -> shapely.Geometry:
    pieces = [Polygon(np.asarray(ring, float).reshape(-1, 2)) for ring in segmentation]
    return pieces[0] if len(pieces) == 1 else shapely.union_all(pieces)


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
