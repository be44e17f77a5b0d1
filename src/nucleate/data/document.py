"""The COCO documents of a data set: all images, and one a split."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nucleate.data.assembly import PreparedImage
from nucleate.data.classes import ClassList, observed_classes
from nucleate.data.coco_file import ImageRecord
from nucleate.files import json_text, write_text


def numbered(images: Sequence[PreparedImage]) -> list[PreparedImage]:
    """Return the images sorted by key, with ids from 1."""
    ordered = sorted(images, key=lambda image: image.key)
    return [
        replace(image, record=replace(image.record, image_id=position)) for position, image in enumerate(ordered, 1)
    ]


def write_documents(
    folder: Path,
    images: Sequence[PreparedImage],
    *,
    classes: ClassList,
    splits: Mapping[str, Collection[str]],
) -> None:
    """Write annotations/all.json and one file a split; ids are the same in all of them.

    Args:
        folder: of the data set.
        images: numbered.
        classes: of the data set; category ids count from 1.
        splits: file names by split; an empty one gets no file.
    """
    category_ids = {name: classes.index_of(name) + 1 for name in observed_classes(images)}
    image_entries = [(_image_entry(image), image.record.file_name) for image in images]
    # Each annotation is in two or three files, and made text once.
    annotation_texts: list[tuple[str, str]] = []
    for image in images:
        for nucleus in image.nuclei:
            entry = {
                "id": len(annotation_texts) + 1,
                "image_id": image.record.image_id,
                "category_id": category_ids[nucleus.class_name],
                "segmentation": nucleus.segmentation.value,
                "bbox": list(nucleus.segmentation.box_xywh),
                "area": nucleus.segmentation.area_px,
                "iscrowd": 0,
                "label_id": nucleus.label_id,
                "score": nucleus.score,
            }
            annotation_texts.append((json_text(entry).removesuffix("\n"), image.record.file_name))
    categories = [{"id": index, "name": name, "supercategory": ""} for index, name in enumerate(classes.names, 1)]
    everything: Collection[str] = {image.record.file_name for image in images}
    for split, names in {"all": everything, **splits}.items():
        chosen = set(names)
        if not chosen:
            continue
        head = {
            "info": {"description": "annotated nuclei, prepared by nucleate", "split": split},
            "licenses": [],
            "categories": categories,
            "images": [entry for entry, name in image_entries if name in chosen],
        }
        annotations = ",".join(text for text, name in annotation_texts if name in chosen)
        opened = json_text(head).removesuffix("}\n")
        write_text(folder / "annotations" / f"{split}.json", f'{opened},"annotations":[{annotations}]}}\n')


def _image_entry(image: PreparedImage) -> dict[str, Any]:
    record: ImageRecord = image.record
    return {
        "id": record.image_id,
        "file_name": record.file_name,
        "width": record.frame.width_px,
        "height": record.frame.height_px,
        "organ": record.organ,
        "species": record.species,
        "source": record.source,
        "source_path": image.key,
        "mpp": record.frame.mpp,
        "magnification": record.magnification,
        "stain": None if record.stain is None else record.stain.to_dict(),
    }
