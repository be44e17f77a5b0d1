"""Make the pictures of docs/whole-slides.md from the CC0 sample slide."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import shapely
from PIL import Image

import nucleate
from nucleate.api import WholeSlideSettings
from nucleate.assets.sample_slide import find_sample_slide
from nucleate.export import read_nuclei
from nucleate.slides import open_slide

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
REGION_XYXY = (960, 620, 1560, 1220)
OUTLINE_RGB = (110, 255, 140)
FACTOR = 1.5


def main() -> None:
    """Segment the sample slide and write both pictures."""
    slide = find_sample_slide()
    with tempfile.TemporaryDirectory() as folder:
        whole = WholeSlideSettings(as_="slide")
        (result,) = nucleate.segment(slide, output=Path(folder), slides=whole).slides
        density = Image.open(result.folder / "density.png").convert("RGB")
        outlines = [
            o
            for nuclei in read_nuclei(result.folder / "nuclei.parquet", window_xyxy=REGION_XYXY)
            for o in nuclei.outlines()
        ]
    density.save(IMAGES / "slide-density.jpg", quality=88)
    with open_slide(slide) as reader:
        pixels = reader.read(REGION_XYXY)
    picture = np.ascontiguousarray(cv2.resize(pixels, None, fx=FACTOR, fy=FACTOR, interpolation=cv2.INTER_CUBIC))
    for outline in outlines:
        for part in shapely.get_parts(outline):
            points = (shapely.get_coordinates(part.exterior) - REGION_XYXY[:2]) * FACTOR
            cv2.polylines(
                picture, [np.rint(points).astype(np.int32)], isClosed=True, color=OUTLINE_RGB, lineType=cv2.LINE_AA
            )
    Image.fromarray(picture).save(IMAGES / "slide-outlines.jpg", quality=88)


if __name__ == "__main__":
    main()
