"""Annotated polygons as pixels, by the rule that a protocol names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks, Rle, decode_polygons
from nucleate.data import CocoDataset, ImageRecord
from nucleate.errors import DataError
from nucleate.evaluation.protocols import Rasteriser


def rasterise(rings_xy: Sequence[NDArray[np.float64]], frame: Frame, rasteriser: Rasteriser) -> NDArray[np.bool_]:
    """Return the (H, W) union of polygons.

    Args:
        rings_xy: (K, 2) corners each, at least 3 of them.
        frame: the image.
        rasteriser: `coco` as pycocotools fills; `pixel-centres` takes the pixels whose centre lies inside (even-odd;
            left and upper edges belong to it); `fillpoly` cuts corners to integers and draws the outline too, as
            nuc_eval does with ImageJ's ROIs: a square of 10 px has 100, 100 and 121.
    """
    match rasteriser:
        case "coco":
            return decode_polygons(frame, rings_xy)
        case "pixel-centres":
            filled = np.zeros(frame.shape, np.bool_)
            for ring in rings_xy:
                filled |= _centres_inside(ring, frame)
            return filled
        case "fillpoly":
            canvas = np.zeros(frame.shape, np.uint8)
            for ring in rings_xy:
                cv2.fillPoly(canvas, [np.asarray(ring).astype(np.int32)], color=1)
            return canvas > 0
        case _:
            assert_never(rasteriser)


def rasterised_nuclei(dataset: CocoDataset, record: ImageRecord, rasteriser: Rasteriser) -> Masks:
    """Return one mask an annotated nucleus of an image, in the file's order; crowd regions are left out.

    Run-length codes are pixels already: `fillpoly` refuses them, the other rules take them as they are.

    Raises:
        DataError: `fillpoly` and a run-length code.
    """
    if rasteriser == "coco":
        annotations = dataset.annotations(record)
        return annotations.instances.select(~annotations.is_crowd).masks
    nuclei = [entry for entry in dataset.entries[record.image_id] if not entry.is_crowd]
    decoded = dataset.annotations(record)
    masks = decoded.instances.select(~decoded.is_crowd).masks
    bitmaps = []
    for index, entry in enumerate(nuclei):
        if isinstance(entry.segmentation, Rle):
            if rasteriser == "fillpoly":
                raise DataError(
                    "the rasteriser fillpoly needs polygons and this is a run-length code: take another rasteriser",
                    path=dataset.annotations_path,
                    item=f"annotation {entry.annotation_id}",
                )
            bitmaps.append(masks.full(index))
        else:
            bitmaps.append(rasterise(entry.segmentation, record.frame, rasteriser))
    return Masks.from_full(record.frame, bitmaps)


def _centres_inside(ring_xy: NDArray[np.float64], frame: Frame) -> NDArray[np.bool_]:
    """Return (H, W), true where a ray to the left of the pixel's centre crosses the outline an odd number of times."""
    inside = np.zeros(frame.shape, np.bool_)
    xs = np.arange(frame.width_px) + 0.5
    for (x1, y1), (x2, y2) in zip(ring_xy, np.roll(ring_xy, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        # Rows whose centre line lies in [upper, lower): a corner on a centre line counts once.
        first, last = np.clip(np.ceil(np.array([min(y1, y2), max(y1, y2)]) - 0.5), 0, frame.height_px).astype(int)
        crossings = x1 + (np.arange(first, last) + 0.5 - y1) * (x2 - x1) / (y2 - y1)
        inside[first:last] ^= xs[None, :] >= crossings[:, None]
    return inside
