"""NuInsSeg in its original layout (Mahbod et al. 2024): `<organ>/tissue images` and `<organ>/label masks modify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucleate.core import Frame
from nucleate.data.sources.imagej import read_roi_nuclei
from nucleate.data.sources.source import (
    Dropped,
    FileSource,
    SourceImage,
    SourceNuclei,
    annotation_path,
    folder_name,
    image_files,
    read_label_nuclei,
)
from nucleate.errors import DataError

IMAGES_FOLDER = "tissue images"
# The corrected maps are what the authors score against; the first ones stand in where only they were kept.
LABEL_FOLDERS = ("label masks modify", "label masks")
ROIS_FOLDER = "Imagej_zips"
VAGUE_FOLDER = Path("vague areas") / "mask binary"

# Folder spellings of the release that are no organ names; all others are organ names as they are.
ORGAN_NAMES = {
    "human salivory gland": "human salivary gland",
    "human tonsile": "human tonsil",
    "mouse fat (white and brown)_subscapula": "mouse subscapular fat",
    "mouse muscle_tibia": "mouse tibial muscle",
}
SPECIES = ("human", "mouse")


def organ_folders(path: Path) -> list[Path]:
    """Return the organ folders: those in the path that hold `tissue images`, or the path itself; [] for none."""
    if (path / IMAGES_FOLDER).is_dir():
        return [path]
    return sorted(folder for folder in path.iterdir() if (folder / IMAGES_FOLDER).is_dir())


def read_nuinsseg(path: Path, *, rois: bool = False) -> FileSource:
    """Return the release, a subset of its organs, or a single organ folder.

    Labels are the corrected maps, then the annotators' regions, then the first maps, whichever an organ has first.
    Masks of vague areas come along; other folders of the full release are left alone.

    Args:
        path: the release or an organ's folder.
        rois: take the annotators' regions everywhere, with their overlaps.

    Raises:
        DataError: no organ folder is there.
    """
    folders = organ_folders(path)
    if not folders:
        raise DataError(f"no organ folder with {IMAGES_FOLDER!r} in it: is this NuInsSeg's layout?", path=path)
    images: list[SourceImage] = []
    left_out: list[Dropped] = []
    notes: list[str] = []
    for folder in folders:
        spelling = folder_name(folder)
        organ = organ_name(spelling)
        species = organ.split(" ", 1)[0]
        labels = _labels(folder, rois=rois)
        if labels.note:
            notes.append(f"{spelling}: {labels.note}")
        tissue = image_files(folder / IMAGES_FOLDER, deep=False)
        vague = {mask.stem: mask for mask in image_files(folder / VAGUE_FOLDER, deep=False)}
        for image in tissue:
            key = f"{spelling}/{IMAGES_FOLDER}/{image.name}"
            if image.stem not in labels.files:
                left_out.append(Dropped(reason=f"image without a {labels.name}", item=key))
                continue
            images.append(
                SourceImage(
                    key=key,
                    path=image,
                    annotation=labels.files[image.stem],
                    organ=organ,
                    species=species if species in SPECIES else None,
                    vague_mask=vague.get(image.stem),
                )
            )
        stems = {image.stem for image in tissue}
        left_out.extend(
            Dropped(reason=f"{labels.name} without an image", item=f"{spelling}/{file.parent.name}/{file.name}")
            for stem, file in sorted(labels.files.items())
            if stem not in stems
        )
    return FileSource(
        name="nuinsseg",
        format="imagej" if rois else "nuinsseg",
        images=tuple(sorted(images, key=lambda image: image.key)),
        reader=_read_either,
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labels:
    """An organ's annotation files by stem, what one is called, and what to say of them."""

    files: dict[str, Path]
    name: str
    note: str = ""


def _labels(folder: Path, *, rois: bool) -> _Labels:
    zips = {file.stem: file for file in sorted((folder / ROIS_FOLDER).glob("*.zip")) if not file.name.startswith(".")}
    maps = [folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()]
    best = maps[0] if maps else None
    if rois or (zips and (best is None or best.name != LABEL_FOLDERS[0])):
        note = "" if rois else f"nuclei from {ROIS_FOLDER!r}, as {LABEL_FOLDERS[0]!r} is not there"
        return _Labels(files=zips, name="ROI file", note=note)
    files = {} if best is None else {label.stem: label for label in image_files(best, deep=False)}
    if best is None or best.name == LABEL_FOLDERS[0]:
        return _Labels(files=files, name="label image")
    note = (
        f"labels from {best.name!r}, as {LABEL_FOLDERS[0]!r} is not there; where nuclei overlap, its ids are sums of"
        " theirs and make nuclei that don't exist"
    )
    return _Labels(files=files, name="label image", note=note)


def _read_either(image: SourceImage, frame: Frame) -> SourceNuclei:
    is_zip = annotation_path(image).suffix.lower() == ".zip"
    return read_roi_nuclei(image, frame) if is_zip else read_label_nuclei(image, frame)


def organ_name(spelling: str) -> str:
    """Return an organ's right name, with its species, for the release's folder name."""
    return ORGAN_NAMES.get(spelling, spelling.replace("_", " "))
