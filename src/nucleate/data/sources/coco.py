"""COCO JSON with its images: polygons, compressed and plain run-length codes; crowds are kept out and counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nucleate.core import Frame, Rle
from nucleate.data.coco_file import CocoAnnotation, CocoFile, decode_annotations, load_coco_json, parse_coco
from nucleate.data.outline_faults import outline_faults
from nucleate.data.sources.json_features import starts_as_features
from nucleate.data.sources.source import (
    NUCLEUS,
    Dropped,
    SourceFormat,
    SourceImage,
    SourceNuclei,
    folder_name,
)
from nucleate.errors import DataError

# Where a prepared data set has its masks of vague areas, beside the folder of its images.
VAGUE_FOLDER = "vague_areas"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CocoSource:
    """A COCO file and its images; fits `Source`."""

    name: str
    images: tuple[SourceImage, ...]
    left_out: tuple[Dropped, ...]
    class_names: tuple[str, ...]
    annotation_file: Path | None
    parsed: CocoFile
    class_of_category: dict[int, int]
    notes: tuple[str, ...] = ()
    format: SourceFormat = "coco"

    def read_nuclei(self, image: SourceImage, frame: Frame) -> SourceNuclei:
        """Return one image's annotations, in file order, without crowds.

        Raises:
            DataError: the image has another size than its record.
        """
        record = next(each for each in self.parsed.records if each.image_id == image.annotation)
        if record.frame.shape != frame.shape:
            raise DataError(
                f"the image is {frame.width_px} x {frame.height_px} pixels, its record says"
                f" {record.frame.width_px} x {record.frame.height_px}",
                path=image.path,
            )
        entries = self.parsed.annotations[record.image_id]
        kept = tuple(entry for entry in entries if not entry.is_crowd)
        dropped = tuple(
            Dropped(reason="crowd region", item=f"{image.key}: annotation {entry.annotation_id}")
            for entry in entries
            if entry.is_crowd
        )
        return SourceNuclei(
            masks=decode_annotations(frame, kept),
            label_ids=np.array([entry.label_id for entry in kept], np.int64),
            class_indices=np.array([self.class_of_category[entry.category_id] for entry in kept], np.int64),
            scores=np.array([entry.score for entry in kept], np.float64),
            class_names=self.class_names,
            dropped=dropped,
            mended=tuple(outline_faults(kept, frame, image.key)),
        )


def coco_files(path: Path) -> list[Path]:
    """Return the COCO files that a path stands for: itself, a prepared folder's all.json, or those in the folder."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" and not starts_as_features(path) else []
    prepared = path / "annotations" / "all.json"
    if prepared.is_file():
        return [prepared]
    candidates = [*path.glob("*.json"), *(path / "annotations").glob("*.json")]
    return sorted(file for file in candidates if is_coco(file))


def read_coco(path: Path, *, images_dir: Path | None = None) -> CocoSource:
    """Return a COCO file's images that are there, with their annotations.

    Args:
        path: the JSON file, or a folder with exactly one.
        images_dir: by default the folder `images` beside the file or beside its folder, else the file's folder.

    Raises:
        DataError: no file or several, no COCO annotations, or none of its images is there.
    """
    files = coco_files(path)
    if len(files) != 1:
        found = "no COCO JSON file" if not files else f"{len(files)} COCO JSON files: name one of them"
        raise DataError(found, path=path)
    if images_dir is not None and not images_dir.is_dir():
        raise DataError("no such folder: --images names the folder of the images", path=images_dir)
    file_path = files[0]
    parsed = parse_coco(file_path)
    folder = images_dir or _images_dir(file_path)
    images, left_out = [], [Dropped(reason="unsound COCO entry", item=problem) for problem in parsed.problems]
    for record in parsed.records:
        image_path = folder / record.file_name
        if not image_path.is_file():
            left_out.append(Dropped(reason="image file missing", item=record.file_name))
            continue
        vague = folder.parent / VAGUE_FOLDER / record.file_name
        images.append(
            SourceImage(
                key=record.file_name,
                path=image_path,
                annotation=record.image_id,
                organ=record.organ,
                species=record.species,
                mpp=record.frame.mpp,
                origin=record.source,
                stain=record.stain,
                magnification=record.magnification,
                vague_mask=vague if vague.is_file() else None,
            )
        )
    if not images:
        raise DataError(
            f"none of the {len(parsed.records)} images of {file_path.name} is there: name their folder with --images",
            path=folder,
        )
    class_names, class_of_category = _classes(parsed)
    return CocoSource(
        name=file_path.stem if path.is_file() else folder_name(path),
        images=tuple(sorted(images, key=lambda image: image.key)),
        left_out=tuple(left_out),
        class_names=class_names,
        annotation_file=file_path,
        parsed=parsed,
        class_of_category=class_of_category,
        notes=_notes(parsed),
    )


def _classes(parsed: CocoFile) -> tuple[tuple[str, ...], dict[int, int]]:
    """Return class names and each category's index; a single category in use is the nucleus, whatever its name."""
    used = {entry.category_id for entries in parsed.annotations.values() for entry in entries if not entry.is_crowd}
    if len(used) <= 1:
        return (NUCLEUS,), dict.fromkeys(used, 0)
    kept = [(category_id, name) for category_id, name in parsed.categories if category_id in used]
    names = tuple(dict.fromkeys(name for _, name in kept))
    return names, {category_id: names.index(name) for category_id, name in kept}


def _notes(parsed: CocoFile) -> tuple[str, ...]:
    entries: list[CocoAnnotation] = [entry for group in parsed.annotations.values() for entry in group]
    codes = sum(isinstance(entry.segmentation, Rle) for entry in entries)
    return (f"{len(entries) - codes} polygons and {codes} run-length codes were read",)


def is_coco(file: Path) -> bool:
    """Return whether a JSON file holds COCO's three lists."""
    # A GeoJSON file may have hundreds of megabytes.
    if starts_as_features(file):
        return False
    try:
        load_coco_json(file)
    except DataError:
        return False
    return True


def _images_dir(file_path: Path) -> Path:
    for candidate in (file_path.parent / "images", file_path.parent.parent / "images"):
        if candidate.is_dir():
            return candidate
    return file_path.parent
