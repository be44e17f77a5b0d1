"""The images that are scored: a split of a data set, or what an evaluation scored before."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from nucleate.api.scoring import ScoringSettings
from nucleate.data import CocoDataset, Split, available_splits, read_dataset
from nucleate.errors import DataError

WHOLE: Split = "all"
DEFAULT_SPLITS: tuple[Split, ...] = ("test", "val", WHOLE)
EVALUATION_NAME = "evaluation.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredPart:
    """The split to score, and the whole data set that it comes from.

    Attributes:
        dataset: the split's images.
        whole: all images.
        split: its name.
        notes: what is to be said of the split, one sentence each.
    """

    dataset: CocoDataset
    whole: CocoDataset
    split: Split
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedImages:
    """What an output folder of `evaluate` says of its detections.

    Attributes:
        score_threshold: by which they were scored.
        file_names: of the images that were scored, those without detections too.
    """

    score_threshold: float
    file_names: frozenset[str]

    @classmethod
    def of_folder(cls, folder: Path) -> EvaluatedImages | None:
        """Return it, None for a folder without an evaluation, as `segment` leaves it.

        Raises:
            DataError: the evaluation is none of ours.
        """
        path = folder / EVALUATION_NAME
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            names = frozenset(str(image["file_name"]) for image in content["images"])
            return cls(score_threshold=float(content["score_threshold"]), file_names=names)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError("no evaluation of ours: it names the images and the score threshold", path=path) from error

    def images_of(self, part: ScoredPart, folder: Path) -> tuple[ScoredPart, tuple[str, ...]]:
        """Return the images of a split that were scored, and a note where others were not.

        Raises:
            DataError: none was.
        """
        records = tuple(record for record in part.dataset.records if record.file_name in self.file_names)
        if not records:
            raise DataError(f"none of its images is in the split {part.split}: --on all takes every image", path=folder)
        missing = len(part.dataset) - len(records)
        notes = (f"{missing} of {len(part.dataset)} annotated images were not scored there and were left out",)
        return replace(part, dataset=replace(part.dataset, records=records)), notes if missing else ()


def read_part(path: Path, on: Split | None, settings: ScoringSettings) -> ScoredPart:
    """Return a split, by default test where there is one, else val, else all.

    Raises:
        DataError: there is no such split, or no image in it.
    """
    splits = available_splits(path)
    split = next((name for name in DEFAULT_SPLITS if name in splits), WHOLE) if on is None else on
    dataset = read_dataset(path, split=split, images_dir=settings.images)
    if not dataset.records:
        raise DataError("no image to score", path=dataset.annotations_path)
    if split == WHOLE or WHOLE not in splits:
        return ScoredPart(dataset=dataset, whole=dataset, split=split)
    notes: tuple[str, ...] = ()
    if split in ("val", "test") and "train" in splits:
        notes = _organ_notes(dataset, read_dataset(path, split="train", images_dir=settings.images))
    whole = read_dataset(path, images_dir=settings.images)
    return ScoredPart(dataset=dataset, whole=whole, split=split, notes=notes)


def whole_part(dataset: CocoDataset) -> ScoredPart:
    """Return all images of a data set."""
    return ScoredPart(dataset=dataset, whole=dataset, split=WHOLE)


def _organ_notes(dataset: CocoDataset, training: CocoDataset) -> tuple[str, ...]:
    """Return whether the images' organs were left out of the training images; nothing where an image names none."""
    organs = [record.organ for record in dataset.records]
    if None in organs:
        return ()
    trained = {record.organ for record in training.records}
    shared = [organ for organ in organs if organ in trained]
    if not shared:
        return (f"None of the {len(set(organs))} organs here is among the data set's training images",)
    note = (
        f"{len(shared)} of {len(organs)} images are of the {len(set(shared))} organs that the data set's training "
        "images show too, and images of an organ are alike (in NuInsSeg they share a slide): the scores speak of other "
        "images of these organs, and intervals by image are too narrow for anything else; `nucleate prepare --group-by "
        "organ` leaves whole organs out"
    )
    return (note,)
