"""One image's annotated nuclei in the formats of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import roifile
from numpy.typing import NDArray

from nucleate.core import (
    Instances,
    Masks,
    OverlapRule,
    label_map_from_masks,
    overlap_priority,
    shared_px,
    trace_outlines,
)
from nucleate.files import write_image, write_path, write_text

Ring = NDArray[np.int64]
# ImageJ's integer corners have 16 bits.
MOST_CORNER_PX = 32_767


def write_labels(path: Path, instances: Instances, overlaps: OverlapRule = "score") -> int:
    """Write a TIFF of uint16 (uint32 over 65,535 nuclei) in which nucleus i has i + 1.

    Args:
        path: the file.
        instances: the nuclei.
        overlaps: whose a pixel of several nuclei is.

    Returns:
        number of pixels that more than one nucleus holds.

    Raises:
        DataError: there are such, and the rule is to refuse them.
    """
    priority = overlap_priority(instances.masks, instances.scores, overlaps)
    numbers = label_map_from_masks(instances.masks, priority=priority)
    kind: type[np.unsignedinteger[Any]] = np.uint16 if len(instances) <= np.iinfo(np.uint16).max else np.uint32
    write_image(path, numbers.astype(kind))
    return shared_px(instances.masks)


def write_binary_mask(path: Path, instances: Instances) -> int:
    """Write a PNG with 255 where any nucleus is; returns the number of shared pixels."""
    write_image(path, (label_map_from_masks(instances.masks) > 0).astype(np.uint8) * np.uint8(255))
    return shared_px(instances.masks)


def write_yolo(path: Path, instances: Instances) -> None:
    """Write YOLO's segmentation lines; holes and further parts are reached by lines of no width, there and back."""
    frame = instances.frame
    sides = np.array([frame.width_px, frame.height_px], np.float64)
    lines = []
    for index in np.flatnonzero(instances.masks.areas_px()).tolist():
        corners = bridged(_rings(instances.masks, index)) / sides
        numbers = " ".join(f"{share:.10g}" for share in corners.reshape(-1).tolist())
        lines.append(f"{int(instances.class_indices[index])} {numbers}\n")
    write_text(path, "".join(lines))


def write_rois(path: Path, instances: Instances, class_names: Sequence[str]) -> None:
    """Write a RoiSet.zip: traced regions, composites for holes and parts; the class is the group where several are."""
    regions, names = [], []
    for index in np.flatnonzero(instances.masks.areas_px()).tolist():
        region = _region(_rings(instances.masks, index))
        if len(class_names) > 1:
            region.group = int(instances.class_indices[index]) + 1
        regions.append(region)
        names.append(f"{index + 1:06d}")
    with write_path(path) as temporary:
        roifile.roiwrite(temporary, regions, name=names, mode="w")


def bridged(rings: Sequence[Ring]) -> Ring:
    """Return one ring that goes through all rings, from the first corner of the first to that of each and back."""
    first, *others = rings
    home = first[:1]
    walked = [first]
    for ring in others:
        walked += [home, ring, ring[:1]]
    return np.concatenate([*walked, home]) if others else first


def _rings(masks: Masks, index: int) -> list[Ring]:
    """Return all outlines of a mask, exteriors clockwise (as seen) and holes the other way round."""
    rings = []
    for outline in trace_outlines(masks, index):
        rings.append(_turned(outline.exterior_xy, clockwise=True))
        rings += [_turned(hole, clockwise=False) for hole in outline.holes_xy]
    return rings


def _turned(ring: Ring, *, clockwise: bool) -> Ring:
    following = np.roll(ring, -1, axis=0)
    doubled_area = int((ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum())
    return ring if (doubled_area > 0) == clockwise else ring[::-1]


def _region(rings: list[Ring]) -> roifile.ImagejRoi:
    corners = np.concatenate(rings)
    if len(rings) == 1:
        # Corners beyond 16 bits are stored in floats.
        region = roifile.ImagejRoi.frompoints(corners if corners.max() < MOST_CORNER_PX else corners.astype(np.float32))
        region.roitype = roifile.ROI_TYPE.TRACED
        return region
    path: list[float] = []
    for ring in rings:
        path += [0, *ring[0].tolist()]
        for corner in ring[1:].tolist():
            path += [1, *corner]
        path.append(4)
    left, top = np.minimum(corners.min(axis=0), MOST_CORNER_PX).tolist()
    right, bottom = np.minimum(corners.max(axis=0), MOST_CORNER_PX).tolist()
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )
