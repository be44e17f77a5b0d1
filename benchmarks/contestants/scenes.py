"""The images that every contestant gets, with their annotated nuclei; a file of them passes between the processes.

Needs numpy alone: StarDist's interpreter may have nothing else of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenes:
    """K square images of one size.

    Attributes:
        images_rgb: (K, S, S, 3) uint8.
        label_maps: (K, S, S) int32, the annotated nuclei from 1; 0 is background.
        names: of the images.
        magnification: factor that brings the images to the star-convex model's working scale.
        origin: one line for people: where the images come from and how large their nuclei are.
    """

    images_rgb: NDArray[np.uint8]
    label_maps: NDArray[np.int32]
    names: tuple[str, ...]
    magnification: float
    origin: str

    def __len__(self) -> int:
        return len(self.names)

    @property
    def side_px(self) -> int:
        """Return the side of the images."""
        return int(self.images_rgb.shape[1])

    def annotated_nuclei(self) -> list[int]:
        """Return how many nuclei each image has."""
        return [len(np.unique(label_map[label_map > 0])) for label_map in self.label_maps]

    def boxes_xyxy(self, index: int) -> NDArray[np.float32]:
        """Return the (N, 4) boxes of one image's annotated nuclei."""
        label_map = self.label_maps[index]
        boxes = []
        for number in np.unique(label_map[label_map > 0]):
            rows, columns = np.nonzero(label_map == number)
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        return np.array(boxes, np.float32).reshape(-1, 4)

    def write(self, path: Path) -> None:
        """Write all as one npz file."""
        np.savez(
            path,
            images_rgb=self.images_rgb,
            label_maps=self.label_maps,
            names=np.array(self.names),
            magnification=np.float64(self.magnification),
            origin=np.array(self.origin),
        )

    @classmethod
    def read(cls, path: Path) -> Scenes:
        """Read what `write` wrote."""
        with np.load(path) as content:
            return cls(
                images_rgb=content["images_rgb"],
                label_maps=content["label_maps"],
                names=tuple(str(name) for name in content["names"]),
                magnification=float(content["magnification"]),
                origin=str(content["origin"]),
            )
