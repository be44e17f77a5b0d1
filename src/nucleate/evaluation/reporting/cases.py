"""The worst and the best images of an evaluation, their nuclei outlined by what became of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nucleate.core import masks_from_label_map, trace_outlines
from nucleate.data import CocoDataset
from nucleate.evaluation.fates import Fate, image_fates
from nucleate.evaluation.reporting.palette import FATE_STYLES
from nucleate.evaluation.results import Evaluation, ImageResult
from nucleate.evaluation.standard import ImagePair, of_known_classes, pair_image, pair_records
from nucleate.export import ImagePredictions

# The longer side of a picture: sharp at half a page's width, and eight of them stay a few MB.
PICTURE_PX = 1024
# Annotated nuclei are drawn where they have no match, predicted ones where they are matched or false.
_ANNOTATED_DRAWN = (Fate.MISSED, Fate.SPLIT, Fate.MERGED)
_PREDICTED_DRAWN = (Fate.MATCHED, Fate.FALSE, Fate.SPLIT, Fate.MERGED)
# Faults over matches, so that they stay visible where outlines touch.
_ORDER = (Fate.MATCHED, Fate.FALSE, Fate.MISSED, Fate.SPLIT, Fate.MERGED)
JPEG_QUALITY = 88


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One image with its pictures.

    Attributes:
        result: its scores.
        counts: nuclei by fate: missed and split ones of the annotated side, the others of the predicted one.
        image_jpeg: the plain image; None where its file is missing.
        outlined_jpeg: the same with outlines, over white where the file is missing.
    """

    result: ImageResult
    counts: dict[Fate, int]
    image_jpeg: bytes | None
    outlined_jpeg: bytes


def worst_and_best(
    dataset: CocoDataset, predictions: Sequence[ImagePredictions], evaluation: Evaluation, *, each: int = 4
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Return the images of lowest PQ, worst first, and of highest PQ, best first; no image is in both.

    Args:
        dataset: images and annotations.
        predictions: one an image.
        evaluation: of these; images without annotated nuclei or without scores are left out.
        each: how many at most.

    Raises:
        DataError: an image can't be read.
    """
    scored = [image for image in evaluation.images if image.scores is not None and image.annotated]
    ranked = sorted(scored, key=lambda image: (image.scores.pq if image.scores else 0.0, image.file_name))
    count = min(each, (len(ranked) + 1) // 2)
    worst, best = ranked[:count], ranked[count:][-each:][::-1]
    by_id = {
        record.image_id: (record, image)
        for record, image in zip(dataset.records, pair_records(dataset, predictions), strict=True)
    }

    def case(result: ImageResult) -> Case:
        record, image = by_id[result.image_id]
        kept = of_known_classes(image, len(dataset.class_names)).instances.above(evaluation.settings.score_threshold)
        pixels = dataset.read_image(record) if dataset.image_path(record).is_file() else None
        return _case(result, pair_image(dataset.annotations(record), kept), pixels)

    return tuple(map(case, worst)), tuple(map(case, best))


def draw_fates(image_rgb: NDArray[np.uint8], pair: ImagePair, *, scale: int = 1) -> NDArray[np.uint8]:
    """Return the image, magnified by a whole number, with each nucleus outlined in the colour of its fate.

    Args:
        image_rgb: (H, W, 3).
        pair: its label maps.
        scale: 1 or more.
    """
    canvas = np.repeat(np.repeat(image_rgb, scale, axis=0), scale, axis=1)
    fates = image_fates(pair.overlaps)
    rings: dict[Fate, list[NDArray[np.int32]]] = {fate: [] for fate in Fate}
    for label_map, kinds, drawn in (
        (pair.predicted, fates.predicted, _PREDICTED_DRAWN),
        (pair.annotated, fates.annotated, _ANNOTATED_DRAWN),
    ):
        masks, _ = masks_from_label_map(label_map)
        for index, kind in enumerate(kinds.tolist()):
            if kind in drawn:
                rings[Fate(kind)] += [
                    np.asarray(ring * scale, np.int32)
                    for outline in trace_outlines(masks, index)
                    for ring in (outline.exterior_xy, *outline.holes_xy)
                ]
    width = scale + 1
    rim = np.zeros(canvas.shape[:2], np.uint8)
    for fate in _ORDER:
        light = fate == Fate.MERGED
        cv2.polylines(rim, rings[fate], isClosed=True, color=1 + light, thickness=width + 2 + 2 * light)
    # A dark rim under bright colours, a light one under black.
    canvas[rim == 1] //= 2
    canvas[rim == 2] = 255
    for fate in _ORDER:
        cv2.polylines(canvas, rings[fate], isClosed=True, color=FATE_STYLES[fate].rgb, thickness=width)
    return canvas


def _case(result: ImageResult, pair: ImagePair, pixels: NDArray[np.uint8] | None) -> Case:
    shown = np.full((*pair.annotated.shape, 3), 255, np.uint8) if pixels is None else pixels
    scale = max(1, round(PICTURE_PX / max(shown.shape[:2])))
    fates = image_fates(pair.overlaps)
    counts = {
        Fate.MATCHED: int(np.count_nonzero(fates.predicted == Fate.MATCHED)),
        Fate.MISSED: int(np.count_nonzero(fates.annotated == Fate.MISSED)),
        Fate.FALSE: int(np.count_nonzero(fates.predicted == Fate.FALSE)),
        Fate.SPLIT: int(np.count_nonzero(fates.annotated == Fate.SPLIT)),
        Fate.MERGED: int(np.count_nonzero(fates.predicted == Fate.MERGED)),
    }
    return Case(
        result=result,
        counts=counts,
        image_jpeg=None if pixels is None else _jpeg(pixels),
        outlined_jpeg=_jpeg(draw_fates(shown, pair, scale=scale)),
    )


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(pixels)
    picture.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    # Full colour resolution: thin outlines would fade.
    picture.save(content, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return content.getvalue()
