"""ImageJ's and Fiji's regions: RoiSet.zip and .roi files, as sub-pixel outlines; overlaps are kept."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import roifile
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.data.sources.pairs import PairedFormat
from nucleate.data.sources.roi_paths import path_rings
from nucleate.data.sources.shapes import DrawnNucleus, Part, Ring, box_ring, draw_nuclei, ellipse_ring
from nucleate.data.sources.source import (
    IMAGE_SUFFIXES,
    NUCLEUS,
    Dropped,
    SourceImage,
    SourceNuclei,
    annotation_path,
)
from nucleate.errors import DataError
from nucleate.files import ReadLimits, check_file

# ImageJ counts the versions of its second format from 217; later ones only add behind what is read here.
VERSIONS = range(200, 300)
# On disk; every entry of a zip's directory takes half a kilobyte of memory.
MOST_FILE_BYTES = 2**26
MOST_ROI_BYTES = 2**24
MOST_ZIP_BYTES = 2**29
_BROKEN = (ValueError, TypeError, IndexError, struct.error, RuntimeError, OverflowError, MemoryError)
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
_OUTLINED = (roifile.ROI_TYPE.POLYGON, roifile.ROI_TYPE.FREEHAND, roifile.ROI_TYPE.TRACED)


def roi_annotations(path: Path) -> dict[Path, str]:
    """Return the zips with regions, single .roi files and folders of them below a path, with their images' stems."""
    if path.is_file():
        return {path: _stem(path)} if path.suffix.lower() == ".roi" or _has_rois(path) else {}
    found = {file: _stem(file) for file in sorted(path.rglob("*.zip")) if _has_rois(file)}
    single = sorted(file for file in path.rglob("*.roi") if not file.name.startswith("."))
    images = {file.stem for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES}
    for file in single:
        # A folder of an image's name holds its nuclei one by one; other files are named for their image.
        if file.stem not in images and file.parent != path and file.parent.name in images:
            found[file.parent] = file.parent.name
        else:
            found[file] = _stem(file)
    return found


def read_roi_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return the areas of an image's regions; lines, points and texts are left out. ROI groups are the classes.

    Raises:
        DataError: a damaged zip or region.
    """
    path = annotation_path(image)
    if path.is_file():
        check_file(path, ReadLimits(max_file_bytes=MOST_FILE_BYTES))
    try:
        return draw_nuclei((_nucleus(name, data) for name, data in _roi_bytes(path)), frame, image.key)
    except DataError as error:
        raise DataError(error.message, path=path, item=error.item) from error


def _roi_bytes(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of regions; nothing of a zip is ever written to disk, so its paths lead nowhere."""
    if path.is_dir():
        for file in sorted(path.glob("*.roi")):
            yield file.name, _limited(file.name, file.stat().st_size) or file.read_bytes()
    elif path.suffix.lower() == ".roi":
        yield path.name, _limited(path.name, path.stat().st_size) or path.read_bytes()
    else:
        yield from _zipped(path)


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.filename.lower().endswith(".roi") or entry.filename.startswith("__MACOSX"):
                    continue
                _limited(entry.filename, entry.file_size)
                with archive.open(entry) as file:
                    data = file.read(MOST_ROI_BYTES + 1)
                total += len(data)
                _limited(entry.filename, len(data))
                if total > MOST_ZIP_BYTES:
                    raise DataError(f"unpacks to more than {MOST_ZIP_BYTES} bytes: these are no regions")
                yield entry.filename, data
    except _BROKEN_ZIP as error:
        raise DataError(f"damaged zip: {error}") from error


def _limited(name: str, size_bytes: int) -> bytes:
    if size_bytes > MOST_ROI_BYTES:
        raise DataError(f"{size_bytes} bytes, above the limit of {MOST_ROI_BYTES} of a region", item=name)
    return b""


def _nucleus(name: str, data: bytes) -> DrawnNucleus | Dropped:
    try:
        roi = roifile.ImagejRoi.frombytes(data)
        if roi.version not in VERSIONS:
            raise DataError(f"ImageJ ROI of version {roi.version}: 2nn is read, save it anew in ImageJ", item=name)
        parts = _parts(roi)
    except _BROKEN as error:
        raise DataError(f"damaged ImageJ ROI: {error}", item=name) from error
    if parts is None:
        return Dropped(reason="ROI without an area (line, point, angle or text)", item=name)
    class_name = f"group {roi.group}" if roi.group else NUCLEUS
    return DrawnNucleus(item=name, parts=parts, class_name=class_name, even_odd=roi.composite)


def _parts(roi: roifile.ImagejRoi) -> tuple[Part, ...] | None:
    """Return a region's outlines; None where it has no area."""
    if roi.subtype in (roifile.ROI_SUBTYPE.TEXT, roifile.ROI_SUBTYPE.IMAGE, roifile.ROI_SUBTYPE.ARROW):
        return None
    if roi.composite and roi.multi_coordinates is not None:
        return tuple(Part(exterior_xy=ring) for ring in path_rings(np.asarray(roi.multi_coordinates, np.float64)))
    box: tuple[float, float, float, float] = (roi.left, roi.top, roi.right, roi.bottom)
    if roi.subpixelrect:
        box = (roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd)
    if roi.roitype == roifile.ROI_TYPE.OVAL:
        return (Part(exterior_xy=ellipse_ring(*box)),)
    if roi.roitype == roifile.ROI_TYPE.RECT:
        return (Part(exterior_xy=_rounded(box, float(roi.rounded_rect_arc_size))),)
    if roi.roitype in _OUTLINED:
        return (Part(exterior_xy=_corners(roi)),)
    return None


def _corners(roi: roifile.ImagejRoi) -> Ring:
    corners: NDArray[np.generic] = np.asarray(roi.coordinates())
    return corners.astype(np.float64).reshape(-1, 2)


def _rounded(box: tuple[float, float, float, float], arc_px: float) -> Ring:
    """Return a rectangle whose corners are quarters of circles of a diameter."""
    x1, y1, x2, y2 = box
    arc_px = min(arc_px, x2 - x1, y2 - y1)
    if arc_px <= 0:
        return box_ring(x1, y1, x2, y2)
    circle = ellipse_ring(-arc_px / 2, -arc_px / 2, arc_px / 2, arc_px / 2)
    inner = np.array([x1 + arc_px / 2, y1 + arc_px / 2]), np.array([x2 - arc_px / 2, y2 - arc_px / 2])
    return np.asarray(circle + np.where(circle < 0, inner[0], inner[1]))


def _has_rois(path: Path) -> bool:
    if path.suffix.lower() != ".zip" or path.name.startswith(".") or not path.is_file():
        return False
    if path.stat().st_size > MOST_FILE_BYTES:
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except _BROKEN_ZIP:
        # Read again when its turn comes, where it is told and counted.
        return True


def _stem(path: Path) -> str:
    """Return the stem of the image that a file belongs to: NAME.zip, NAME_RoiSet.zip and RoiSet_NAME.zip alike."""
    stem = path.stem
    for word in ("RoiSet", "ROIs", "rois"):
        for joint in ("_", "-", " "):
            stem = stem.removesuffix(joint + word).removeprefix(word + joint)
    return stem


IMAGEJ = PairedFormat(
    name="imagej",
    looked_for="images with NAME.zip or NAME.roi of ImageJ (imagej)",
    annotation="ROI file",
    find=roi_annotations,
    reader=read_roi_nuclei,
)
