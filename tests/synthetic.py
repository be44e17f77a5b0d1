"""H&E-like drawings with known instances: tissue, textured nuclei, stain vectors; the same for a seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

HAEMATOXYLIN_OD = np.array([0.65, 0.70, 0.29]) / np.linalg.norm([0.65, 0.70, 0.29])
EOSIN_OD = np.array([0.07, 0.99, 0.11]) / np.linalg.norm([0.07, 0.99, 0.11])


@dataclass(frozen=True)
class Drawing:
    image_rgb: NDArray[np.uint8]
    label_map: NDArray[np.uint16]

    @property
    def nuclei(self) -> int:
        return len(np.unique(self.label_map)) - 1


def draw_he(
    *,
    seed: int = 0,
    height_px: int = 128,
    width_px: int = 160,
    nuclei: int = 12,
    diameter_px: tuple[float, float] = (12.0, 24.0),
    stain_od: tuple[NDArray[np.float64], NDArray[np.float64]] = (HAEMATOXYLIN_OD, EOSIN_OD),
) -> Drawing:
    """Draw eosin tissue with elliptic haematoxylin nuclei (ids 1..n; touching ones are cut by the earlier)."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height_px, width_px), np.uint16)
    rows, columns = np.mgrid[:height_px, :width_px] + 0.5
    drawn = tries = 0
    while drawn < nuclei and tries < 200 * nuclei + 200:
        tries += 1
        cx, cy = rng.uniform(0, width_px), rng.uniform(0, height_px)
        major = rng.uniform(*diameter_px) / 2
        minor, angle = major * rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
        u = (columns - cx) * np.cos(angle) + (rows - cy) * np.sin(angle)
        v = (rows - cy) * np.cos(angle) - (columns - cx) * np.sin(angle)
        ellipse = (u / major) ** 2 + (v / minor) ** 2 <= 1
        free = ellipse & (labels == 0)
        if free.sum() < 12 or free.sum() < 0.9 * ellipse.sum():
            continue
        drawn += 1
        labels[free] = drawn
    texture = ndimage.gaussian_filter(rng.normal(size=(height_px, width_px)), 2.0) * 4
    inside = ndimage.gaussian_filter((labels > 0).astype(float), 0.7)
    haematoxylin = inside * (1.1 + 0.25 * texture) + 0.03
    eosin = (0.35 + 0.15 * texture) * (1 - 0.6 * inside)
    od = np.clip(haematoxylin, 0, None)[..., None] * stain_od[0] + np.clip(eosin, 0, None)[..., None] * stain_od[1]
    image = 245 * np.exp(-od) + rng.normal(scale=2.0, size=(height_px, width_px, 3))
    return Drawing(np.clip(np.rint(image), 0, 255).astype(np.uint8), labels)


def write_nuinsseg(
    root: Path, organs: tuple[str, ...] = ("human liver", "mouse fat (white and brown)_subscapula"), images: int = 2
) -> dict[str, Drawing]:
    """Write NuInsSeg's layout; returns the drawings by image path relative to the root."""
    drawings = {}
    for organ_index, organ in enumerate(organs):
        for name in ("tissue images", "label masks modify", "mask binary"):
            (root / organ / name).mkdir(parents=True, exist_ok=True)
        for index in range(images):
            drawing = draw_he(seed=100 * organ_index + index)
            stem = f"{organ.replace(' ', '_')}_{index + 1:02d}"
            Image.fromarray(drawing.image_rgb).save(root / organ / "tissue images" / f"{stem}.png")
            tifffile.imwrite(root / organ / "label masks modify" / f"{stem}.tif", drawing.label_map)
            binary = (drawing.label_map > 0).astype(np.uint8) * 255
            Image.fromarray(binary).save(root / organ / "mask binary" / f"{stem}.png")
            drawings[f"{organ}/tissue images/{stem}.png"] = drawing
    return drawings


def write_label_folder(root: Path, count: int = 3, **drawing_options: object) -> dict[str, Drawing]:
    """Write images/*.png with labels/*.tif; returns the drawings by stem."""
    drawings = {}
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        drawing = draw_he(seed=index, **drawing_options)  # type: ignore[arg-type]
        stem = f"drawing_{index:02d}"
        Image.fromarray(drawing.image_rgb).save(root / "images" / f"{stem}.png")
        tifffile.imwrite(root / "labels" / f"{stem}.tif", drawing.label_map)
        drawings[stem] = drawing
    return drawings


def read_json(path: Path) -> dict[str, object]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
