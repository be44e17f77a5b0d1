"""Memory where it grows with a slide's width: seams of a dense slide, and the label image of a sparse one.

    python -m benchmarks.wide_slides seams
    python -m benchmarks.wide_slides labels

`seams` settles the seams of rows of blocks that are full of nuclei from side to side and writes their table, as
`segment` does at its end; what the tiles found is drawn, not segmented. `labels` exports the label image of a square
slide with 4 mm2 of nuclei. See benchmarks/README.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import shapely
from cyclopts import App
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.exports import MEASUREMENTS
from nucleate.core import Frame, Instances, Masks, NucleiColumns
from nucleate.export import NucleiTableInfo, NucleiTableWriter
from nucleate.export.slide import SlideTable, write_slide_labels
from nucleate.inference import TilingSettings
from nucleate.inference.whole_slide import Block, SlidePlan, SlideTile, plan_slide
from nucleate.inference.whole_slide.assembly import NeighbourSettings, numbered, settled_rows, with_neighbours
from nucleate.inference.whole_slide.found import FoundNuclei, report_tile
from nucleate.inference.whole_slide.work import reported_columns
from nucleate.measurement import NUCLEUS_COLUMNS

_MPP = 0.25
_TILING = TilingSettings(tile_px=1024, overlap_px=256)
_STEP_PX = 768
_NUCLEUS_PX = 20
app = App(name="wide_slides", help=__doc__)


@app.command
def seams(*, width_px: int = 98_560, block_rows: int = 3, nuclei_a_mm2: int = 5_000) -> None:
    """Settle rows of blocks that are full of nuclei.

    Args:
        width_px: of the slide, a multiple of 768 and 256 more, so that all tiles are alike.
        block_rows: how many; memory is that of one and what waits for the next.
        nuclei_a_mm2: dense tissue has 5,000.
    """
    frame = Frame(height_px=_STEP_PX * 4 * block_rows + 256, width_px=width_px, mpp=_MPP)
    plan = plan_slide(frame, _TILING, magnification=1.0, holds_tissue=lambda windows: np.ones(len(windows), np.bool_))
    drawn = _draw_period(round(nuclei_a_mm2 * (_STEP_PX * _MPP / 1000) ** 2))
    reports: list[int] = []

    def read(block: Block) -> FoundNuclei:
        found = FoundNuclei.concatenate([_found(tile, plan, drawn) for tile in block.tiles])
        reports.append(len(found))
        return found

    _found(plan.blocks[0].tiles[0], plan, drawn)
    before_mib, started, nuclei = _peak_mib(), time.process_time(), 0
    with tempfile.TemporaryDirectory(prefix="seams-") as folder:
        table = Path(folder) / "nuclei.parquet"
        with NucleiTableWriter(table, _info(frame)) as writer:
            for row in numbered(with_neighbours(settled_rows(plan, read, 0.5), _MPP, NeighbourSettings())):
                writer.write(row)
                nuclei += len(row)
                del row
        print(
            f"{width_px:,} px wide, {len(plan.rows())} rows of {len(plan.rows()[0])} blocks, {plan.tiles:,} tiles, "
            f"{sum(reports):,} reports, {nuclei:,} nuclei: {_peak_mib() - before_mib:,.0f} MiB above the "
            f"{before_mib:,.0f} MiB before, {time.process_time() - started:.0f} s of processor time"
        )


@app.command
def labels(*, side_px: int = 98_304, tissue_mm2: float = 4.0, nuclei_a_mm2: int = 3_400) -> None:
    """Export the label image of a slide with little tissue.

    Args:
        side_px: of the slide.
        tissue_mm2: of a square in its middle.
        nuclei_a_mm2: in the tissue.
    """
    frame = Frame(height_px=side_px, width_px=side_px, mpp=_MPP)
    tissue_px = tissue_mm2**0.5 * 1000 / _MPP
    count = round((tissue_mm2 * nuclei_a_mm2) ** 0.5)
    places = (side_px - tissue_px) / 2 + np.arange(count) * tissue_px / count
    with tempfile.TemporaryDirectory(prefix="labels-") as folder:
        table, path = Path(folder) / "nuclei.parquet", Path(folder) / "labels.ome.tif"
        with NucleiTableWriter(table, _info(frame)) as writer:
            for row, y in enumerate(places.tolist()):
                writer.write(_discs(np.stack([places, np.full(count, y)], axis=1).round(), 1 + row * count))
        before_mib, started = _peak_mib(), time.process_time()
        write_slide_labels(path, SlideTable.open(table))
        seconds = time.process_time() - started
        print(
            f"{side_px:,} px a side, {count**2:,} nuclei: {path.stat().st_size / 1e6:,.0f} MB, at most "
            f"{_peak_mib():,.0f} MiB ({before_mib:,.0f} before), {seconds:.0f} s of processor time"
        )


def _draw_period(count: int) -> Masks:
    """Return about `count` nuclei a period of `_STEP_PX`, as a tile of 1,024 px sees them."""
    rng = np.random.default_rng(0)
    across = round(count**0.5)
    pitch = _STEP_PX / across
    centres = (np.arange(across) + 0.5) * pitch
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2) + rng.uniform(-3, 3, (across**2, 2))
    frame = Frame(height_px=1024, width_px=1024)
    shifts = [(x, y) for y in (-_STEP_PX, 0, _STEP_PX) for x in (-_STEP_PX, 0, _STEP_PX)]
    seen = np.concatenate([grid + shift for shift in shifts]).round().astype(np.int64)
    half = _NUCLEUS_PX // 2
    rows, columns = np.mgrid[-half:half, -half:half] + 0.5
    disc = rows**2 + columns**2 <= half**2
    windows, bitmaps = [], []
    for x, y in seen.tolist():
        left, top, right, bottom = max(x - half, 0), max(y - half, 0), min(x + half, 1024), min(y + half, 1024)
        if left < right and top < bottom:
            windows.append((left, top, right, bottom))
            bitmaps.append(disc[top - y + half : bottom - y + half, left - x + half : right - x + half])
    return Masks.from_bitmaps(frame, np.array(windows, np.int32), bitmaps)


def _found(tile: SlideTile, plan: SlidePlan, drawn: Masks) -> FoundNuclei:
    """Return a tile's reports, made as `segment` makes them but for the measurements."""
    found = Instances.from_masks(drawn, scores=(drawn.areas_px() / 1000).astype(np.float32))
    reported = report_tile(tile, found, plan.frame, within_px=1.0)
    return reported_columns(tile, found, reported, np.zeros((len(drawn), len(NUCLEUS_COLUMNS))))


def _discs(centres_xy: NDArray[np.float64], first: int) -> NucleiColumns:
    count = len(centres_xy)
    outlines = shapely.buffer(shapely.points(centres_xy), _NUCLEUS_PX / 2, quad_segs=8)
    return NucleiColumns(
        numbers=np.arange(first, first + count, dtype=np.int64),
        outlines_wkb=np.array([*shapely.to_wkb(outlines), None], np.object_)[:-1],
        boxes_xyxy=shapely.bounds(outlines),
        centroids_xy=centres_xy,
        areas_px=np.rint(np.asarray(shapely.area(outlines), np.float64)).astype(np.int64),
        class_indices=np.zeros(count, np.int64),
        scores=np.full(count, 0.9, np.float32),
        measurement_names=MEASUREMENTS,
        measurements=np.zeros((count, len(MEASUREMENTS))),
    )


def _info(frame: Frame) -> NucleiTableInfo:
    return NucleiTableInfo(
        slide="drawn.svs",
        frame=frame,
        mpp_known_by="file",
        class_names=("nucleus",),
        model="drawn",
        measurement_names=MEASUREMENTS,
    )


def _peak_mib() -> float:
    """Return this process' largest resident memory so far, as Linux tells it."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    app()
