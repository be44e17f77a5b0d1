"""A run of the fake model on a drawn slide, as a process of its own that tests kill."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nucleate.inference import TilingSettings
from nucleate.inference.whole_slide import SlideFolder, segment_slide
from tests.inference.fake_segmenter import InkSegmenter, draw_grid
from tests.inference.whole_slide.drawn import ArraySlide, plan_of, run_of

TILING = TilingSettings(tile_px=512, overlap_px=64)


def main() -> None:
    folder, side_px = Path(sys.argv[1]), int(sys.argv[2])
    slide = ArraySlide(draw_grid(side_px, side_px, pitch_px=60, radius=14))
    plan = plan_of(slide, tiling=TILING)
    results = SlideFolder(folder, {"side_px": side_px})
    with (folder / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps({"tiles": sum(b.tiles for b in results.finished_blocks.values())}) + "\n")
    print("ready", flush=True)
    segment_slide(InkSegmenter(), slide, results, run_of(plan, tiling=TILING))
    results.finish()


if __name__ == "__main__":
    main()
