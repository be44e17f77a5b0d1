"""The regions that nuclei are asked for in, and how far around them a slide is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from nucleate.core import Frame, NucleiColumns
from nucleate.slides import Region, RegionIndex

_DISTANCE = "neighbour_distance_um"


class AskedRegions:
    """Regions of a slide, with a margin that is looked at too, so that neighbours just outside count.

    Args:
        regions: at least one, level-0 pixels.
        slide: level 0.
        margin_px: how far around them the slide is looked at.
    """

    def __init__(self, regions: Sequence[Region], slide: Frame, *, margin_px: float) -> None:
        self._asked = RegionIndex(regions)
        seen = self._asked.union.buffer(margin_px) if margin_px > 0 else self._asked.union
        self._seen = RegionIndex([Region(name="looked at", geometry=seen)])
        self._unseen = shapely.difference(shapely.box(0, 0, slide.width_px, slide.height_px), seen)

    def meets(self, windows_xyxy: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return (N,) whether each of N windows has to be looked at."""
        return self._seen.meets(windows_xyxy)

    def only(self, rows: Iterable[NucleiColumns], mpp: float | None) -> Iterator[NucleiColumns]:
        """Yield the nuclei whose centroid lies in the regions.

        A distance to the nearest neighbour is NaN where a nearer one may lie beyond what was looked at.

        Args:
            rows: with their neighbours measured, those outside included.
            mpp: um a level-0 pixel.
        """
        for row in rows:
            nuclei = row.select(self._asked.contains(row.centroids_xy))
            if mpp is None or self._unseen.is_empty or not len(nuclei):
                yield nuclei
                continue
            to_unseen_um = shapely.distance(shapely.points(nuclei.centroids_xy), self._unseen) * mpp
            measurements = nuclei.measurements.copy()
            distances = measurements[:, nuclei.measurement_names.index(_DISTANCE)]
            distances[distances > to_unseen_um] = np.nan
            yield replace(nuclei, measurements=measurements)
