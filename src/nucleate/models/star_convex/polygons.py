"""Star-convex polygons: drawn by pixel centres, compared by the pixels they share, seen from another centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from nucleate.core import Frame, Masks
from nucleate.models.star_convex.rays import ray_directions

_FLAT = 1e-6
_CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelsNear:
    """The K pixels of the windows around N polygons, one window after the other, row by row.

    Attributes:
        windows_xyxy: (N, 4) int32, half-open.
        owners: (K,) int64, whose window.
        rows: (K,) int64 of the frame.
        columns: (K,) int64 of the frame.
        radii: (K,) float32, distance from the centre over that of the outline in the same direction.
    """

    windows_xyxy: NDArray[np.int32]
    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    radii: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StarPolygons:
    """N polygons, each a centre and the distances to its corners along evenly spread rays.

    Attributes:
        centres_xy: (N, 2) float32, pixels.
        distances_px: (N, R) float32, positive, along `ray_directions(R)`.
    """

    centres_xy: NDArray[np.float32]
    distances_px: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.centres_xy)

    def select(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> StarPolygons:
        """Return the polygons at the given indices, or where a boolean is true."""
        return StarPolygons(centres_xy=self.centres_xy[indices], distances_px=self.distances_px[indices])

    def scaled(self, factor: float) -> StarPolygons:
        """Return the polygons in pixels that are `factor` times as many a side."""
        return StarPolygons(
            centres_xy=self.centres_xy * np.float32(factor), distances_px=self.distances_px * np.float32(factor)
        )

    def between(self, frame: Frame, other: Frame) -> StarPolygons:
        """Return the polygons of one frame in another that shows the same at another size.

        Where rounding made the sides' factors differ by a trifle, distances take the mean of both.
        """
        factors = np.array([other.width_px / frame.width_px, other.height_px / frame.height_px], np.float32)
        return StarPolygons(
            centres_xy=self.centres_xy * factors, distances_px=self.distances_px * np.sqrt(factors.prod())
        )

    def corners(self) -> NDArray[np.float32]:
        """Return (N, R, 2) x, y relative to the centres."""
        directions = ray_directions(self.distances_px.shape[1]).astype(np.float32)
        return np.asarray(self.distances_px[:, :, None] * directions, np.float32)

    def draw(self, frame: Frame) -> Masks:
        """Return the pixels whose centre lies inside; a polygon between the centres has none."""
        near = self.pixels_near(frame)
        return Masks(frame=frame, windows_xyxy=near.windows_xyxy, bits=near.radii <= 1)

    def pixels_near(self, frame: Frame, reach: float = 1.0) -> PixelsNear:
        """Return the pixels of a frame around each polygon, and how far out each lies.

        Args:
            frame: a polygon's pixels beyond it are left out.
            reach: the polygons grown by this factor lie in the windows that are returned.
        """
        corners = self.corners()
        sides = np.array([frame.width_px, frame.height_px])
        # The first and the last pixel centre that can lie inside.
        low = np.floor(self.centres_xy + reach * corners.min(axis=1, initial=0) + 0.5).astype(np.int64)
        high = np.floor(self.centres_xy + reach * corners.max(axis=1, initial=0) + 0.5).astype(np.int64)
        low, high = np.clip(low, 0, sides), np.clip(high, 0, sides)
        high = np.maximum(high, low)
        owner, rows, columns = _pixels_of_windows(*(high - low).T)
        columns, rows = columns + low[owner, 0], rows + low[owner, 1]
        x = (columns + 0.5 - self.centres_xy[owner, 0]).astype(np.float32)
        y = (rows + 0.5 - self.centres_xy[owner, 1]).astype(np.float32)
        return PixelsNear(
            windows_xyxy=np.concatenate([low, high], axis=1).astype(np.int32),
            owners=owner,
            rows=rows,
            columns=columns,
            radii=_relative_radii(corners, owner, x, y),
        )

    def seen_from(self, centres_xy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (N, R) distances from other centres, one a polygon, to the far side of its outline.

        NaN where a ray meets no outline, since the centre lies outside of the polygon.
        """
        rays = self.distances_px.shape[1]
        directions = ray_directions(rays).astype(np.float32)
        answer = np.empty((len(self), rays), np.float32)
        corners = self.corners() + (self.centres_xy - centres_xy)[:, None, :]
        ray_x, ray_y = directions[None, None, :, 0], directions[None, None, :, 1]
        for start in range(0, len(self), _CHUNK):
            part = slice(start, start + _CHUNK)
            edges = np.roll(corners[part], -1, axis=1) - corners[part]
            x, y = corners[part][:, :, None, 0], corners[part][:, :, None, 1]
            edge_x, edge_y = edges[:, :, None, 0], edges[:, :, None, 1]
            # The ray t u meets the edge a + s e where t = (a x e) / (u x e) and s = (a x u) / (u x e).
            across = ray_x * edge_y - ray_y * edge_x
            across = np.where(np.abs(across) < _FLAT, np.float32(np.nan), across)
            far = (x * edge_y - y * edge_x) / across
            along = (x * ray_y - y * ray_x) / across
            met = (along >= -_FLAT) & (along <= 1 + _FLAT) & (far > 0)
            farthest = np.where(met, far, -1).max(axis=1)
            answer[part] = np.where(farthest > 0, farthest, np.nan)
        return answer


def shared_pixels(masks: Masks) -> csr_array:
    """Return the (N, N) sparse matrix of how many pixels each two masks share; on the diagonal their areas."""
    widths = (masks.windows_xyxy[:, 2] - masks.windows_xyxy[:, 0]).astype(np.int64)
    heights = (masks.windows_xyxy[:, 3] - masks.windows_xyxy[:, 1]).astype(np.int64)
    owner, rows, columns = _pixels_of_windows(widths, heights)
    owner, rows, columns = owner[masks.bits], rows[masks.bits], columns[masks.bits]
    pixels = (masks.windows_xyxy[owner, 1] + rows) * masks.frame.width_px + masks.windows_xyxy[owner, 0] + columns
    # Only pixels that occur need a column.
    _, position = np.unique(pixels, return_inverse=True)
    count = int(position.max(initial=-1)) + 1
    drawn = csr_array((np.ones(len(owner), np.int32), (owner, position)), shape=(len(masks), count))
    return csr_array(drawn @ drawn.T)


def _pixels_of_windows(
    widths: NDArray[np.int64], heights: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for all pixels of all windows, row by row: which window, which row in it, which column."""
    areas = widths * heights
    owner = np.repeat(np.arange(len(areas)), areas)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(areas) - areas, areas)
    rows, columns = np.divmod(within, np.maximum(widths, 1)[owner])
    return owner, rows, columns


def _relative_radii(
    corners: NDArray[np.float32], owner: NDArray[np.int64], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how far out points lie, relative to their polygon's centre: 0 there, 1 on the edge that they face."""
    rays = corners.shape[1]
    sector = np.floor(np.arctan2(y, x) * np.float32(rays / (2 * np.pi))).astype(np.int64) % rays
    edges = np.roll(corners, -1, axis=1) - corners
    # The ray from the centre through p meets the edge a + s e at p / r where r = (p x e) / (a x e).
    edge_areas = corners[:, :, 0] * edges[:, :, 1] - corners[:, :, 1] * edges[:, :, 0]
    slopes = edges / np.maximum(edge_areas, np.float32(_FLAT))[:, :, None]
    slope = slopes.reshape(-1, 2)[owner * rays + sector]
    return np.asarray(x * slope[:, 1] - y * slope[:, 0], np.float32)
