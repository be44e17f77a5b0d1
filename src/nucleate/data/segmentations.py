"""Masks as COCO segmentations: pixel-edge polygons where they are exact, run-length codes where they are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Masks, Outline, Rle, decode_rles, encode_polygons, encode_rles, trace_all_outlines

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
    if encoding == "rle":
        return [_rle(fitted, index, code) for index, code in enumerate(codes)]
    traced = trace_all_outlines(fitted)
    return [_encode(fitted, index, codes[index], traced[index], encoding) for index in range(len(fitted))]


def _encode(
    masks: Masks, index: int, code: Rle, outlines: list[Outline], encoding: Literal["auto", "polygon"]
) -> Segmentation:
    polygon = _polygon(masks, index, code, [outline.exterior_xy for outline in outlines])
    match encoding:
        case "auto":
            is_simple = len(outlines) == 1 and not outlines[0].holes_xy
            return polygon if is_simple and polygon.lost_px == 0 else _rle(masks, index, code)
        case "polygon":
            return polygon
        case _:
            assert_never(encoding)


def _rle(masks: Masks, index: int, code: Rle) -> Segmentation:
    x1, y1, x2, y2 = masks.windows_xyxy[index].tolist()
    area_px = int(masks.bitmap(index).sum())
    return Segmentation(value=code.to_coco(), kind="rle", box_xywh=(x1, y1, x2 - x1, y2 - y1), area_px=area_px)


def _polygon(masks: Masks, index: int, code: Rle, rings: list[NDArray[np.int64]]) -> Segmentation:
    drawn = encode_polygons(masks.frame, rings)
    lost_px = 0
    if drawn.counts != code.counts:
        decoded = decode_rles(masks.frame, [drawn])
        lost_px = int(np.count_nonzero(decoded.full(0) != masks.full(index)))
        masks, index = decoded, 0
    x1, y1, x2, y2 = masks.windows_xyxy[index].tolist()
    return Segmentation(
        value=[ring.reshape(-1).tolist() for ring in rings],
        kind="polygon",
        box_xywh=(x1, y1, x2 - x1, y2 - y1),
        area_px=int(masks.bitmap(index).sum()),
        lost_px=lost_px,
    )
