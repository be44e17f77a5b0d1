"""The contestants in turn: image by image, each once, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contestants.measurements import Series
from benchmarks.contestants.processes import ContestantProcess, Entry
from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.serving import Answer

_WARM_UPS = 2
_REST_S = 0.1
"""Before each turn: the threads of the one before have gone to sleep by then."""


def run_rounds(
    entries: Sequence[Entry],
    scenes: Scenes,
    scenes_file: Path,
    *,
    threads: int,
    rounds: int,
    on_round: Callable[[int], None] = lambda _: None,
) -> list[Series]:
    """Return one series an entry; round i is image i, from the first again after the last.

    Args:
        entries: the first one says how many nuclei an image has; those who are told answer as many.
        scenes: the images.
        scenes_file: the same, written.
        threads: that each contestant has.
        rounds: after the warm-up.
        on_round: called with the number of finished rounds.

    Raises:
        ContestantError: one can't be started, or failed.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(ContestantProcess(entry, scenes_file, threads=threads)) for entry in entries]
        first = processes[0]
        nuclei = [first.ask(scene, detections=0).nuclei for scene in range(len(scenes))]
        for process in processes:
            for _ in range(_WARM_UPS):
                process.ask(0, detections=nuclei[0])
        answers: list[list[Answer]] = [[] for _ in processes]
        for index in range(rounds):
            scene = index % len(scenes)
            for process, given in zip(processes, answers, strict=True):
                time.sleep(_REST_S)
                given.append(process.ask(scene, detections=nuclei[scene]))
            on_round(index + 1)
    return [
        Series.of(process.entry, given, threads=threads, start_memory_mb=process.start_memory_mb, notes=process.notes)
        for process, given in zip(processes, answers, strict=True)
    ]
