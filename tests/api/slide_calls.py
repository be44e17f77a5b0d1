"""Drawn slides, and calls of `segment` on them."""

from __future__ import annotations

import json
from pathlib import Path

from nucleate.api.segment import SegmentSettings, segment
from nucleate.api.slides import WholeSlideSettings
from nucleate.inference import Segmentation
from nucleate.models.run_card import RunCard
from tests.slides.slide_files import draw_slide, write_pyramid

CARD = RunCard(name="ink", tile_px=128, score_threshold=0.2, working_diameter_px=20.0, working_mpp=0.5)


def slide_at(path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_pyramid(path, draw_slide(500, 420), **options)  # type: ignore[arg-type]


def run(*slides: Path, output: Path | None, settings: SegmentSettings | None = None, **options: object) -> Segmentation:
    whole = WholeSlideSettings(**options)  # type: ignore[arg-type]
    return segment(slides, output=output, settings=settings or SegmentSettings(overlap_px=48), slides=whole)


def states(result: Segmentation) -> list[tuple[str, str]]:
    return [(slide.name, slide.state) for slide in result.slides]


def geojson(path: Path, *boxes: tuple[float, float, float, float]) -> Path:
    features = [
        {
            "type": "Feature",
            "properties": {"name": f"box {index}"},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]]],
            },
        }
        for index, (x1, y1, x2, y2) in enumerate(boxes)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path
