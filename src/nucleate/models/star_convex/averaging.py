"""The network's answers averaged over flips and quarter turns: slower, and steadier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.models.star_convex.decoding import DenseMaps
from nucleate.models.star_convex.segmenter import DenseEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedEngine:
    """Runs another engine on an image's eight flips and turns and averages what it says of each pixel.

    Attributes:
        engine: the one that is asked eight times; its number of rays is a multiple of 4.
    """

    engine: DenseEngine

    @property
    def fingerprint(self) -> str:
        """Return a short text that differs where the weights do."""
        return f"{self.engine.fingerprint} x8"

    def run(self, images_rgb: NDArray[np.uint8]) -> list[DenseMaps]:
        """Return the maps of (N, H, W, 3) images whose sides are multiples of 32."""
        return [self._averaged(image_rgb) for image_rgb in images_rgb]

    def _averaged(self, image_rgb: NDArray[np.uint8]) -> DenseMaps:
        views = [(view, self.engine.run(np.ascontiguousarray(view.of(image_rgb))[None])[0]) for view in _VIEWS]

        def mean(of: Callable[[_View, DenseMaps], NDArray[np.float32]]) -> NDArray[np.float32]:
            total = np.zeros(of(*views[0]).shape, np.float32)
            for view, maps in views:
                total += of(view, maps)
            return total / np.float32(len(views))

        return DenseMaps(
            depth=mean(lambda view, maps: view.back(maps.depth)),
            inside=mean(lambda view, maps: view.back(maps.inside)),
            quality=mean(lambda view, maps: view.back(maps.quality)),
            log_distances=np.log(mean(lambda view, maps: view.rays_back(np.exp(maps.log_distances)))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """An image mirrored left to right or not, then turned by quarters against the clock."""

    mirrored: bool
    quarters: int

    def of(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        flipped = pixels[:, ::-1] if self.mirrored else pixels
        return np.rot90(flipped, self.quarters)

    def back(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        turned = np.rot90(cells, -self.quarters)
        return turned[:, ::-1] if self.mirrored else turned

    def rays_back(self, distances_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (R, h, w) distances of the view as distances of the image: a turn moves every ray to another."""
        rays = len(distances_px)
        there = np.arange(rays)
        if self.mirrored:
            # The ray at angle a shows at pi - a.
            there = rays // 2 - there
        # Angles grow towards y, which points down: a turn against the clock takes a quarter off.
        there = (there - self.quarters * rays // 4) % rays
        return np.stack([self.back(distances_px[index]) for index in there])


_VIEWS = tuple(_View(mirrored=mirrored, quarters=quarters) for mirrored in (False, True) for quarters in range(4))
