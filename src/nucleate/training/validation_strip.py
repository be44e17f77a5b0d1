"""The same few validation images at every evaluation, annotated and predicted: `pictures/validation_ITERATIONS.png`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Instances
from nucleate.data import CocoDataset, ImageRecord
from nucleate.errors import DataError
from nucleate.evaluation import pair_image
from nucleate.evaluation.panoptic import panoptic_quality
from nucleate.evaluation.pictures import DEFAULT_STYLE, captioned, outline_sides
from nucleate.evaluation.standard import of_known_classes
from nucleate.export import ImagePredictions
from nucleate.files import write_image
from nucleate.training.splits import median_diameter_px

_MOST_IMAGES = 4
_WINDOW_DIAMETERS = 12
"""Nuclei side by side across a tile: enough to see what touches, each large enough to see its outline."""
_WINDOW_BOUNDS_PX = (96, 512)
_TILE_PX = 400
_GAP_PX = 6
_DARK = 32
_SMALLEST_WIDTH_PX = 700
"""Room for the lines above the tiles."""
_LETTER_PX = 11
_NAME = re.compile(r"validation_(\d{7,})\.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is told above a strip.

    Attributes:
        iterations: done so far.
        pq: of all validation images, percent.
        score_threshold: predicted nuclei with a greater score are drawn.
    """

    iterations: int
    pq: float
    score_threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    record: ImageRecord
    window_xyxy: tuple[int, int, int, int]


class ValidationStrip:
    """Draws the same windows of the same images whenever it is asked; which ones depends on the data set alone.

    Images with nuclei, sorted by source, organ and name, are taken at equal steps; of each the square with the most
    nuclei is shown.

    Args:
        dataset: the validation split.

    Raises:
        DataError: it holds no image.
    """

    def __init__(self, dataset: CocoDataset) -> None:
        if not dataset.records:
            raise DataError("no image to validate on: name no DATASETS.TEST", path=dataset.annotations_path)
        self._dataset = dataset
        records = _chosen(dataset)
        lowest, highest = _WINDOW_BOUNDS_PX
        wanted_px = round(_WINDOW_DIAMETERS * (median_diameter_px(dataset) or 0.0))
        shortest_px = min(min(record.frame.shape) for record in records)
        self._side_px = min(max(lowest, min(highest, wanted_px)), shortest_px)
        self._tiles = tuple(
            _Tile(record=record, window_xyxy=_fullest_window(dataset, record, self._side_px)) for record in records
        )

    @property
    def file_names(self) -> tuple[str, ...]:
        """Return the images that are shown, from left to right."""
        return tuple(tile.record.file_name for tile in self._tiles)

    def draw(self, predictions: Sequence[ImagePredictions], moment: Moment) -> NDArray[np.uint8]:
        """Return the strip as an (H, W, 3) picture: annotated nuclei above, predicted ones below.

        Args:
            predictions: of all validation images.
            moment: when it is.
        """
        found = {image.image_id: image for image in predictions}
        columns = [self._column(tile, found[tile.record.image_id], moment.score_threshold) for tile in self._tiles]
        gap = np.full((columns[0].shape[0], _GAP_PX, 3), _DARK, np.uint8)
        strip = np.concatenate([part for column in columns for part in (column, gap)][:-1], axis=1)
        missing_px = max(0, _SMALLEST_WIDTH_PX - strip.shape[1])
        strip = np.pad(strip, ((0, 0), (0, missing_px), (0, 0)), constant_values=_DARK)
        style = DEFAULT_STYLE
        legend = captioned(
            strip,
            [
                ("above, annotated:", None),
                ("found", style.found_rgb),
                ("missed", style.missed_rgb),
                ("below, predicted:", None),
                ("found", style.found_rgb),
                ("false", style.false_rgb),
            ],
        )
        images = "1 validation image" if len(self._dataset) == 1 else f"{len(self._dataset)} validation images"
        said = f"{moment.iterations} iterations: PQ {moment.pq:.1f} on {images},"
        return captioned(legend, [(f"{said} scores above {moment.score_threshold:.2f}", None)])

    def _column(self, tile: _Tile, predicted: ImagePredictions, score_threshold: float) -> NDArray[np.uint8]:
        kept = of_known_classes(predicted, len(self._dataset.class_names)).instances.above(score_threshold)
        pair = pair_image(self._dataset.annotations(tile.record), kept)
        scale = max(1, round(_TILE_PX / self._side_px))
        sides = outline_sides(
            self._dataset.read_image(tile.record), pair, scale=scale, window_xyxy=tile.window_xyxy, style=DEFAULT_STYLE
        )
        name = PurePosixPath(tile.record.file_name).stem
        room = max(4, sides[0].shape[1] // _LETTER_PX)
        words = name if len(name) <= room else f"{name[: room - 3]}..."
        # Drawn letters are ASCII.
        plain = words.encode("ascii", "replace").decode()
        quality = f"PQ {100 * panoptic_quality(pair.overlaps).pq:.1f} (whole image)"
        return np.concatenate([captioned(sides[0], [(plain, None)]), captioned(sides[1], [(quality, None)])])


def write_strip(folder: Path, iterations: int, strip_rgb: NDArray[np.uint8]) -> Path:
    """Write a strip into a run folder's pictures; return the file."""
    path = folder / "pictures" / f"validation_{iterations:07d}.png"
    write_image(path, strip_rgb)
    return path


def cut_strips(folder: Path, iterations: int) -> None:
    """Remove the strips of iterations that will be run again."""
    for path in sorted((folder / "pictures").glob("validation_*.png")):
        found = _NAME.fullmatch(path.name)
        if found is not None and int(found[1]) > iterations:
            path.unlink()


def _chosen(dataset: CocoDataset) -> list[ImageRecord]:
    with_nuclei = [
        record for record in dataset.records if any(not each.is_crowd for each in dataset.entries[record.image_id])
    ]
    ordered = sorted(
        with_nuclei or dataset.records, key=lambda record: (record.source, record.organ or "", record.file_name)
    )
    count = min(_MOST_IMAGES, len(ordered))
    return [ordered[place * len(ordered) // count] for place in range(count)]


def _fullest_window(dataset: CocoDataset, record: ImageRecord, side_px: int) -> tuple[int, int, int, int]:
    """Return the square with the most nuclei's centres; of several the first in reading order."""
    annotations = dataset.annotations(record)
    centres_xy = _centres_xy(annotations.instances.select(~annotations.is_crowd))
    height_px, width_px = record.frame.shape
    best, chosen = -1, (0, 0)
    for top in _starts(height_px, side_px):
        for left in _starts(width_px, side_px):
            offsets = centres_xy - (left, top)
            inside = int(((offsets >= 0) & (offsets < side_px)).all(axis=1).sum())
            if inside > best:
                best, chosen = inside, (left, top)
    left, top = chosen
    return left, top, left + side_px, top + side_px


def _starts(length_px: int, side_px: int) -> list[int]:
    steps = max(1, -(-2 * (length_px - side_px) // side_px))
    return sorted({round(step * (length_px - side_px) / steps) for step in range(steps + 1)})


def _centres_xy(nuclei: Instances) -> NDArray[np.float64]:
    boxes = nuclei.boxes_xyxy.astype(np.float64)
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)
