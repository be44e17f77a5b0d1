"""Peak memory and time of `nucleate export` on a generated table.

    python -m benchmarks.exports --nuclei 1000000 --to geojson.gz --output /tmp/exports
    python -m benchmarks.exports --nuclei 1000000 --to labels --expand-um 5 --output /tmp/exports

The table has 17 measurements and outlines along pixel edges, block by block as `segment` writes it; `--pitch` is the
distance of neighbours in pixels. The export runs in a process of its own, whose peak resident memory is printed.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely

from nucleate.core import Frame, Masks, NucleiColumns
from nucleate.export import NucleiTableInfo, NucleiTableWriter, mask_geometry

MEASUREMENTS = (
    "area_um2", "perimeter_um", "major_axis_um", "minor_axis_um", "eccentricity", "solidity", "circularity",
    "haematoxylin_od_mean", "haematoxylin_od_sd", "eosin_od_mean", "eosin_od_sd", "ring_haematoxylin_od_mean",
    "ring_haematoxylin_od_sd", "ring_eosin_od_mean", "ring_eosin_od_sd", "density_per_mm2", "neighbour_distance_um",
)  # fmt: skip
SHAPES = 256
BLOCK_PX = 2048
# Linux' own peak of this process: getrusage's would count the parent's memory too.
EXPORT = """
import re, sys, time
from nucleate.cli import run
code = run(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(peak, time.process_time())
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--pitch", type=int, default=40)
    parser.add_argument("--to", default="geojson.gz")
    parser.add_argument("--expand-um", type=float)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    folder = given.output / f"drawn-{given.nuclei}-{given.pitch}.nucleate"
    if not (folder / "nuclei.parquet").is_file():
        write_table(folder / "nuclei.parquet", given.nuclei, given.pitch)
    target = given.output / f"out.{given.to}"
    arguments = ["export", str(folder), "--to", given.to, "--output", str(target)]
    arguments += [] if given.expand_um is None else ["--expand-um", str(given.expand_um)]
    start = time.perf_counter()
    ran = subprocess.run([sys.executable, "-c", EXPORT, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    peak_kib, processor_s = ran.stdout.split()[-2:]
    size = target.stat().st_size / 1e6 if target.is_file() else math.nan
    print(
        f"{given.to}, {given.nuclei:,} nuclei, expand-um {given.expand_um}: {seconds:.0f} s "
        f"({float(processor_s):.0f} s of processor), peak {int(peak_kib) / 1024:.0f} MiB, {size:.0f} MB"
    )


def write_table(path: Path, count: int, pitch_px: int) -> None:
    side = math.ceil(math.sqrt(count))
    info = NucleiTableInfo(
        slide="drawn.svs",
        frame=Frame(height_px=side * pitch_px, width_px=side * pitch_px, mpp=0.25),
        mpp_known_by="file",
        class_names=("nucleus",),
        model="drawn",
        measurement_names=MEASUREMENTS,
    )
    shapes = np.array(list(_shapes()), np.object_)
    rng = np.random.default_rng(1)
    with NucleiTableWriter(path, info) as table:
        first = 1
        for corners in _blocks(side, pitch_px, count):
            table.write(_nuclei(shapes, corners, first, rng))
            first += len(corners)


def _shapes() -> Iterator[shapely.Geometry]:
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:31, :31] - 15
    for _ in range(SHAPES):
        long, short, turn = rng.uniform(9, 15), rng.uniform(6, 10), rng.uniform(0, np.pi)
        along, across = xs * np.cos(turn) + ys * np.sin(turn), ys * np.cos(turn) - xs * np.sin(turn)
        bitmap = (along / long) ** 2 + (across / short) ** 2 <= 1
        yield mask_geometry(Masks.from_full(Frame(height_px=31, width_px=31), [bitmap]), 0)


def _blocks(side: int, pitch_px: int, count: int) -> Iterator[np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    """Yield the corners of the nuclei, block by block."""
    per_block = BLOCK_PX // pitch_px
    left = count
    for top in range(0, side, per_block):
        for start in range(0, side, per_block):
            ys, xs = np.mgrid[top : min(top + per_block, side), start : min(start + per_block, side)]
            corners = np.stack([xs.ravel(), ys.ravel()], axis=1)[:left] * pitch_px + 4
            left -= len(corners)
            if len(corners):
                yield corners


def _nuclei(shapes: np.ndarray, corners: np.ndarray, first: int, rng: np.random.Generator) -> NucleiColumns:
    chosen = shapes[rng.integers(0, SHAPES, len(corners))]
    points, owners = shapely.get_coordinates(chosen, return_index=True)
    outlines = shapely.set_coordinates(chosen.copy(), points + corners[owners])
    return NucleiColumns(
        numbers=np.arange(first, first + len(corners)),
        outlines_wkb=np.asarray(shapely.to_wkb(outlines), np.object_),
        boxes_xyxy=shapely.bounds(outlines),
        centroids_xy=shapely.get_coordinates(shapely.centroid(outlines)),
        areas_px=np.rint(shapely.area(outlines)).astype(np.int64),
        class_indices=np.zeros(len(corners), np.int64),
        scores=rng.uniform(0.5, 1, len(corners)).astype(np.float32),
        measurement_names=MEASUREMENTS,
        measurements=rng.uniform(0, 50, (len(corners), len(MEASUREMENTS))),
    )


if __name__ == "__main__":
    main()
