"""Nuclei of a region as ImageJ's RoiSet.zip.

With a region, coordinates count from its upper left pixel, as in an image of that region; each ROI's properties say
where that pixel lies on the slide.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from roifile import ROI_TYPE, ImagejRoi
from shapely.geometry import Polygon

from nucleate.errors import ConfigError, DataError
from nucleate.export.nuclei_table import NucleiTableInfo
from nucleate.export.slide.area import ExportArea
from nucleate.export.slide.reading import MeasuredRows, columns_of
from nucleate.export.slide.slide_table import ExportedNuclei, SlideGroup, SlideTable
from nucleate.files import write_path

MOST_ROIS = 50_000
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
_GROUPS = 255


def write_slide_rois(path: Path, table: SlideTable, region: ExportArea | None = None) -> int:
    """Write one ROI a nucleus (or cell) whose centroid lies in the region, and return how many there are.

    A ROI's name is the number, its group the class from 1, its properties hold number, class, score and area.

    Raises:
        ConfigError: more than `MOST_ROIS`, which ImageJ's ROI manager does not bear.
        ResultsError: the file can't be written.
    """
    count = len(table) if region is None else sum(len(group.nuclei) for group in _chosen(table, region))
    if count > MOST_ROIS:
        raise ConfigError(f"{count:,} ROIs are more than the {MOST_ROIS:,} that ImageJ bears: give a smaller --region")
    corner = (0, 0) if region is None else region.corner_xy
    with write_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as out:
        for group in _chosen(table, region):
            for name, roi in _rois(group, table.info, corner):
                # A time of its own would make equal files differ.
                out.writestr(zipfile.ZipInfo(f"{name}.roi"), roi.tobytes(), zipfile.ZIP_DEFLATED)
    return count


def read_slide_rois(path: Path) -> ExportedNuclei:
    """Return the nuclei of a file that `write_slide_rois` wrote, in level-0 pixels.

    The outlines are cells where cells were exported. Measurements are not kept.

    Raises:
        DataError: no such file, or none of that kind.
    """
    if not path.is_file():
        raise DataError("no such file", path=path)
    rows, classes, outlines = MeasuredRows(), [], []
    try:
        with zipfile.ZipFile(path) as zipped:
            rois = [ImagejRoi.frombytes(zipped.read(name)) for name in zipped.namelist()]
        for roi in rois:
            said = roi.properties
            rows.add(number=int(said["number"]), score=float(said["score"]), area_px=int(said["area_px"]))
            classes.append(str(said["class"]))
            outlines.append(_outline(roi, (int(said["left"]), int(said["top"]))))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"no RoiSet.zip of `nucleate export`: {error}", path=path) from error
    return columns_of(rows, classes=classes, class_names=(), outlines=outlines, cells=None)


def _chosen(table: SlideTable, region: ExportArea | None) -> Iterator[SlideGroup]:
    for group in table.groups():
        if region is None:
            yield group
            continue
        held = region.holds(group.nuclei)
        yield SlideGroup(
            nuclei=group.nuclei.select(held), cells=None if group.cells is None else group.cells.select(held)
        )


def _rois(group: SlideGroup, info: NucleiTableInfo, corner: tuple[int, int]) -> Iterator[tuple[str, ImagejRoi]]:
    nuclei = group.nuclei
    for index, outline in enumerate(group.shapes.outlines()):
        roi = _roi(shapely.transform(outline, lambda xy: xy - corner))
        class_index = int(nuclei.class_indices[index])
        roi.name = f"{nuclei.numbers[index]:07d}"
        roi.group = min(class_index + 1, _GROUPS)
        roi.properties = {
            "number": int(nuclei.numbers[index]),
            "class": info.class_names[class_index],
            "score": str(nuclei.scores[index]),
            "area_px": int(nuclei.areas_px[index]),
            "left": corner[0],
            "top": corner[1],
        }
        yield roi.name, roi


def _roi(outline: shapely.Geometry) -> ImagejRoi:
    """Return a polygon for one ring, else a composite, which ImageJ fills by the even-odd rule."""
    rings = [np.asarray(shapely.get_coordinates(ring))[:-1] for ring in shapely.get_rings(shapely.get_parts(outline))]
    if len(rings) == 1:
        whole = bool((rings[0] == np.rint(rings[0])).all())
        roi: ImagejRoi = ImagejRoi.frompoints(rings[0].astype(np.int32) if whole else rings[0])
        roi.roitype = ROI_TYPE.POLYGON
        return roi
    path: list[float] = []
    for ring in rings:
        for start, (x, y) in enumerate(ring.tolist()):
            path += [_MOVE if start == 0 else _LINE, x, y]
        path.append(_CLOSE)
    x1, y1, x2, y2 = shapely.bounds(outline).tolist()
    composite: ImagejRoi = ImagejRoi(
        roitype=ROI_TYPE.RECT,
        left=int(np.floor(x1)),
        top=int(np.floor(y1)),
        right=int(np.ceil(x2)),
        bottom=int(np.ceil(y2)),
        multi_coordinates=np.array(path, np.float32),
        shape_roi_size=len(path),
    )
    return composite


def _outline(roi: ImagejRoi, corner: tuple[int, int]) -> shapely.Geometry:
    rings: list[NDArray[Any]] = list(roi.coordinates(multi=True))
    # Even-odd, as ImageJ fills them: rings inside others are holes.
    outline: shapely.Geometry = Polygon()
    for ring in rings:
        outline = shapely.symmetric_difference(outline, Polygon(ring)) if len(rings) > 1 else Polygon(ring)
    return shapely.transform(outline, lambda xy: xy + corner)
