"""Measurements with times that are easy to divide."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.contestants.machine import Machine
from benchmarks.contestants.measurements import Comparison, Series
from benchmarks.contestants.processes import Entry
from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.serving import Answer, Timing


def series(
    name: str,
    rounds_s: Mapping[str, list[float]],
    *,
    precision: str = "fp32",
    memory_mb: float | None = 500.0,
    nuclei: int = 45,
) -> Series:
    """Return a series of one thread from the seconds of every part and round."""
    rounds = len(next(iter(rounds_s.values())))
    answers = [
        Answer(
            timings={part: Timing(wall_s=times[index], cpu_s=times[index]) for part, times in rounds_s.items()},
            nuclei=nuclei,
            peak_memory_mb=memory_mb,
        )
        for index in range(rounds)
    ]
    return Series.of(Entry(name=name, module="", precision=precision), answers, threads=1)


def comparison(*measured: Series, load_before: float = 0.0, absent: dict[str, str] | None = None) -> Comparison:
    label_map = np.zeros((1, 8, 8), np.int32)
    label_map[0, 2:4, 3:6] = 7
    scenes = Scenes(
        images_rgb=np.zeros((1, 8, 8, 3), np.uint8),
        label_maps=label_map,
        names=("a",),
        magnification=0.5,
        origin="made",
    )
    machine = Machine(processor="Abacus", processors=2, capabilities=("FP32",), units=(), system="", versions={})
    return Comparison(series=measured, scenes=scenes, machine=machine, load_before=load_before, absent=absent or {})
