"""Which pixels of a slide's thumbnail are stained with haematoxylin and eosin, and which with ink."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

# Glass is what is brighter than this, in all colours, and as grey as this; where there is none, 245 stands for it.
_GLASS_LEAST = 200
_GLASS_MOST_CHROMA = 25
_GLASS_LEAST_SHARE = 0.01
_GLASS_ELSE = 245.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueSettings:
    """What counts as tissue.

    Attributes:
        thumbnail_mpp: um a pixel of the thumbnail: a hundred nuclei are one pixel to ten, strokes of a pen a hundred.
        assumed_mpp: of a slide that states none; it decides the thumbnail's size and what the lengths below mean.
        most_side_px: of the thumbnail; larger slides get a coarser one.
        least_side_px: of the thumbnail; small slides get a finer one, down to their own pixels.
        least_chroma_od: how much more green light than red or blue is absorbed where stain is; pale eosin has 0.08,
            glass and shadow vary by 0.02.
        least_chroma_share: the same as a share of the green absorbed; shadow and dust are grey.
        most_red_share: red absorbed as a share of green; haematoxylin reaches 0.95, blue and green ink lie above.
        most_blue_share: blue absorbed as a share of green; blood reaches 0.9, yellow paper lies above.
        least_brightness: of the brightest colour; what is darker is black (no scan, the slide's holder), not stain.
        closing_um: gaps up to twice this far across are tissue.
        least_area_um2: smaller pieces are dust.
        most_hole_um2: smaller holes are tissue.
        paper_fill: a piece that fills this share of its upright or turned box is a rectangle.
        paper_spread: and is paper where the quartiles of its colour's strength differ by less than this share.
        ink_most_red: ink absorbs red more than this times green (blue, green, violet),
        ink_red_blue: or blue more than this times green and nearly no red (red ink), both strongly.
        ink_least_od: what strongly means; stain on a thumbnail is rarely as dark.
        ink_least_um: strokes are at least this wide; red cells are that colour too, but lie in thinner lines.
        ink_edge_um: how far the paler edge of a stroke reaches.
    """

    thumbnail_mpp: float = 8.0
    assumed_mpp: float = 0.25
    most_side_px: int = 4096
    least_side_px: int = 768
    least_chroma_od: float = 0.035
    least_chroma_share: float = 0.17
    most_red_share: float = 1.1
    most_blue_share: float = 1.0
    least_brightness: int = 32
    closing_um: float = 16.0
    least_area_um2: float = 10_000.0
    most_hole_um2: float = 10_000.0
    paper_fill: float = 0.9
    paper_spread: float = 0.12
    ink_most_red: float = 1.15
    ink_red_blue: float = 0.82
    ink_least_od: float = 0.9
    ink_least_um: float = 100.0
    ink_edge_um: float = 40.0


DEFAULT_SETTINGS = TissueSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stained:
    """What a thumbnail shows.

    Attributes:
        tissue: (H, W).
        ink: (H, W), of felt pens in blue, green and red; black ink is grey and found to be no tissue by that.
    """

    tissue: Mask
    ink: Mask


def find_stained(
    thumbnail_rgb: NDArray[np.uint8], um_per_px: float, *, settings: TissueSettings = DEFAULT_SETTINGS
) -> Stained:
    """Return where a thumbnail shows tissue, and where ink.

    Haematoxylin and eosin absorb green most; grey (shadow, dust, black ink) absorbs all colours alike, other inks and
    paper another colour most. So the excess of green over the lesser of red and blue decides, in optical density.

    Args:
        thumbnail_rgb: (H, W, 3).
        um_per_px: its scale.
        settings: what counts.
    """
    od = _optical_density(thumbnail_rgb)
    ink = _ink(od, um_per_px, settings)
    red, green, blue = od[:, :, 0], od[:, :, 1], od[:, :, 2]
    chroma = green - np.minimum(red, blue)
    stained = (chroma > settings.least_chroma_od) & (chroma > settings.least_chroma_share * green)
    stained &= (red < settings.most_red_share * green) & (blue < settings.most_blue_share * green) & ~ink
    stained &= thumbnail_rgb.max(axis=2) >= settings.least_brightness
    # Refracted light makes coloured fringes, a pixel or two wide, along the edge of the cover slip.
    opened = _morphed(stained, cv2.MORPH_OPEN, 1)
    closed = _morphed(opened, cv2.MORPH_CLOSE, max(1, round(settings.closing_um / um_per_px)))
    filled = ~_without_small(~closed, settings.most_hole_um2 / um_per_px**2)
    pieces = _without_small(filled & ~ink, settings.least_area_um2 / um_per_px**2)
    return Stained(tissue=_without_paper(pieces, chroma, settings), ink=ink)


def _optical_density(thumbnail_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (H, W, 3) optical densities above glass, at least 0, smoothed over a pixel."""
    smooth = cv2.GaussianBlur(thumbnail_rgb, (0, 0), 1.0)
    darkest, brightest = smooth.min(axis=2), smooth.max(axis=2)
    glass = (darkest >= _GLASS_LEAST) & (brightest - darkest <= _GLASS_MOST_CHROMA)
    white = np.full(3, _GLASS_ELSE)
    if glass.mean() >= _GLASS_LEAST_SHARE:
        white = np.median(smooth[glass], axis=0)
    density = np.log(white / np.maximum(smooth.astype(np.float32), 1))
    return np.asarray(np.maximum(density, 0), np.float32)


def _ink(od: NDArray[np.float32], um_per_px: float, settings: TissueSettings) -> Mask:
    red, green, blue = od[:, :, 0], od[:, :, 1], od[:, :, 2]
    is_cool = (red > settings.ink_most_red * green) & (red > settings.ink_least_od)
    is_red = (blue > settings.ink_red_blue * green) & (red < 0.4 * green) & (green > settings.ink_least_od)
    width_px = max(1, round(settings.ink_least_um / 2 / um_per_px))
    core = _morphed(is_cool | is_red, cv2.MORPH_OPEN, width_px)
    # A stroke's edge is ink over glass, of the same hue but pale; stain beside it is of another.
    pale = (red > green) | ((blue > 0.9 * settings.ink_red_blue * green) & (red < 0.45 * green))
    near = _morphed(core, cv2.MORPH_DILATE, max(1, round(settings.ink_edge_um / um_per_px)))
    return np.asarray(core | (near & pale & (od.max(axis=2) > settings.least_chroma_od)), np.bool_)


def _morphed(mask: Mask, operation: int, radius_px: int) -> Mask:
    """Return a mask opened, closed or dilated by a disc; beyond the border it goes on as it ends."""
    side = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    padded = cv2.copyMakeBorder(mask.view(np.uint8), *(side,) * 4, borderType=cv2.BORDER_REPLICATE)
    morphed = cv2.morphologyEx(padded, operation, disc)
    return np.asarray(morphed[side:-side, side:-side], np.bool_)


def _without_small(mask: Mask, least_px: float) -> Mask:
    """Return a mask without its pieces (touching by sides) of less than an area."""
    labels, _ = ndimage.label(mask)
    areas = np.bincount(labels.ravel())
    kept = areas >= least_px
    kept[0] = False
    return np.asarray(kept[labels], np.bool_)


def _without_paper(mask: Mask, chroma: NDArray[np.float32], settings: TissueSettings) -> Mask:
    """Return a mask without rectangles of one even colour; one that fills the whole thumbnail is tissue."""
    labels, count = ndimage.label(mask)
    kept = mask.copy()
    for index, place in enumerate(ndimage.find_objects(labels, count), start=1):
        piece = labels[place] == index
        area_px = int(piece.sum())
        if area_px > 0.9 * mask.size:
            continue
        rows, columns = np.nonzero(piece)
        _, sides, _ = cv2.minAreaRect(np.column_stack([columns, rows]).astype(np.float32))
        if area_px < settings.paper_fill * (sides[0] + 1) * (sides[1] + 1):
            continue
        lower, middle, upper = np.percentile(chroma[place][piece], (25, 50, 75))
        if upper - lower < settings.paper_spread * middle:
            kept[place][piece] = False
    return kept
