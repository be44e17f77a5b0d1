"""How much of a model's error the annotations may account for: two models against the annotations and each other.

    nucleate evaluate FIRST DATA --on test --output out/first
    nucleate evaluate SECOND DATA --on test --output out/second
    python benchmarks/annotation_limit.py out/first out/second DATA --on test --output limit.json

Where two networks of different make agree with each other far better than with the annotations, what they share and
the annotations lack is no accident of one of them. The bounds look at the annotations, so no method reaches them by the
same nuclei: the first model's PQ at the score threshold that is best for each image, and without its false positives.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from nucleate.api.predictions import ReadPredictions, read_annotations, read_predictions
from nucleate.api.scoring import CompareSettings, scoring_rules
from nucleate.data import CocoDataset, dataset_of_instances
from nucleate.errors import NucleateError
from nucleate.evaluation import evaluate_predictions, pair_image
from nucleate.evaluation.panoptic import matched_pairs
from nucleate.evaluation.threshold import SCORE_THRESHOLDS, pq_by_image
from nucleate.export import ImagePredictions

SCORES = ("pq", "sq", "dq", "aji", "dice")
SETTINGS = CompareSettings()


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Nuclei of one side scored against the other's: percent, protocol `standard`, mean over images."""

    predicted: str
    against: str
    pq: float
    sq: float
    dq: float
    aji: float
    dice: float


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Mean PQ, percent, that the first model's nuclei would have, were the annotations known.

    Without false positives all that match are kept, whatever their score above 0.05.
    """

    as_it_is: float
    best_threshold_of_each_image: float
    no_false_positives: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """One model's nuclei, image by image in the data set's order."""

    name: str
    images: tuple[ImagePredictions, ...]
    score_threshold: float


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    try:
        annotated = read_annotations(given.data, given.on, SETTINGS)
        dataset = annotated.for_model().dataset
        first, second = (found(read_predictions(path, annotated), dataset) for path in (given.first, given.second))
    except NucleateError as error:
        sys.exit(str(error))
    agreements = [
        agreement(first, dataset, "annotations"),
        agreement(second, dataset, "annotations"),
        agreement(first, dataset_of_found(second, dataset), second.name),
    ]
    limits = bounds(first, dataset)
    print(table(agreements, limits, first.name))
    if given.output is not None:
        content = {
            "data": str(given.data),
            "split": given.on,
            "images": len(dataset),
            "agreements": [asdict(each) for each in agreements],
            "bounds": asdict(limits),
        }
        given.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("first", type=Path, help="folder that `nucleate evaluate --output` wrote")
    parser.add_argument("second", type=Path, help="the same of another model, on the same images")
    parser.add_argument("data", type=Path, help="a data set that `nucleate prepare` made")
    parser.add_argument("--on", default="test", choices=("train", "val", "test", "all"))
    parser.add_argument("--output", type=Path, help="JSON file of the numbers")
    return parser.parse_args(arguments)


def found(read: ReadPredictions, dataset: CocoDataset) -> Found:
    """Return a model's nuclei of all images of the data set.

    Raises:
        SystemExit: an image has none on record.
    """
    rules = read.conditions(scoring_rules(SETTINGS, dataset, read.part.split), SETTINGS)
    by_id = {image.image_id: image for image in read.found.predictions}
    missing = [record.file_name for record in dataset.records if record.image_id not in by_id]
    if missing:
        sys.exit(f"{read.path}: no result of {missing[0]} and {len(missing) - 1} more: evaluate both on the same split")
    images = tuple(by_id[record.image_id] for record in dataset.records)
    return Found(name=read.path.name, images=images, score_threshold=rules.score_threshold)


def dataset_of_found(second: Found, dataset: CocoDataset) -> CocoDataset:
    """Return a model's nuclei above its threshold as if they had been annotated; a better one owns a shared pixel."""
    images = []
    for record, image in zip(dataset.records, second.images, strict=True):
        nuclei = image.instances.above(second.score_threshold).without_empty_masks()
        # Of annotated nuclei the later one owns the pixel.
        images.append((record.file_name, nuclei.select(np.argsort(nuclei.scores, kind="stable"))))
    return dataset_of_instances(
        dataset.annotations_path, images, class_names=dataset.class_names, images_dir=dataset.images_dir
    )


def agreement(first: Found, truth: CocoDataset, against: str) -> Agreement:
    """Return the scores of a model's nuclei against a data set of the same images in the same order."""
    images = [
        replace(image, image_id=record.image_id) for record, image in zip(truth.records, first.images, strict=True)
    ]
    rules = replace(scoring_rules(SETTINGS, truth, "all"), score_threshold=first.score_threshold)
    scores = evaluate_predictions(truth, images, rules).overall.scores
    return Agreement(predicted=first.name, against=against, **{name: getattr(scores, name) for name in SCORES})


def bounds(first: Found, dataset: CocoDataset) -> Bounds:
    """Return what PQ the nuclei allow; thresholds are 0.05 to 0.95 by 0.05, and the model's own."""
    thresholds = (first.score_threshold, *SCORE_THRESHOLDS)
    by_image = pq_by_image(dataset, first.images, thresholds)
    matched_alone = []
    for record, image in zip(dataset.records, first.images, strict=True):
        overlaps = pair_image(dataset.annotations(record), image.instances.above(min(thresholds))).overlaps
        matched = matched_pairs(overlaps)
        nuclei = overlaps.annotated_count + np.count_nonzero(matched)
        matched_alone.append(2 * overlaps.ious()[matched].sum() / nuclei if nuclei else 1.0)
    return Bounds(
        as_it_is=float(by_image[:, 0].mean()),
        best_threshold_of_each_image=float(by_image.max(axis=1).mean()),
        no_false_positives=float(100 * np.mean(matched_alone)),
    )


def table(agreements: Sequence[Agreement], limits: Bounds, name: str) -> str:
    """Return both as Markdown."""
    lines = ["| nuclei of | against | PQ | SQ | DQ | AJI | Dice |", "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for each in agreements:
        values = " | ".join(f"{getattr(each, score):.1f}" for score in SCORES)
        lines.append(f"| {each.predicted} | {each.against} | {values} |")
    bounds_line = (
        f"PQ of {name}: {limits.as_it_is:.1f}; at the best score threshold of each image"
        f" {limits.best_threshold_of_each_image:.1f}; without its false positives {limits.no_false_positives:.1f}"
    )
    return "\n".join([*lines, "", bounds_line])


if __name__ == "__main__":
    main()
