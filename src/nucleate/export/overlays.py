"""Boxes and coloured masks over an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from nucleate.core import Instances, label_map_from_masks, trace_outlines
from nucleate.errors import DataError

# Bright and far from H&E's pinks and violets; neighbours in the list differ in hue.
PALETTE_RGB = np.array(
    [
        (255, 225, 25),
        (0, 200, 255),
        (70, 235, 75),
        (255, 120, 20),
        (30, 90, 255),
        (190, 255, 110),
        (0, 235, 180),
        (255, 45, 45),
        (255, 255, 255),
        (140, 170, 255),
    ],
    np.uint8,
)
# cv2 draws at fractions of a pixel when coordinates are integers of 2**-SUBPIXEL_BITS pixels.
SUBPIXEL_BITS = 6
NEIGHBOURS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayStyle:
    """How an overlay looks.

    Attributes:
        fill_opacity: of the masks, 0 to 1; texture must stay visible under it.
        box_opacity: of the boxes' lines, 0 to 1; weaker than outlines, which say more.
        most_labels: images with more nuclei get no text, since labels would cover their neighbours.
        smallest_label_side_px: images with a shorter side get no text.
    """

    fill_opacity: float = 0.3
    box_opacity: float = 0.55
    most_labels: int = 12
    smallest_label_side_px: int = 200


DEFAULT_STYLE = OverlayStyle()


def draw_overlay(
    image_rgb: NDArray[np.uint8],
    instances: Instances,
    class_names: Sequence[str],
    *,
    style: OverlayStyle = DEFAULT_STYLE,
) -> NDArray[np.uint8]:
    """Return the image with boxes, filled masks and antialiased outlines; neighbours differ in colour.

    Args:
        image_rgb: (H, W, 3), not changed.
        instances: the nuclei, in the image's frame.
        class_names: for the labels ("nucleus 98%"), which are drawn when few nuclei leave room for them.
        style: opacities and limits of labels.

    Returns:
        (H, W, 3), a new image.

    Raises:
        DataError: image and frame differ in size.
    """
    if image_rgb.shape[:2] != instances.frame.shape:
        raise DataError(f"instances of an image of {instances.frame.shape} over one of {image_rgb.shape[:2]}")
    if not len(instances):
        return image_rgb.copy()
    colours = neighbour_colours(instances)
    canvas = _fill(image_rgb, instances, colours, style.fill_opacity)
    thickness_px = line_thickness_px(instances)
    weakest_first = np.argsort(instances.scores, kind="stable").tolist()
    boxed = canvas.copy()
    for index in weakest_first:
        _draw_box(boxed, instances.boxes_xyxy[index], colours[index].tolist(), thickness_px)
    canvas = np.asarray(cv2.addWeighted(boxed, style.box_opacity, canvas, 1 - style.box_opacity, 0), np.uint8)
    for index in weakest_first:
        rings = [_subpixel(ring) for ring in smooth_rings(instances, index)]
        cv2.polylines(canvas, rings, True, colours[index].tolist(), thickness_px, cv2.LINE_AA, SUBPIXEL_BITS)  # noqa: FBT003
    if len(instances) <= style.most_labels and min(image_rgb.shape[:2]) >= style.smallest_label_side_px:
        for index in weakest_first:
            name = class_names[int(instances.class_indices[index])]
            label = f"{name} {round(100 * float(instances.scores[index]))}%"
            _draw_label(canvas, instances.boxes_xyxy[index], label, colours[index].tolist())
    return canvas


def neighbour_colours(instances: Instances) -> NDArray[np.uint8]:
    """Return an (N, 3) RGB colour a nucleus; each differs from those of its nearest nuclei, as far as ten colours go.

    Nuclei are coloured one by one in their order: of the colours that the nearest eight do not have yet, the one
    used least so far; so equal input gives equal colours.
    """
    count = len(instances)
    centres_xy = (instances.boxes_xyxy[:, :2] + instances.boxes_xyxy[:, 2:]) / 2
    if count == 0:
        return np.zeros((0, 3), np.uint8)
    nearest = KDTree(centres_xy).query(centres_xy, k=min(NEIGHBOURS + 1, count))[1].reshape(count, -1)
    adjacent: list[set[int]] = [set() for _ in range(count)]
    for index, others in enumerate(nearest.tolist()):
        for other in others:
            if other != index:
                adjacent[index].add(other)
                adjacent[other].add(index)
    chosen = np.full(count, -1)
    used = np.zeros(len(PALETTE_RGB), np.int64)
    for index in range(count):
        taken = np.bincount([c for c in chosen[list(adjacent[index])] if c >= 0], minlength=len(PALETTE_RGB))
        colour = int(np.lexsort((np.arange(len(PALETTE_RGB)), used, taken))[0])
        chosen[index] = colour
        used[colour] += 1
    return np.asarray(PALETTE_RGB[chosen])


def line_thickness_px(instances: Instances) -> int:
    """Return a line thickness that is seen when the whole image fills a screen, and leaves small nuclei visible."""
    sides = instances.boxes_xyxy[:, 2:] - instances.boxes_xyxy[:, :2]
    by_nucleus = float(np.median(sides.mean(axis=1))) / 8 if len(instances) else np.inf
    by_image = max(instances.frame.shape) / 1400
    return max(1, round(min(by_image, by_nucleus)))


def _fill(
    image_rgb: NDArray[np.uint8], instances: Instances, colours: NDArray[np.uint8], opacity: float
) -> NDArray[np.uint8]:
    numbers = label_map_from_masks(instances.masks, priority=instances.scores)
    filled = image_rgb.copy()
    inside = numbers > 0
    filled[inside] = np.rint((1 - opacity) * image_rgb[inside] + opacity * colours[numbers[inside] - 1])
    return filled


def smooth_rings(instances: Instances, index: int) -> list[NDArray[np.float64]]:
    """Return the mask's rings, (K, 2) xy, as means of five successive unit steps, so that stairs become lines."""
    smooth = []
    for outline in trace_outlines(instances.masks, index):
        for ring in (outline.exterior_xy, *outline.holes_xy):
            steps = np.roll(ring, -1, axis=0) - ring
            lengths = np.abs(steps).sum(axis=1)
            starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
            along = (np.arange(lengths.sum()) - starts)[:, None]
            points = np.repeat(ring, lengths, axis=0) + along * np.repeat(np.sign(steps), lengths, axis=0)
            # A pixel's own ring has four points: a window of five would wrap onto itself.
            reach = 2 if len(points) > 8 else 0
            smooth.append(np.mean([np.roll(points, shift, axis=0) for shift in range(-reach, reach + 1)], axis=0))
    return smooth


