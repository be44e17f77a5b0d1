"""Time and memory of `nucleate prepare` (docs/audit.md).

    python benchmarks/prepare_cost.py ../shared/data/nuinsseg
    python benchmarks/prepare_cost.py ../shared/data/nuinsseg --make large --side 12000
    python benchmarks/prepare_cost.py large

Prints wall time, processor time and the highest memory of the process. With --make one square image is written and
nothing measured: the source's first image, repeated, each nucleus with an id of its own.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import nucleate
from nucleate.data.sources import open_source
from nucleate.data.sources.source import annotation_path
from nucleate.files import read_label_map, read_rgb


def write_large(source: Path, folder: Path, side_px: int) -> None:
    """Write one large image and its label image."""
    first = open_source(source).images[0]
    image, labels = read_rgb(first.path), read_label_map(annotation_path(first))
    repeats = -(-side_px // min(labels.shape))
    Image.fromarray(np.tile(image, (repeats, repeats, 1))[:side_px, :side_px]).save(_file(folder, "images", "png"))
    tiles = np.arange(repeats * repeats).reshape(repeats, repeats).repeat(labels.shape[0], 0).repeat(labels.shape[1], 1)
    repeated = np.tile(labels, (repeats, repeats))
    numbered = np.where(repeated > 0, repeated + tiles * int(labels.max()), 0)[:side_px, :side_px]
    kind = np.uint16 if numbered.max() < 2**16 else np.int32
    tifffile.imwrite(_file(folder, "labels", "tif"), numbered.astype(kind), compression="zlib")


def _file(folder: Path, name: str, suffix: str) -> Path:
    (folder / name).mkdir(parents=True)
    return folder / name / f"large.{suffix}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--make", type=Path, help="folder to write one large image to")
    parser.add_argument("--side", type=int, default=12_000, help="of that image, in pixels")
    arguments = parser.parse_args()
    if arguments.make is not None:
        write_large(arguments.source, arguments.make, arguments.side)
        return
    with tempfile.TemporaryDirectory() as scratch:
        wall, processor = time.perf_counter(), time.process_time()
        report = nucleate.prepare([arguments.source], output=Path(scratch) / "out")
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{report.images} images, {report.nuclei:,} nuclei: {wall:.1f} s, {processor:.1f} s of a processor,", end=" ")
    print(f"at most {peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
