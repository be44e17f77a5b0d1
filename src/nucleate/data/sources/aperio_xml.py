"""Aperio ImageScope's annotations (MoNuSeg, MoNuSAC): one XML file an image, regions by layer, holes as negative ones.

Coordinates are taken as ImageScope and QuPath take them: pixel (0, 0) covers [0, 1). MoNuSeg's own MATLAB script
passes them to `poly2mask`, whose pixels lie half a pixel further up and left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
import shapely
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from nucleate.core import Frame
from nucleate.data.sources.pairs import PairedFormat
from nucleate.data.sources.shapes import DrawnNucleus, Part, Ring, box_ring, draw_nuclei, ellipse_ring
from nucleate.data.sources.source import NUCLEUS, Dropped, SourceImage, SourceNuclei, annotation_path
from nucleate.errors import DataError
from nucleate.files import ReadLimits, check_file

MOST_FILE_BYTES = 2**28
# ImageScope nests six elements.
MOST_DEPTH = 32
CHUNK_BYTES = 2**16
# Between two tags; expat starts anew at every chunk of a longer one.
MOST_TAG_BYTES = 2**20
# ImageScope's Type of a region; the others are arrows and rulers.
FREEHAND, RECTANGLE, ELLIPSE = "0", "1", "2"


def xml_annotations(path: Path) -> dict[Path, str]:
    """Return the files of ImageScope below a path, or the path itself, with their images' stems."""
    files = [path] if path.is_file() else sorted(path.rglob("*.xml"))
    return {file: file.stem for file in files if _is_annotations(file)}


def read_xml_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return the regions of an image, holes cut out of the regions that they lie in. Layers are the classes.

    Raises:
        DataError: damaged XML, entities, or elements nested too deeply.
    """
    path = annotation_path(image)
    check_file(path, ReadLimits(max_file_bytes=MOST_FILE_BYTES))
    try:
        regions = _parse(path).regions
        return draw_nuclei(_nuclei(regions), frame, image.key)
    except DataError as error:
        raise DataError(error.message, path=path, item=error.item) from error


def xml_mpp(path: Path) -> float | None:
    """Return the um a pixel that a file tells, None for none or a damaged file."""
    try:
        mpp = _parse(path, first_chunk_alone=True).mpp
    except DataError:
        # Told and counted when the nuclei are read.
        return None
    return mpp if 0 < mpp < math.inf else None


@dataclass(slots=True, kw_only=True, eq=False)
class _Region:
    name: str
    layer: str
    number: str
    parent: str
    kind: str
    is_hole: bool
    class_name: str
    ring_xy: Ring


@dataclass(slots=True, eq=False)
class _Target:
    """What the parser tells; no tree is built, so that memory holds the corners alone."""

    mpp: float = math.nan
    regions: list[_Region] = field(default_factory=list)
    tags: int = 0
    _depth: int = 0
    _layer: str = ""
    _class_name: str = ""
    _region: Mapping[str, str] | None = None
    _corners: list[tuple[float, float]] = field(default_factory=list)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.tags += 1
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise DataError(f"elements are nested more than {MOST_DEPTH} deep: these are no annotations of ImageScope")
        match tag:
            case "Annotations":
                self.mpp = _number(attributes.get("MicronsPerPixel", "nan"))
            case "Annotation":
                self._layer, self._class_name = attributes.get("Id", ""), attributes.get("Name", "").strip()
            case "Attribute" if self._region is None and not self._class_name:
                # ImageScope names a layer in its description, MoNuSAC in the attribute itself.
                name, value = attributes.get("Name", ""), attributes.get("Value", "").strip()
                self._class_name = value or ("" if name == "Description" else name)
            case "Region":
                self._region, self._corners = attributes, []
            case "Vertex" if self._region is not None:
                self._corners.append((_number(attributes.get("X", "")), _number(attributes.get("Y", ""))))

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "Region" and self._region is not None:
            number = self._region.get("Id", "")
            self.regions.append(
                _Region(
                    name=f"layer {self._layer}, region {number}",
                    layer=self._layer,
                    number=number,
                    parent=self._region.get("InputRegionId", "0"),
                    kind=self._region.get("Type", FREEHAND),
                    is_hole=self._region.get("NegativeROA", "0") == "1",
                    class_name=self._class_name or NUCLEUS,
                    ring_xy=np.array(self._corners, np.float64).reshape(-1, 2),
                )
            )
            self._region = None

    def close(self) -> None:
        """Expat's parser asks for it."""