def _subpixel(points_xy: NDArray[np.floating]) -> NDArray[np.int32]:
    # cv2 puts (0, 0) at the centre of the first pixel, the frame puts it at its corner.
    return np.asarray(np.rint((points_xy - 0.5) * 2**SUBPIXEL_BITS), np.int32)


def _draw_box(
    canvas: NDArray[np.uint8], box_xyxy: NDArray[np.float32], colour: Sequence[int], thickness_px: int
) -> None:
    height_px, width_px = canvas.shape[:2]
    # Half a pixel inside, so that a box along the image's border is seen.
    corners = np.clip(box_xyxy.astype(np.float64).reshape(2, 2), 0.5, (width_px - 0.5, height_px - 0.5))
    (x1, y1), (x2, y2) = _subpixel(corners).tolist()
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness_px, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_label(canvas: NDArray[np.uint8], box_xyxy: NDArray[np.float32], label: str, colour: Sequence[int]) -> None:
    height_px, width_px = canvas.shape[:2]
    scale = float(np.clip(min(height_px, width_px) / 1200, 0.38, 2.0))
    thickness_px = max(1, round(scale))
    (text_width, text_height), baseline = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness_px)
    x = int(np.clip(box_xyxy[0], 0, max(0, width_px - text_width - 2)))
    bottom = (
        int(box_xyxy[1]) if box_xyxy[1] >= text_height + baseline + 2 else int(box_xyxy[3]) + text_height + baseline
    )
    bottom = int(np.clip(bottom, text_height + baseline + 2, height_px - 1))
    cv2.rectangle(canvas, (x, bottom - text_height - baseline - 1), (x + text_width + 2, bottom), colour, cv2.FILLED)
    # Rec. 601 luma; below it white text is easier to read than black.
    ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 100 else (255, 255, 255)
    origin = (x + 1, bottom - baseline + 1)
    cv2.putText(canvas, label, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thickness_px, cv2.LINE_AA)
