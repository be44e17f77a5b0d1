"""Which pixels a nucleus gets: its outline says about where, the network's probability of each pixel exactly where.

Rays tell nuclei apart, but each carries its own error; whether a pixel lies in any nucleus is the easier question,
and the network answers it better. Both are weighed, and a pixel that several nuclei reach goes to the one whose
outline it lies deepest in, as a share of the way out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks
from nucleate.errors import ConfigError
from nucleate.models.star_convex.polygons import StarPolygons
from nucleate.models.star_convex.rays import GRID_PX

_SUREST = 0.05
"""Probabilities nearer to 0 or 1 than this count as this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillingSettings:
    """How outlines and pixels are weighed.

    Attributes:
        reach: pixels further out than this many times the outline are never a nucleus'; 1 keeps to the outline.
        firmness: log-odds that a pixel of the centre gains over one of the outline; more trusts the outlines more.
        bias: log-odds added everywhere; more makes nuclei larger.
    """

    reach: float = 1.4
    firmness: float = 6.0
    bias: float = 0.3

    def __post_init__(self) -> None:
        if not 1 <= self.reach <= 3:
            raise ConfigError(f"reach {self.reach}: 1 to 3")
        if self.firmness < 0:
            raise ConfigError(f"firmness {self.firmness}: 0 or more")


def fill(
    polygons: StarPolygons, inside: NDArray[np.float32], seen: Frame, drawn_in: Frame, settings: FillingSettings
) -> Masks:
    """Return the nuclei's pixels; no two nuclei share one, and each nucleus is in one piece.

    Args:
        polygons: in the frame that is drawn in.
        inside: (h, w) probability of lying in a nucleus, a cell of the network's output each.
        seen: the frame that the network saw; cells beyond it are padding.
        drawn_in: the frame of the answer, which shows the same at its own size.
        settings: of the weighing.
    """
    near = polygons.pixels_near(drawn_in, settings.reach)
    close = near.radii <= settings.reach
    rows, columns, radii = near.rows[close], near.columns[close], near.radii[close]
    pixels = rows * drawn_in.width_px + columns
    nearest = np.full(drawn_in.height_px * drawn_in.width_px, np.inf, np.float32)
    np.minimum.at(nearest, pixels, radii)
    evidence = _log_odds(inside, seen, drawn_in).reshape(-1)[pixels] + settings.bias + settings.firmness * (1 - radii)
    taken = (evidence > 0) & (radii <= nearest[pixels])
    bits = np.zeros(len(near.owners), np.bool_)
    bits[close] = taken
    masks = Masks(frame=drawn_in, windows_xyxy=near.windows_xyxy, bits=bits)
    return _in_one_piece(masks)


def _log_odds(inside: NDArray[np.float32], seen: Frame, drawn_in: Frame) -> NDArray[np.float32]:
    """Return (H, W) of the frame that is drawn in, interpolated linearly between the cells' centres."""
    shares = np.clip(inside, _SUREST, 1 - _SUREST)
    log_odds = np.log(shares / (1 - shares))
    to_cells = np.array(
        [seen.width_px / drawn_in.width_px / GRID_PX, seen.height_px / drawn_in.height_px / GRID_PX], np.float64
    )
    # OpenCV counts from the first pixel's and the first cell's centre.
    matrix = np.array([[to_cells[0], 0, 0.5 * to_cells[0] - 0.5], [0, to_cells[1], 0.5 * to_cells[1] - 0.5]])
    size_wh = (drawn_in.width_px, drawn_in.height_px)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(log_odds, matrix, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _in_one_piece(masks: Masks) -> Masks:
    """Return the masks with the largest of their 4-connected pieces alone."""
    bits = masks.bits.copy()
    for index, bitmap in enumerate(masks):
        count, pieces, statistics, _ = cv2.connectedComponentsWithStats(bitmap.astype(np.uint8), connectivity=4)
        if count > 2:
            largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
            bits[masks.offsets[index] : masks.offsets[index + 1]] = (pieces == largest).reshape(-1)
    return Masks(frame=masks.frame, windows_xyxy=masks.windows_xyxy, bits=bits)
