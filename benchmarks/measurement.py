"""Milliseconds for outlines, shapes and stain of 300 nuclei on one core.

    python benchmarks/measurement.py [--mpp 0.25]

The nuclei are random ellipses of about 500 pixels in a drawn image of one megapixel.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from nucleate.core import Frame, Masks
from nucleate.measurement import measure_shapes, measure_stain, outlines_wkb

NUCLEI = 300
SIDE_PX = 1000
REPEATS = 30


def draw_masks(rng: np.random.Generator) -> Masks:
    windows, bitmaps = np.zeros((NUCLEI, 4), np.int32), []
    for index in range(NUCLEI):
        axes = rng.uniform(9, 16, 2)
        canvas = np.zeros((40, 40), np.uint8)
        cv2.ellipse(canvas, ((20.0, 20.0), tuple(2 * axes), rng.uniform(0, 180)), 1, -1)
        rows, columns = np.nonzero(canvas)
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        x, y = rng.integers(0, SIDE_PX - 40, 2)
        windows[index] = (x + left, y + top, x + right, y + bottom)
        bitmaps.append(canvas[top:bottom, left:right].astype(np.bool_))
    return Masks.from_bitmaps(Frame(height_px=SIDE_PX, width_px=SIDE_PX), windows, bitmaps)


def fastest_ms(work: Callable[[], object]) -> float:
    """Return the processor's time of the fastest of several calls."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return 1000 * min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mpp", type=float, default=0.25, help="um a pixel; sets the ring's width (default: 0.25)")
    mpp = parser.parse_args().mpp
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    masks = draw_masks(rng)
    image = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    print(f"{len(masks)} nuclei of {masks.areas_px().mean():.0f} px, {mpp} um/px, ms of one core")
    print(f"outlines {fastest_ms(lambda: outlines_wkb(masks)):6.1f}")
    print(f"shapes   {fastest_ms(lambda: measure_shapes(masks, mpp)):6.1f}")
    print(f"stain    {fastest_ms(lambda: measure_stain(image, masks, mpp=mpp)):6.1f}")


if __name__ == "__main__":
    main()
