"""Masks as COCO segmentations: pixel-edge polygons where they are exact, run-length codes where they are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucleate.core import (
    Masks,
    Outline,
    Rle,
    decode_rles,
    encode_polygons,
    encode_rings,
    encode_rles,
    trace_all_outlines,
)

MaskEncoding = Literal["auto", "polygon", "rle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """One mask in COCO's form.

    Attributes:
        value: polygons, or a run-length code's object.
        kind: which of the two.
        box_xywh: of the pixels that pycocotools decodes.
        area_px: number of those pixels.
        lost_px: pixels that differ from the mask; 0 but for forced polygons.
    """

    value: list[list[int]] | dict[str, Any]
    kind: Literal["polygon", "rle"]
    box_xywh: tuple[int, int, int, int]
    area_px: int
    lost_px: int = 0


def encode_segmentations(masks: Masks, encoding: MaskEncoding) -> list[Segmentation]:
    """Return each mask, which must hold a pixel, in COCO's form.

    Args:
        masks: N masks.
        encoding: `auto` takes a polygon where pycocotools rasterises it to the very same pixels and a run-length
            code where it does not (holes, several parts); `polygon` fills holes and counts what differs.
    """
    fitted = masks.cropped()
    codes = encode_rles(fitted)
    areas_px = fitted.areas_px().tolist()
    if encoding == "rle":
        return [_rle(fitted, index, code, areas_px[index]) for index, code in enumerate(codes)]
    traced = trace_all_outlines(fitted)
    if encoding == "polygon":
        return [_forced(fitted, index, codes[index], traced[index], areas_px[index]) for index in range(len(fitted))]
    # All polygons of an image are rasterised in one call.
    simple = [index for index, found in enumerate(traced) if len(found) == 1 and not found[0].holes_xy]
    drawn = dict(zip(simple, encode_rings(fitted.frame, [traced[i][0].exterior_xy for i in simple]), strict=True))
    return [
        _polygon(fitted, index, [traced[index][0].exterior_xy], areas_px[index])
        if index in drawn and drawn[index].counts == code.counts
        else _rle(fitted, index, code, areas_px[index])
        for index, code in enumerate(codes)
    ]


def _rle(masks: Masks, index: int, code: Rle, area_px: int) -> Segmentation:
    return Segmentation(value=code.to_coco(), kind="rle", box_xywh=_box_xywh(masks, index), area_px=area_px)


def _forced(masks: Masks, index: int, code: Rle, outlines: list[Outline], area_px: int) -> Segmentation:
    rings = [outline.exterior_xy for outline in outlines]
    drawn = encode_polygons(masks.frame, rings)
    if drawn.counts == code.counts:
        return _polygon(masks, index, rings, area_px)
    decoded = decode_rles(masks.frame, [drawn])
    lost_px = int(np.count_nonzero(decoded.full(0) != masks.full(index)))
    return _polygon(decoded, 0, rings, int(decoded.areas_px()[0]), lost_px)


def _polygon(masks: Masks, index: int, rings: list[NDArray[np.int64]], area_px: int, lost_px: int = 0) -> Segmentation:
    return Segmentation(
        value=[ring.reshape(-1).tolist() for ring in rings],
        kind="polygon",
        box_xywh=_box_xywh(masks, index),
        area_px=area_px,
        lost_px=lost_px,
    )


def _box_xywh(masks: Masks, index: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = masks.windows_xyxy[index].tolist()
    return x1, y1, x2 - x1, y2 - y1
