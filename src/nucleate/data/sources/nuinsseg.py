"""NuInsSeg in its original layout (Mahbod et al. 2024): `<organ>/tissue images` and `<organ>/label masks modify`."""

from __future__ import annotations

from pathlib import Path

from nucleate.data.sources.source import Dropped, LabelledSource, SourceImage, folder_name, image_files
from nucleate.errors import DataError

IMAGES_FOLDER = "tissue images"
# The corrected maps are what the authors score against; the first ones stand in where only they were kept.
LABEL_FOLDERS = ("label masks modify", "label masks")

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


def read_nuinsseg(path: Path) -> LabelledSource:
    """Return the release, a subset of its organs, or a single organ folder.

    Folders that the full release has beside the images and label maps are left alone.

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
        labels_folder = next((folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()), None)
        if labels_folder is not None and labels_folder.name != LABEL_FOLDERS[0]:
            notes.append(f"{spelling}: labels from {labels_folder.name!r}, as {LABEL_FOLDERS[0]!r} is not there")
        labels = (
            {} if labels_folder is None else {label.stem: label for label in image_files(labels_folder, deep=False)}
        )
        tissue = image_files(folder / IMAGES_FOLDER, deep=False)
        for image in tissue:
            key = f"{spelling}/{IMAGES_FOLDER}/{image.name}"
            if image.stem not in labels:
                left_out.append(Dropped(reason="image without a label image", item=key))
                continue
            species = organ.split(" ", 1)[0]
            images.append(
                SourceImage(
                    key=key,
                    path=image,
                    annotation=labels[image.stem],
                    organ=organ,
                    species=species if species in SPECIES else None,
                )
            )
        stems = {image.stem for image in tissue}
        left_out.extend(
            Dropped(reason="label image without an image", item=f"{spelling}/{label.parent.name}/{label.name}")
            for stem, label in sorted(labels.items())
            if stem not in stems
        )
    return LabelledSource(
        name="nuinsseg",
        format="nuinsseg",
        images=tuple(sorted(images, key=lambda image: image.key)),
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def organ_name(spelling: str) -> str:
    """Return an organ's right name, with its species, for the release's folder name."""
    return ORGAN_NAMES.get(spelling, spelling.replace("_", " "))
