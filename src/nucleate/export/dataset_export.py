"""A data set as the folders that other programs train on and open."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

from nucleate.core import Instances, OverlapRule, describe_overlap_rule
from nucleate.data import CocoDataset
from nucleate.data.staging import staged_folder, strangers_in
from nucleate.errors import DataError, ResultsError
from nucleate.export.annotation_files import write_binary_mask, write_labels, write_rois, write_yolo
from nucleate.export.geojson import write_geojson
from nucleate.files import write_json, write_path, write_text

DatasetFormat = Literal["yolo", "labels", "binary-masks", "geojson", "rois", "stardist", "cellpose"]

RECORD_NAME = "export.json"
# Formats of one id a pixel.
LABEL_FORMATS: frozenset[DatasetFormat] = frozenset({"labels", "stardist", "cellpose"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetExport:
    """What was written.

    Attributes:
        output: the folder.
        to: its format.
        images: number of images.
        nuclei: number of annotations.
        crowds: crowd regions, which no format but COCO has; they are left out.
        shared_px: pixels of several nuclei, of which the format keeps one owner or none; 0 where it keeps overlaps.
        classes_lost: whether several classes became one, as the format has none.
        overlaps: whose the pixels of several nuclei are, in a format of one id a pixel; None in the others.
    """

    output: Path
    to: DatasetFormat
    images: int
    nuclei: int
    crowds: int
    shared_px: int
    classes_lost: bool
    overlaps: OverlapRule | None = None

    def summary(self) -> str:
        """Return a few lines for people."""
        lines = [f"{self.output}: {self.nuclei:,} nuclei of {self.images:,} images as {self.to}"]
        if self.crowds:
            lines.append(f"left out: {self.crowds:,} crowd regions")
        if self.shared_px:
            owner = "no one's" if self.overlaps is None else describe_overlap_rule(self.overlaps)
            lines.append(f"lost: {self.shared_px:,} pixels of several nuclei are {owner}")
        if self.classes_lost:
            lines.append("lost: classes, which the format has none of")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values that the folder's record holds."""
        plain = asdict(self)
        del plain["output"]
        return plain


def write_dataset(
    dataset: CocoDataset, to: DatasetFormat, output: Path, *, overlaps: OverlapRule = "score"
) -> DatasetExport:
    """Write a data set's images and annotations as another program wants them, and `export.json` with what was lost.

    Layouts, NAME being an image's: `labels`: images/NAME.png, labels/NAME.tif; `stardist`: images/NAME.png,
    masks/NAME.tif; `cellpose`: NAME.png, NAME_masks.tif; `binary-masks`: images/NAME.png, masks/NAME.png; `yolo`:
    images/NAME.png, labels/NAME.txt, data.yaml; `geojson`: images/NAME.png, geojson/NAME.geojson; `rois`:
    images/NAME.png, rois/NAME.zip.

    Args:
        dataset: the data set.
        to: the format.
        output: the folder.
        overlaps: whose a pixel of several nuclei is where the format has one id a pixel; the others ignore it.

    Raises:
        DataError: nuclei overlap, and the rule is to refuse that.
        ResultsError: the output is not empty or can't be written, or an image is missing.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or strangers_in(output, ())):
        raise ResultsError("is not empty: choose another --output", path=output)
    nuclei = crowds = shared_px = 0
    with staged_folder(output) as folder:
        for record in dataset.records:
            annotations = dataset.annotations(record)
            instances = annotations.instances.select(~annotations.is_crowd)
            nuclei += len(instances)
            crowds += int(annotations.is_crowd.sum())
            _copy_image(dataset, record.file_name, folder if to == "cellpose" else folder / "images")
            name = PurePosixPath(record.file_name)
            if to in LABEL_FORMATS:
                shared_px += _write_label_image(folder, name, instances, to=to, overlaps=overlaps)
            else:
                shared_px += _write_annotations(folder, name, instances, to=to, class_names=dataset.class_names)
        if to == "yolo":
            description = {"path": ".", "train": "images", "val": "images", "names": list(dataset.class_names)}
            write_text(folder / "data.yaml", yaml.safe_dump(description, sort_keys=False, allow_unicode=True))
        report = DatasetExport(
            output=output,
            to=to,
            images=len(dataset.records),
            nuclei=nuclei,
            crowds=crowds,
            shared_px=shared_px,
            classes_lost=len(dataset.class_names) > 1 and to not in ("yolo", "geojson", "rois"),
            overlaps=overlaps if to in LABEL_FORMATS else None,
        )
        write_json(folder / RECORD_NAME, report.to_dict(), indent=1)
    return report


def _write_label_image(
    folder: Path, name: PurePosixPath, instances: Instances, *, to: DatasetFormat, overlaps: OverlapRule
) -> int:
    """Write one image's label image; returns the number of pixels of several nuclei."""
    stem = name.with_suffix("").as_posix()
    path = {"labels": f"labels/{stem}.tif", "stardist": f"masks/{stem}.tif"}.get(to, f"{stem}_masks.tif")
    try:
        return write_labels(folder / path, instances, overlaps)
    except DataError as error:
        raise DataError(error.message, path=name.as_posix()) from error


def _write_annotations(
    folder: Path, name: PurePosixPath, instances: Instances, *, to: DatasetFormat, class_names: Sequence[str]
) -> int:
    """Write one image's annotations; returns the pixels that the format can't give to all their nuclei."""
    stem = name.with_suffix("").as_posix()
    match to:
        case "binary-masks":
            return write_binary_mask(folder / "masks" / f"{stem}.png", instances)
        case "yolo":
            write_yolo(folder / "labels" / f"{stem}.txt", instances)
        case "geojson":
            write_geojson(folder / "geojson" / f"{stem}.geojson", name.as_posix(), instances, class_names)
        case "rois":
            write_rois(folder / "rois" / f"{stem}.zip", instances, class_names)
    return 0


def _copy_image(dataset: CocoDataset, file_name: str, folder: Path) -> None:
    with write_path(folder / file_name) as temporary:
        shutil.copyfile(dataset.images_dir / file_name, temporary)
