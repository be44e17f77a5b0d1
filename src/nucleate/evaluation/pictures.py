"""Annotation and prediction side by side: found, missed and false nuclei, in colours safe for the colour-blind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import masks_from_label_map, trace_outlines
from nucleate.data import CocoDataset
from nucleate.errors import DataError
from nucleate.evaluation.panoptic import matched_pairs
from nucleate.evaluation.standard import ImagePair, of_known_classes, pair_image, pair_records
from nucleate.export import ImagePredictions, write_instance_map
from nucleate.files import write_image

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonStyle:
    """How a side-by-side picture looks.

    Attributes:
        found_rgb: nuclei with a partner of IoU > 0.5, on both sides.
        missed_rgb: annotated nuclei without one.
        false_rgb: predicted nuclei without one.
        smallest_side_px: smaller images are magnified by a whole number until their shorter side has this length,
            so that one outline doesn't cover a nucleus; the longer side is not magnified above `largest_side_px`.
        largest_side_px: see there.
        gap_px: between panels.
    """

    found_rgb: Colour = (0, 224, 255)
    missed_rgb: Colour = (255, 233, 0)
    false_rgb: Colour = (255, 145, 0)
    smallest_side_px: int = 500
    largest_side_px: int = 4096
    gap_px: int = 8


DEFAULT_STYLE = ComparisonStyle()
CAPTION_PX = 36
LINE_PX = 2


def draw_side_by_side(
    image_rgb: NDArray[np.uint8], pair: ImagePair, *, style: ComparisonStyle = DEFAULT_STYLE
) -> NDArray[np.uint8]:
    """Return three panels: the image, the annotated nuclei over it, the predicted nuclei over it.

    Args:
        image_rgb: (H, W, 3).
        pair: the two label maps of that image.
        style: colours and sizes.

    Raises:
        DataError: image and label maps differ in size.
    """
    if image_rgb.shape[:2] != pair.annotated.shape:
        raise DataError(f"label maps of shape {pair.annotated.shape} over an image of {image_rgb.shape[:2]}")
    scale = _magnification(image_rgb.shape[:2], style)
    annotated_rgb, predicted_rgb = outline_sides(image_rgb, pair, scale=scale, style=style)
    enlarged = np.repeat(np.repeat(image_rgb, scale, axis=0), scale, axis=1)
    found = int(matched_pairs(pair.overlaps).sum())
    missed, false = pair.overlaps.annotated_count - found, pair.overlaps.predicted_count - found
    panels = [
        captioned(enlarged, [("image", None)]),
        captioned(
            annotated_rgb,
            [("annotated:", None), (f"{found} found", style.found_rgb), (f"{missed} missed", style.missed_rgb)],
        ),
        captioned(
            predicted_rgb,
            [("predicted:", None), (f"{found} found", style.found_rgb), (f"{false} false", style.false_rgb)],
        ),
    ]
    gap = np.full((panels[0].shape[0], style.gap_px, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def outline_sides(
    image_rgb: NDArray[np.uint8],
    pair: ImagePair,
    *,
    scale: int,
    window_xyxy: tuple[int, int, int, int] | None = None,
    style: ComparisonStyle = DEFAULT_STYLE,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a window of the image twice: with the annotated nuclei outlined, and with the predicted ones.

    Args:
        image_rgb: (H, W, 3).
        pair: the two label maps of the whole image; nuclei that the window cuts are found or missed as whole ones.
        scale: pixels of the picture a pixel of the image.
        window_xyxy: half-open, inside the image; None takes all of it.
        style: colours.

    Returns:
        Two arrays (scale * height, scale * width, 3).
    """
    height_px, width_px = image_rgb.shape[:2]
    x1, y1, x2, y2 = (0, 0, width_px, height_px) if window_xyxy is None else window_xyxy
    # A little more is drawn and cut away again, so that no outline follows the window's border.
    left, top, right, bottom = (
        max(0, x1 - LINE_PX),
        max(0, y1 - LINE_PX),
        min(width_px, x2 + LINE_PX),
        min(height_px, y2 + LINE_PX),
    )
    overlaps, matched = pair.overlaps, matched_pairs(pair.overlaps)
    shown = np.repeat(np.repeat(image_rgb[top:bottom, left:right], scale, axis=0), scale, axis=1)
    panels = []
    for label_map, ids, found_indices, other_rgb in (
        (pair.annotated, overlaps.annotated_ids, overlaps.annotated_indices[matched], style.missed_rgb),
        (pair.predicted, overlaps.predicted_ids, overlaps.predicted_indices[matched], style.false_rgb),
    ):
        part = label_map[top:bottom, left:right]
        present = np.unique(part)
        side = _Side(
            label_map=part,
            found=np.isin(present[present > 0], ids[found_indices]),
            found_rgb=style.found_rgb,
            other_rgb=other_rgb,
        )
        drawn = _outlined(shown, side, scale)
        rows = slice((y1 - top) * scale, (y2 - top) * scale)
        panels.append(drawn[rows, (x1 - left) * scale : (x2 - left) * scale])
    return panels[0], panels[1]