def _parse(path: Path, *, first_chunk_alone: bool = False) -> _Target:
    target = _Target()
    parser: Any = DefusedXMLParser(target=target, forbid_dtd=True)
    try:
        with path.open("rb") as file:
            if first_chunk_alone:
                parser.feed(file.read(CHUNK_BYTES))
                return target
            tags, without_bytes = 0, 0
            while chunk := file.read(CHUNK_BYTES):
                parser.feed(chunk)
                without_bytes = without_bytes + len(chunk) if target.tags == tags else 0
                tags = target.tags
                if without_bytes > MOST_TAG_BYTES:
                    raise DataError(f"no element in {MOST_TAG_BYTES} bytes: these are no annotations of ImageScope")
        parser.close()
    except DefusedXmlException as error:
        raise DataError("XML with a document type or entities, which is not read: ImageScope writes none") from error
    except (ParseError, ValueError, LookupError, OSError) as error:
        raise DataError(f"damaged XML: {error}") from error
    return target


def _nuclei(regions: list[_Region]) -> Iterator[DrawnNucleus | Dropped]:
    holes = {id(region): owner for region in regions if region.is_hole and (owner := _owner(region, regions))}
    for region in regions:
        if region.is_hole:
            if id(region) not in holes:
                yield Dropped(reason="hole outside of every region", item=region.name)
            continue
        outline = _outline(region)
        if outline is None:
            yield Dropped(reason="region without an area (arrow or ruler)", item=region.name)
            continue
        own = tuple(hole.ring_xy for hole in regions if holes.get(id(hole)) is region)
        yield DrawnNucleus(
            item=region.name,
            parts=(Part(exterior_xy=outline, holes_xy=own),),
            class_name=region.class_name,
        )


def _owner(hole: _Region, regions: list[_Region]) -> _Region | None:
    """Return the region that a hole names, else the smallest that holds its first corner."""
    solid = [region for region in regions if not region.is_hole and region.layer == hole.layer]
    named = [region for region in solid if region.number == hole.parent]
    if named or len(hole.ring_xy) == 0:
        return named[0] if named else None
    corner = shapely.Point(hole.ring_xy[0])
    polygons = [(shapely.Polygon(region.ring_xy), region) for region in solid if len(region.ring_xy) >= 3]
    around = [
        (polygon.area, region) for polygon, region in polygons if shapely.intersects_xy(polygon, corner.x, corner.y)
    ]
    return min(around, key=lambda each: each[0])[1] if around else None


def _outline(region: _Region) -> Ring | None:
    """Return a region's corners; None where it has no area. Ellipses and some rectangles are stored by two corners."""
    if region.kind not in (FREEHAND, RECTANGLE, ELLIPSE):
        return None
    ring = region.ring_xy
    if len(ring) == 0 or region.kind == FREEHAND or (region.kind == RECTANGLE and len(ring) > 2):
        return ring
    box = (*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist())
    return box_ring(*box) if region.kind == RECTANGLE else ellipse_ring(*box)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_annotations(file: Path) -> bool:
    if file.suffix.lower() != ".xml" or file.name.startswith("."):
        return False
    with file.open("rb") as opened:
        return b"<Annotations" in opened.read(4096)


APERIO_XML = PairedFormat(
    name="aperio-xml",
    looked_for="images with NAME.xml of Aperio ImageScope (aperio-xml)",
    annotation="XML file",
    find=xml_annotations,
    reader=read_xml_nuclei,
    mpp=xml_mpp,
)
