"""Where the images of the comparison come from: drawn ones, or those of a data set that have the usual count."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants.scenes import Scenes
from nucleate.api import LoadedModel
from nucleate.api.scaling import ScaleRequest, known_scale
from nucleate.core import label_map_from_masks
from nucleate.data import Split, available_splits, read_dataset
from nucleate.errors import DataError
from tests.synthetic import draw_he

Pixel = TypeVar("Pixel", bound=np.generic)

USUAL_DIAMETER_PX = 20.0
_EQUIVALENT_OF_MAJOR = 0.894
"""Drawn ellipses have a minor axis of 0.6 to 1.0 of the major one: sqrt(0.8) is their equivalent diameter."""


def drawn_scenes(model: LoadedModel, *, count: int, side_px: int, nuclei: int) -> Scenes:
    """Draw images whose nuclei have the size that the model works at, so that it takes them as they are.

    Args:
        model: its card names the diameter; 20 px where it doesn't.
        count: of images.
        side_px: of each.
        nuclei: on each.
    """
    diameter_px = model.card.working_diameter_px or USUAL_DIAMETER_PX
    major_px = diameter_px / _EQUIVALENT_OF_MAJOR
    drawings = [
        draw_he(
            seed=seed,
            height_px=side_px,
            width_px=side_px,
            nuclei=nuclei,
            diameter_px=(0.7 * major_px, 1.3 * major_px),
        )
        for seed in range(count)
    ]
    return Scenes(
        images_rgb=np.stack([drawing.image_rgb for drawing in drawings]),
        label_maps=np.stack([drawing.label_map for drawing in drawings]).astype(np.int32),
        names=tuple(f"drawing {seed}" for seed in range(count)),
        magnification=1.0,
        origin=f"drawn, {side_px} x {side_px} px, nuclei of {diameter_px:.0f} px, the model's working scale",
    )


def dataset_scenes(model: LoadedModel, folder: Path, *, count: int, side_px: int, nuclei: int) -> Scenes:
    """Take the images of a data set, their middle squares, whose number of nuclei is nearest to the usual one.

    Where several are as near, those whose nuclei are nearest to the data set's median size come first.

    Args:
        model: knows at which magnification it would look at this data set.
        folder: that `nucleate prepare` made; its test split where it has one.
        count: of images.
        side_px: of each.
        nuclei: the usual number.

    Raises:
        DataError: no data set, too few images of that size, no nucleus on them, or images of several scales.
    """
    split: Split = "test" if "test" in available_splits(folder) else "all"
    dataset = read_dataset(folder, split=split)
    large = [record for record in dataset.records if min(record.frame.shape) >= side_px]
    if len(large) < count:
        raise DataError(
            f"{len(large)} images of {side_px} x {side_px} px in {split}, {count} are wanted: lower --image-count",
            path=folder,
        )
    squares = [_middle(label_map_from_masks(dataset.annotations(each).instances.masks), side_px) for each in large]
    diameters_px = [_diameters_px(square) for square in squares]
    if not any(len(each) for each in diameters_px):
        raise DataError("no annotated nucleus on any image: take another data set", path=folder)
    usual_px = np.median(np.concatenate(diameters_px))

    def how_unusual(index: int) -> tuple[int, float]:
        found_px = diameters_px[index]
        return abs(len(found_px) - nuclei), float(abs(np.median(found_px) - usual_px)) if len(found_px) else np.inf

    order = sorted(range(len(large)), key=how_unusual)[:count]
    chosen = [large[index] for index in order]
    scales = [known_scale(model.card, ScaleRequest(), mpp=record.frame.mpp, source=record.source) for record in chosen]
    # An image whose scale nobody knows is taken as it is.
    factors = {1.0 if scale is None else scale.magnification for scale in scales}
    if len(factors) > 1:
        raise DataError(f"images of {len(factors)} scales: give a data set of one source", path=folder)
    diameter_px = np.median(np.concatenate([diameters_px[index] for index in order]))
    return Scenes(
        images_rgb=np.stack([_middle(dataset.read_image(record), side_px) for record in chosen]),
        label_maps=np.stack([squares[index] for index in order]),
        names=tuple(record.file_name for record in chosen),
        magnification=factors.pop(),
        origin=(
            f"{folder.resolve().name}, split {split}, middle {side_px} x {side_px} px; the {count} images nearest to"
            f" {nuclei} nuclei, of {diameter_px:.0f} px"
        ),
    )


def _diameters_px(label_map: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return one equivalent diameter a nucleus."""
    areas_px = np.bincount(label_map[label_map > 0])
    return np.asarray(np.sqrt(areas_px[areas_px > 0] * 4 / np.pi), np.float64)


def _middle(pixels: NDArray[Pixel], side_px: int) -> NDArray[Pixel]:
    top, left = (pixels.shape[0] - side_px) // 2, (pixels.shape[1] - side_px) // 2
    return pixels[top : top + side_px, left : left + side_px]