def write_pictures(
    folder: Path, dataset: CocoDataset, predictions: Sequence[ImagePredictions], score_threshold: float
) -> int:
    """Write `annotated/NAME.png` (instance maps) and `side-by-side/NAME.png` for every image of a data set.

    Args:
        folder: made if needed.
        dataset: images and annotations. Where an image file is missing there is no side-by-side picture of it.
        predictions: one an image of the data set.
        score_threshold: nuclei with a greater score are drawn.

    Returns:
        How many image files were missing.

    Raises:
        DataError: an image can't be read.
        ResultsError: the folder can't be written.
    """
    missing = 0
    stems = picture_names(dataset)
    for record, stem, image in zip(dataset.records, stems, pair_records(dataset, predictions), strict=True):
        kept = of_known_classes(image, len(dataset.class_names)).instances.above(score_threshold)
        pair = pair_image(dataset.annotations(record), kept)
        numbers = pair.annotated.astype(np.min_scalar_type(int(pair.annotated.max())))
        write_instance_map(folder / "annotated", stem, numbers)
        if dataset.image_path(record).is_file():
            write_image(folder / "side-by-side" / f"{stem}.png", draw_side_by_side(dataset.read_image(record), pair))
        else:
            missing += 1
    return missing


def picture_names(dataset: CocoDataset) -> list[str]:
    """Return each image's file name without its suffix, or with it where two would be the same file."""
    names = [PurePosixPath(record.file_name) for record in dataset.records]
    stems = [str(name.with_suffix("")) for name in names]
    # Windows and macOS don't tell upper case from lower case.
    used = Counter(stem.casefold() for stem in stems)
    return [stem if used[stem.casefold()] == 1 else str(name) for stem, name in zip(stems, names, strict=True)]


def _magnification(shape: tuple[int, ...], style: ComparisonStyle) -> int:
    wanted = math.ceil(style.smallest_side_px / min(shape))
    return max(1, min(wanted, style.largest_side_px // max(shape)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """One side's nuclei, in ascending order of their ids in the map, and which of them have a partner."""

    label_map: NDArray[np.int32]
    found: NDArray[np.bool_]
    found_rgb: Colour
    other_rgb: Colour


def _outlined(enlarged_rgb: NDArray[np.uint8], side: _Side, scale: int) -> NDArray[np.uint8]:
    canvas = enlarged_rgb.copy()
    masks, _ = masks_from_label_map(side.label_map)
    rings = [
        [
            np.asarray(ring * scale, np.int32)
            for outline in trace_outlines(masks, index)
            for ring in (outline.exterior_xy, *outline.holes_xy)
        ]
        for index in range(len(masks))
    ]
    # A darkened rim first, since no bright colour shows on white tissue; found nuclei before faults, which then stay
    # visible where outlines touch.
    rim = np.zeros(canvas.shape[:2], np.uint8)
    for parts in rings:
        cv2.polylines(rim, parts, isClosed=True, color=1, thickness=LINE_PX + 2)
    canvas[rim > 0] //= 2
    for index in np.argsort(~side.found, kind="stable").tolist():
        colour = side.found_rgb if side.found[index] else side.other_rgb
        cv2.polylines(canvas, rings[index], isClosed=True, color=colour, thickness=LINE_PX)
    return canvas


def captioned(panel_rgb: NDArray[np.uint8], words: Sequence[tuple[str, Colour | None]]) -> NDArray[np.uint8]:
    """Return the panel under a dark strip with words, a swatch of its colour before each coloured one."""
    strip = np.full((CAPTION_PX, panel_rgb.shape[1], 3), 32, np.uint8)
    x = 8
    for text, colour in words:
        if colour is not None:
            cv2.rectangle(strip, (x, 10), (x + 16, 26), colour, thickness=cv2.FILLED)
            x += 24
        cv2.putText(
            strip, text, (x, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), thickness=1, lineType=cv2.LINE_AA
        )
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
        x += width + 20
    return np.concatenate([strip, panel_rgb])
