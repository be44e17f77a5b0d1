"""Which format a source has, found by what lies in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nucleate.data.sources.aperio_xml import APERIO_XML
from nucleate.data.sources.binary_masks import BINARY_MASKS, mask_files
from nucleate.data.sources.cellpose import CELLPOSE
from nucleate.data.sources.coco import coco_files, read_coco
from nucleate.data.sources.geojson import GEOJSON
from nucleate.data.sources.hovernet import HOVERNET
from nucleate.data.sources.imagej import IMAGEJ
from nucleate.data.sources.label_images import has_label_images, read_label_images
from nucleate.data.sources.nucleus_masks import NUCLEUS_MASKS
from nucleate.data.sources.nuinsseg import organ_folders, read_nuinsseg
from nucleate.data.sources.pairs import PairedFormat, read_paired
from nucleate.data.sources.pannuke import pannuke_arrays, read_pannuke
from nucleate.data.sources.source import Source, SourceFormat
from nucleate.data.sources.yolo import YOLO
from nucleate.errors import DataError

_FORMATS = (IMAGEJ, APERIO_XML, GEOJSON, NUCLEUS_MASKS, BINARY_MASKS, YOLO, CELLPOSE, HOVERNET)
PAIRED: dict[SourceFormat, PairedFormat] = {each.name: each for each in _FORMATS}
LOOKED_FOR: dict[SourceFormat, str] = {
    "nuinsseg": "<organ>/tissue images (nuinsseg)",
    "label-images": "images + labels, --labels DIR, or pairs of one stem (label-images)",
    "coco": "a COCO JSON file (coco)",
    "pannuke": "images.npy + masks.npy (pannuke)",
    **{name: paired.looked_for for name, paired in PAIRED.items()},
}


def open_source(
    path: Path, *, source_format: SourceFormat | None = None, labels: Path | None = None, images: Path | None = None
) -> Source:
    """Return a source in the given format, or in the one that its files show.

    Args:
        path: a folder or one annotation file.
        source_format: None finds it.
        labels: a folder of label images or other annotations elsewhere.
        images: a folder of images elsewhere.

    Raises:
        DataError: nothing there, no format or several fit, or the source is unsound.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such file or folder", path=path)
    chosen = source_format or _detect(path, labels)
    match chosen:
        case "nuinsseg":
            return read_nuinsseg(path)
        case "label-images":
            return read_label_images(path, labels=labels)
        case "coco":
            return read_coco(path, images_dir=images)
        case "pannuke":
            return read_pannuke(path)
        case "imagej" if path.is_dir() and labels is None and organ_folders(path):
            return read_nuinsseg(path, rois=True)
        case "binary-masks" if labels is not None:
            return read_paired(replace(BINARY_MASKS, find=mask_files), path, labels=labels, images_dir=images)
        case _:
            return read_paired(PAIRED[chosen], path, labels=labels, images_dir=images)


def _detect(path: Path, labels: Path | None) -> SourceFormat:
    if labels is None and path.is_dir() and organ_folders(path):
        return "nuinsseg"
    found: list[SourceFormat] = [paired.name for paired in PAIRED.values() if paired.find(labels or path)]
    if labels is not None:
        # Label images are the rest: they have no mark of their own.
        found = found or ["label-images"]
    else:
        if path.is_dir() and has_label_images(path):
            found.append("label-images")
        if path.is_dir() and pannuke_arrays(path):
            found.append("pannuke")
        if coco_files(path):
            found.append("coco")
    if not found:
        raise DataError(f"no annotated images: looked for {'; '.join(LOOKED_FOR.values())}", path=path)
    if len(found) > 1:
        here = "; ".join(LOOKED_FOR[each] for each in found)
        raise DataError(f"several formats are here: {here}; say which with --format", path=path)
    return found[0]
