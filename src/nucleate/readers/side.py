"""One side of an evaluation as a file or folder holds it: nuclei by image, not yet brought to the other side's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks, masks_from_polygons
from nucleate.errors import DataError

FileFormat = Literal["coco", "coco-results", "results-folder", "label-images", "geojson", "geoparquet"]
ONE_CLASS = "nucleus"
# A frame beyond this takes GBs as a label map: two GeoParquet files are scored without one.
LARGEST_FRAME_PX = 2**28
# AP compares every nucleus with every other one of an image, in 8 bytes a pair.
MOST_PAIRS = 250_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FramedImage:
    """The nuclei of an image in its frame.

    Attributes:
        instances: those that hold a pixel there; `class_indices` are all 0.
        class_names: one a nucleus.
        lost: nuclei without a pixel in the frame.
    """

    instances: Instances
    class_names: tuple[str, ...]
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SideImage:
    """The nuclei of one image, as masks or as polygons.

    Attributes:
        name: the image's path in the folder, or as the file names it, with or without a suffix.
        frame: None where the format says nothing of the image's size.
        masks: N masks; None where there are polygons.
        polygons: (N,) shapely geometries; empty where there are masks.
        class_names: one a nucleus.
        scores: (N,) in [0, 1], 1.0 where the file has none.
    """

    name: str
    frame: Frame | None
    masks: Masks | None
    class_names: tuple[str, ...]
    scores: NDArray[np.float32]
    polygons: NDArray[np.object_] = field(default_factory=lambda: np.zeros(0, np.object_))

    def __len__(self) -> int:
        return len(self.scores)

    def in_frame(self, frame: Frame, origin_xy: tuple[int, int] = (0, 0)) -> FramedImage:
        """Return the nuclei in a frame whose upper left corner lies at the origin.

        Raises:
            DataError: the image has another size.
        """
        if self.masks is not None:
            if self.masks.frame.shape != frame.shape:
                ours = self.masks.frame
                raise DataError(
                    f"{ours.width_px} x {ours.height_px} pixels, the other side has {frame.width_px} x "
                    f"{frame.height_px}: both sides must have the same pixels",
                    item=self.name,
                )
            masks = self.masks
        else:
            moved = shapely.transform(self.polygons, lambda xy: xy - np.array(origin_xy)) if any(origin_xy) else None
            masks = masks_from_polygons(self.polygons if moved is None else moved, frame)
        kept = masks.areas_px() > 0
        return FramedImage(
            instances=Instances.from_masks(masks.select(kept), scores=self.scores[kept]),
            class_names=tuple(name for name, is_kept in zip(self.class_names, kept, strict=True) if is_kept),
            lost=int(np.count_nonzero(~kept)),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """The images of a file or folder.

    Attributes:
        path: of it.
        format: what it is.
        images: in the order of their names, or of the file.
        names_images: False for one file of one image, which pairs with any single image.
        lists_all: False where images without nuclei are not listed, as in a results list.
        notes: what was left out while reading, one sentence each.
    """

    path: Path
    format: FileFormat
    images: tuple[SideImage, ...]
    names_images: bool = True
    lists_all: bool = True
    notes: tuple[str, ...] = ()


def frame_of_both(first: SideImage, second: SideImage, known: Frame | None = None) -> tuple[Frame, tuple[int, int]]:
    """Return the frame of an image and its origin: one that is known, else the bounds of both sides' polygons.

    Where there is no polygon either, it is one pixel.

    Args:
        first: one side.
        second: the other side.
        known: of the image itself.

    Raises:
        DataError: the bounds are too large for a label map, or the nuclei too many for AP.
    """
    if len(first) * len(second) > MOST_PAIRS:
        raise DataError(
            f"{len(first)} nuclei against {len(second)} are too many for AP: give both sides as one GeoParquet file "
            "each",
            item=first.name,
        )
    frame = known or first.frame or second.frame
    if frame is not None:
        return frame, (0, 0)
    polygons = np.concatenate([first.polygons, second.polygons])
    if not len(polygons):
        return Frame(height_px=1, width_px=1), (0, 0)
    bounds = shapely.total_bounds(polygons)
    left, top = np.floor(bounds[:2]).astype(np.int64).tolist()
    right, bottom = np.ceil(bounds[2:]).astype(np.int64).tolist()
    frame = Frame(height_px=max(bottom - top, 1), width_px=max(right - left, 1))
    if frame.height_px * frame.width_px > LARGEST_FRAME_PX:
        raise DataError(
            f"nuclei over {frame.width_px} x {frame.height_px} pixels are too many for a label map: give both sides "
            "as one GeoParquet file each",
            item=first.name,
        )
    return frame, (left, top)
