"""A run of the fake model on a slide, as a process of its own that tests kill."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nucleate.core import ImageScale
from nucleate.export import NucleiTableInfo
from nucleate.inference import TilingSettings
from nucleate.inference.whole_slide import MemoryBound, SlideFolder, SlideRun, WorkSettings, plan_slide, segment_slide
from nucleate.measurement import StainSettings
from nucleate.slides import find_tissue, open_slide
from tests.inference.fake_segmenter import InkSegmenter

TILING = TilingSettings(tile_px=512, overlap_px=64)


def main() -> None:
    path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    results = SlideFolder(folder, {"slide": path.name})
    with (folder / "calls.jsonl").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps({"blocks": len(results.finished_blocks)}) + "\n")
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        plan = plan_slide(slide.info.frame, TILING, magnification=1.0, holds_tissue=tissue.meets)
        run = SlideRun(
            plan=plan,
            scale=ImageScale(magnification=1.0, known_by="magnification"),
            work=WorkSettings(
                score_threshold=0.2,
                stain=None,
                batch_tiles=4,
                tiles_in_flight=4,
                stain_measurement=StainSettings(),
            ),
            tiling=TILING,
            memory=MemoryBound(64.0),
            info=NucleiTableInfo(
                slide=path.name,
                frame=plan.frame,
                mpp_known_by="file",
                class_names=("nucleus",),
                model="ink",
                measurement_names=(),
            ),
        )
        print("ready", flush=True)
        segment_slide(InkSegmenter(), slide, results, run)
    results.finish()


if __name__ == "__main__":
    main()
