"""Which format a source has, found by what lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from nucleate.data.sources.coco import coco_files, read_coco
from nucleate.data.sources.label_images import has_label_images, read_label_images
from nucleate.data.sources.nuinsseg import organ_folders, read_nuinsseg
from nucleate.data.sources.source import Source, SourceFormat
from nucleate.errors import DataError

LOOKED_FOR = {
    "nuinsseg": "<organ>/tissue images (nuinsseg)",
    "label-images": "images + labels, --labels DIR, or pairs of one stem (label-images)",
    "coco": "a COCO JSON file (coco)",
}


def open_source(
    path: Path, *, source_format: SourceFormat | None = None, labels: Path | None = None, images: Path | None = None
) -> Source:
    """Return a source in the given format, or in the one that its files show.

    Args:
        path: a folder or a JSON file.
        source_format: None finds it.
        labels: a folder of label images elsewhere; it means label-images.
        images: a folder of images elsewhere; it means coco.

    Raises:
        DataError: nothing there, no format or several fit, or the source is unsound.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such file or folder", path=path)
    match source_format or _detect(path, labels, images):
        case "nuinsseg":
            return read_nuinsseg(path)
        case "label-images":
            return read_label_images(path, labels=labels)
        case "coco":
            return read_coco(path, images_dir=images)
        case never:
            assert_never(never)


def _detect(path: Path, labels: Path | None, images: Path | None) -> SourceFormat:
    if labels is not None:
        return "label-images"
    if images is not None or path.is_file():
        return "coco"
    found: list[SourceFormat] = []
    if organ_folders(path):
        found.append("nuinsseg")
    if has_label_images(path):
        found.append("label-images")
    if coco_files(path):
        found.append("coco")
    if not found:
        raise DataError(f"no annotated images: looked for {'; '.join(LOOKED_FOR.values())}", path=path)
    if len(found) > 1:
        here = "; ".join(LOOKED_FOR[each] for each in found)
        raise DataError(f"several formats are here: {here}; say which with --format", path=path)
    return found[0]
