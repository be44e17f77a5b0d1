"""A whole slide, drawn: pieces of tissue of several stains on glass, with what is found on slides beside tissue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tests.synthetic import EOSIN_OD, HAEMATOXYLIN_OD

Extra = Literal["pens", "label", "pink label", "shadow", "dust"]
Stain = Literal["pale eosin", "eosin", "both", "dense haematoxylin", "salmon"]

HEIGHT_PX, WIDTH_PX, MPP = 1200, 1800, 4.0
GLASS_RGB = (243, 242, 245)
# Haematoxylin and eosin, in units of optical density.
CONCENTRATIONS: dict[Stain, tuple[float, float]] = {
    "pale eosin": (0.02, 0.14),
    "eosin": (0.10, 0.70),
    "both": (0.55, 0.45),
    "dense haematoxylin": (1.70, 0.25),
    "salmon": (0.05, 0.30),
}
# Of eosin as some scanners show it: nearly as much blue absorbed as green.
SALMON_OD = np.array([0.10, 0.76, 0.64])
# Optical density of a stroke.
PENS: dict[str, tuple[float, float, float]] = {
    "blue": (2.1, 1.4, 0.35),
    "green": (2.2, 0.7, 1.3),
    "black": (1.7, 1.75, 1.65),
    "red": (0.15, 1.9, 1.7),
}


@dataclass(frozen=True)
class DrawnSlide:
    """The slide at 4 um a pixel; where tissue is, and where a pen covers whatever is there."""

    image_rgb: NDArray[np.uint8]
    tissue: NDArray[np.bool_]
    pen: NDArray[np.bool_]
    pens: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


def draw_whole_slide(
    stains: tuple[Stain, ...] = ("pale eosin", "eosin", "both", "dense haematoxylin"),
    extras: tuple[Extra, ...] = (),
    *,
    seed: int = 0,
    glass_rgb: tuple[int, int, int] = GLASS_RGB,
) -> DrawnSlide:
    """Draw a piece of each stain beside each other, and the extras around and over them."""
    rng = np.random.default_rng(seed)
    shape = (HEIGHT_PX, WIDTH_PX)
    od = np.zeros((*shape, 3), np.float32)
    tissue = np.zeros(shape, np.bool_)
    for index, stain in enumerate(stains):
        piece = _piece(rng, (560 + 300 * index, 520 + 140 * (index % 2)), 130)
        od += np.where(piece[:, :, None], _stain(rng, stain), 0)
        tissue |= piece
    if "shadow" in extras:
        _add_shadow(od)
    if "dust" in extras:
        _add_dust(rng, od)
    pens = _pens(rng) if "pens" in extras else {}
    for name, stroke in pens.items():
        streaks = 1 + 0.2 * _noise(rng, 12)
        od += np.where(stroke, np.clip(streaks, 0.5, 1.6), 0)[:, :, None] * np.array(PENS[name], np.float32)
    white = np.array(glass_rgb, np.float32) + _noise(rng, 400)[:, :, None]
    image = white * np.exp(-cv2.GaussianBlur(od, (0, 0), 0.8))
    if "label" in extras or "pink label" in extras:
        _paste_label(rng, image, (252, 205, 215) if "pink label" in extras else (250, 250, 246))
    image += 2.5 * rng.standard_normal(size=image.shape, dtype=np.float32)
    pen = np.logical_or.reduce([np.zeros(shape, np.bool_), *pens.values()])
    return DrawnSlide(np.clip(np.rint(image), 0, 255).astype(np.uint8), tissue, pen, pens)


def _noise(rng: np.random.Generator, grain_px: int) -> NDArray[np.float32]:
    """Return a field of mean 0 and deviation about 0.7 that varies over so many pixels."""
    coarse = rng.normal(size=(-(-HEIGHT_PX // grain_px) + 1, -(-WIDTH_PX // grain_px) + 1)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC), np.float32)


def _piece(rng: np.random.Generator, centre_xy: tuple[int, int], radius_px: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    distance = np.hypot(columns - centre_xy[0], (rows - centre_xy[1]) / 1.5)
    piece = _largest(distance + 12 * _noise(rng, 50) < radius_px)
    return np.asarray(ndimage.binary_fill_holes(piece), np.bool_)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask)
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]), np.bool_)


def _stain(rng: np.random.Generator, stain: Stain) -> NDArray[np.float32]:
    haematoxylin, eosin = CONCENTRATIONS[stain]
    cells, fibres = (np.clip(1 + 0.4 * _noise(rng, 4), 0.3, 2) for _ in range(2))
    second = SALMON_OD if stain == "salmon" else EOSIN_OD
    od = (haematoxylin * cells)[..., None] * HAEMATOXYLIN_OD + (eosin * fibres)[..., None] * second
    return np.asarray(od, np.float32)


def _pens(rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Return strokes a quarter of a millimetre wide and more; the green one crosses tissue."""
    strokes = {}
    lines = {
        "blue": ((420, 90), (1000, 160), 70),
        "green": ((1150, 80), (1180, 900), 60),
        "black": ((450, 1000), (1000, 1110), 100),
        "red": ((1250, 1100), (1750, 960), 90),
    }
    for name, (start, stop, width_px) in lines.items():
        drawn = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        middle = tuple(int(side) for side in np.add(start, stop) // 2 + rng.integers(-20, 20, 2))
        cv2.polylines(drawn, [np.array([start, middle, stop], np.int32)], False, 1, width_px)
        strokes[name] = drawn > 0
    return strokes


def _add_shadow(od: NDArray[np.float32]) -> None:
    """Add a cover slip's edge: a grey band that fades, with a warm and a cold fringe; and a shaded corner."""
    rows, columns = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    across = rows - 60 - columns * 0.01
    od += (0.5 * np.exp(-np.clip(across, 0, None) / 12) * (across >= 0))[:, :, None] * np.array([1.0, 0.98, 1.03])
    od[(across >= -3) & (across < 0)] += (0.02, 0.12, 0.2)
    od += (0.35 * np.clip((columns - 1600) / 200, 0, 1) * np.clip((300 - rows) / 300, 0, 1))[:, :, None] * np.array(
        [0.97, 1.0, 1.02]
    )


def _add_dust(rng: np.random.Generator, od: NDArray[np.float32]) -> None:
    drawn = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    for _ in range(60):
        x, y = int(rng.uniform(340, WIDTH_PX)), int(rng.uniform(0, HEIGHT_PX))
        cv2.circle(drawn, (x, y), int(rng.integers(2, 9)), 1, -1)
        end = (x + int(rng.normal(0, 40)), y + int(rng.normal(0, 40)))
        cv2.line(drawn, (x, y), end, 2, 2)
    od += np.where(drawn == 1, 1.2, 0)[:, :, None] * np.array([1.0, 1.02, 1.05])
    od += np.where(drawn == 2, 0.5, 0)[:, :, None] * np.array([1.2, 1.0, 0.8])


def _paste_label(rng: np.random.Generator, image: NDArray[np.float32], paper_rgb: tuple[int, int, int]) -> None:
    paper = np.full((HEIGHT_PX, 308, 3), paper_rgb, np.uint8)
    paper[:, 300:] = 120
    for line in range(5):
        text = f"H{rng.integers(1000, 9999)}"
        cv2.putText(paper, text, (20, 180 + 200 * line), cv2.FONT_HERSHEY_SIMPLEX, 2.6, (25, 25, 30), 9)
    image[:, :308] = paper
