"""Averages of PQ as PanNuke's users print them: over images, over classes, and first within tissues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.evaluation.matching import Overlaps
from nucleate.evaluation.panoptic import HALF, Matches, closest_matches, panoptic_quality


@dataclass(frozen=True, slots=True, kw_only=True)
class PannukeImage:
    """PQ of one image, 0 to 1; None where nothing of that kind is annotated, whatever is predicted.

    Attributes:
        tissue: the data set's organ, None where it names none.
        pq: of all classes together.
        class_pq: one a class of the data set.
        class_matches: of each class the one-to-one pairs with IoU >= 0.5 within it.
    """

    tissue: str | None
    pq: float | None
    class_pq: tuple[float | None, ...]
    class_matches: tuple[Matches, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PannukeAverages:
    """Averages in percent; NaN where no image has anything annotated.

    Attributes:
        bpq: mean PQ over the images with annotated nuclei.
        mpq: mean over the classes annotated in an image, then over images (HoVer-NeXt prints it).
        bpq_tissues: `bpq` within each tissue, then the mean over tissues; images without one make another.
        mpq_tissues: `mpq` within each tissue, then the mean over tissues (CellViT quotes it).
        mpq_classes: each class' mean over the images that hold it, then the mean over classes: another number.
        images: with annotated nuclei.
        tissues: that hold such images.
    """

    bpq: float
    mpq: float
    bpq_tissues: float
    mpq_tissues: float
    mpq_classes: float
    images: int
    tissues: int


def pannuke_image(
    overlaps: Overlaps,
    annotated_classes: NDArray[np.int64],
    predicted_classes: NDArray[np.int64],
    *,
    class_count: int,
    tissue: str | None = None,
) -> PannukeImage:
    """Return the PQ of an image and of each class in it.

    Args:
        overlaps: of M annotated and N predicted nuclei of all classes, which share no pixels on either side.
        annotated_classes: (M,) indices below `class_count`.
        predicted_classes: (N,) likewise.
        class_count: of the data set.
        tissue: the image's.
    """
    class_pq: list[float | None] = []
    class_matches: list[Matches] = []
    for index in range(class_count):
        annotated = annotated_classes == index
        part = overlaps.of_classes(annotated, predicted_classes == index)
        class_pq.append(panoptic_quality(part).pq if annotated.any() else None)
        class_matches.append(closest_matches(part, HALF))
    pq = panoptic_quality(overlaps).pq if overlaps.annotated_count else None
    return PannukeImage(tissue=tissue, pq=pq, class_pq=tuple(class_pq), class_matches=tuple(class_matches))


def pannuke_averages(images: Sequence[PannukeImage]) -> PannukeAverages:
    """Return the averages over images (see `PannukeAverages`)."""
    counted = [image for image in images if image.pq is not None]
    binary = [_mean([image.pq]) for image in counted]
    multi = [_mean(image.class_pq) for image in counted]
    tissues = sorted({image.tissue or "" for image in counted})
    places = [tissues.index(image.tissue or "") for image in counted]
    classes = [_mean(values) for values in zip(*(image.class_pq for image in counted), strict=True)]

    def within(values: Sequence[float]) -> float:
        parts = [
            [value for value, place in zip(values, places, strict=True) if place == at] for at in range(len(tissues))
        ]
        return _mean([_mean(part) for part in parts])

    return PannukeAverages(
        bpq=100 * _mean(binary),
        mpq=100 * _mean(multi),
        bpq_tissues=100 * within(binary),
        mpq_tissues=100 * within(multi),
        mpq_classes=100 * _mean(classes),
        images=len(counted),
        tissues=len(tissues),
    )


def class_scores(images: Sequence[PannukeImage], index: int) -> tuple[Matches, float]:
    """Return the pairs of one class in all images, and its mean PQ in percent over the images that hold it."""
    matches = sum((image.class_matches[index] for image in images), Matches.none())
    return matches, 100 * _mean([image.class_pq[index] for image in images])


def _mean(values: Sequence[float | None]) -> float:
    """Return the mean of what is defined, NaN where nothing is."""
    defined = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
