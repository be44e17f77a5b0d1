"""What the star-convex network is fed, as nuclei again."""

from __future__ import annotations

import numpy as np

from nucleate.core import Frame, Instances
from nucleate.models.star_convex.polygons import StarPolygons
from nucleate.models.star_convex.rays import cell_centres_xy
from nucleate.training.star_convex.crops import Crop


def pictured(crop: Crop) -> Instances:
    """Return the outlines that a crop's deepest cells should answer, one for each nucleus."""
    rows, columns = np.nonzero(crop.labels > 0)
    frame = Frame(height_px=crop.image_rgb.shape[0], width_px=crop.image_rgb.shape[1])
    labels, depth = crop.labels[rows, columns], crop.depth[rows, columns]
    by_label = np.lexsort((-depth, labels))
    deepest = by_label[np.unique(labels[by_label], return_index=True)[1]]
    centres = cell_centres_xy(*crop.labels.shape)[rows[deepest], columns[deepest]]
    polygons = StarPolygons(centres_xy=centres.astype(np.float32), distances_px=crop.distances_px[deepest])
    return Instances.from_masks(polygons.draw(frame)).without_empty_masks()
