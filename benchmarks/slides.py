"""Whole slides: memory by size, time by tissue, and the whole run beside the bare network; see benchmarks/README.md."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.contestants.machine import this_machine
from benchmarks.drawn_pyramids import Pyramid, write_pyramid
from nucleate.export.figures import figure_png
from nucleate.files import write_bytes, write_json

_REPOSITORY = Path(__file__).resolve().parents[1]
# The tissue that all sizes share, so that only the size differs: a disc.
_SPARSE_MM2 = 4.0
app = App(name="slides", help=__doc__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run in a process of its own.

    Attributes:
        side_px: of the slide.
        tissue_mm2: drawn.
        tiles: segmented.
        nuclei: found.
        start_seconds: until the first tile: imports, model, thumbnail, plan.
        seconds: from the first tile to the table.
        network_seconds: of the bare network on the same tiles; None where it was not measured.
        peak_mib: largest resident memory.
    """

    side_px: int
    tissue_mm2: float
    tiles: int
    nuclei: int
    start_seconds: float
    seconds: float
    network_seconds: float | None
    peak_mib: float

    @property
    def ratio(self) -> float:
        """Return how many times longer the run takes than the bare network."""
        return self.seconds / (self.network_seconds or np.nan)


@app.command
def compare(
    *,
    memory_sides_px: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (10_240, 40_960, 98_304),
    tissue_shares: Annotated[tuple[float, ...], Parameter(consume_multiple=True)] = (0.05, 0.1, 0.2),
    time_side_px: int = 20_480,
    output: Path = Path("out/slides"),
) -> None:
    """Measure and write slides.json and slides.png.

    Args:
        memory_sides_px: sides of slides with the same tissue, for the memory; multiples of 4096.
        tissue_shares: of slides of one size, for the time.
        time_side_px: their side.
        output: folder.
    """
    with tempfile.TemporaryDirectory(prefix="slides-") as folder:
        memory = [
            _measure(Path(folder), Pyramid(side_px=side_px, tissue_share=_SPARSE_MM2 / (side_px * 0.25e-3) ** 2))
            for side_px in memory_sides_px
        ]
        times = [
            _measure(Path(folder), Pyramid(side_px=time_side_px, tissue_share=share), network=True)
            for share in tissue_shares
        ]
    machine = this_machine()
    document = {
        "machine": {"processor": machine.processor, "cores": machine.processors},
        "memory": [_as_dict(run) for run in memory],
        "time": [_as_dict(run) for run in times],
    }
    write_json(output / "slides.json", document, indent=1)
    write_bytes(output / "slides.png", _figure(memory, times))
    print(f"{machine.processor}, {machine.processors} cores")
    for run in (*memory, *times):
        beside = "" if run.network_seconds is None else f", {run.ratio:.2f} times the bare network"
        print(
            f"{run.side_px:,} px a side, {run.tissue_mm2:.1f} mm2, {run.tiles:,} tiles, {run.nuclei:,} nuclei: "
            f"start {run.start_seconds:.1f} s, {run.seconds:.1f} s{beside}, at most {run.peak_mib:,.0f} MiB"
        )


@app.command
def one(slide: Path, output: Path) -> None:
    """Segment one slide in this process and print what it took as JSON."""
    started = time.perf_counter()
    from nucleate.api.loading import load_model
    from nucleate.api.one_slide import run_slide
    from nucleate.api.segment import SegmentSettings, slide_request
    from nucleate.api.slides import WholeSlideSettings
    from nucleate.inference.whole_slide import SlideProgress

    model = load_model()
    request = slide_request(model, SegmentSettings(), WholeSlideSettings())
    first: list[float] = []
    tiles: list[int] = []

    def note(now: SlideProgress) -> None:
        first.append(time.perf_counter())
        tiles.append(now.tiles_in_all)

    result = run_slide(model, slide, slide.stem, output, request, progress=note)
    summary = {
        "nuclei": result.nuclei,
        "tiles": tiles[-1],
        "start_seconds": first[0] - started,
        "seconds": time.perf_counter() - first[0],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(summary))


@app.command
def network(slide: Path) -> None:
    """Run the bare network on a slide's tiles, read beforehand a few at a time, and print its seconds as JSON."""
    from nucleate.api.loading import load_model
    from nucleate.api.one_slide import prepare_slide
    from nucleate.api.segment import SegmentSettings, slide_request
    from nucleate.api.slides import WholeSlideSettings
    from nucleate.models.star_convex.segmenter import StarConvexSegmenter, padded
    from nucleate.slides import open_slide

    model = load_model()
    assert isinstance(model.segmenter, StarConvexSegmenter)
    seconds = 0.0
    with open_slide(slide) as reader:
        plan = prepare_slide(model, reader, slide_request(model, SegmentSettings(), WholeSlideSettings())).plan
        tiles = [tile for block in plan.blocks for tile in block.tiles]
        for index, tile in enumerate([tiles[0], *tiles]):
            pixels = padded(reader.read(tile.window_xyxy, downsample=1 / plan.magnification))[None]
            started = time.perf_counter()
            model.segmenter.engine.run(pixels)
            seconds += (time.perf_counter() - started) if index else 0.0
    print(json.dumps({"network_seconds": seconds}))


def _measure(folder: Path, pyramid: Pyramid, *, network: bool = False) -> Run:
    slide = write_pyramid(folder / f"{pyramid.side_px}-{pyramid.tissue_share:.3f}.tif", pyramid)
    run = _in_process("one", str(slide), str(folder / f"{slide.stem}.nucleate"))
    bare = _in_process("network", str(slide)) if network else {"network_seconds": None}
    slide.unlink()
    return Run(side_px=pyramid.side_px, tissue_mm2=pyramid.tissue_mm2, **run, **bare)


def _in_process(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.slides", *arguments]
    done = subprocess.run(command, cwd=_REPOSITORY, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _as_dict(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Run.__slots__}


def _figure(memory: list[Run], times: list[Run]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([run.side_px / 1000 for run in memory], [run.peak_mib for run in memory], "o-", color="#0072b2")
    left.set(xlabel="side of the slide, 1,000 px", ylabel="largest resident memory, MiB", ylim=(0, None))
    area = [run.tissue_mm2 for run in times]
    right.plot(area, [run.seconds for run in times], "o-", color="#0072b2", label="whole run")
    right.plot(area, [run.network_seconds for run in times], "s--", color="#d55e00", label="bare network")
    right.set(xlabel="tissue, mm²", ylabel="seconds", xlim=(0, None), ylim=(0, None))
    right.legend(frameon=False)
    return figure_png(figure)


if __name__ == "__main__":
    app()
