"""A contestant's side of the comparison: one process that answers one image a line, times itself and its memory.

Needs numpy alone: StarDist's interpreter may have nothing else of ours. A request is a JSON line on stdin, an answer
one on what was stdout; whatever libraries print goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from benchmarks.contestants.scenes import Scenes

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a contestant is started with.

    Attributes:
        scenes: file of `Scenes`.
        threads: processor threads that it may use.
        precision: fp32 or bf16.
        model: folder with the weights; "" for networks of random weights.
    """

    scenes: str
    threads: int
    precision: str
    model: str = ""

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Assignment:
        """Read what `to_json` wrote."""
        return cls(**json.loads(line))


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long something took.

    Attributes:
        wall_s: by the clock.
        cpu_s: of all threads of the process together.
    """

    wall_s: float
    cpu_s: float

    def __add__(self, other: Timing) -> Timing:
        return Timing(wall_s=self.wall_s + other.wall_s, cpu_s=self.cpu_s + other.cpu_s)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One image done.

    Attributes:
        timings: by the part of the work.
        nuclei: in the instance map, or detected.
        peak_memory_mb: of the process until now; None where the system doesn't tell.
    """

    timings: Mapping[str, Timing]
    nuclei: int
    peak_memory_mb: float | None = None


class Contestant(Protocol):
    """What runs in a process of its own."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what people must know of it: versions first."""
        ...

    def answer(self, scene: int, *, detections: int) -> Answer:
        """Do one image, with as many detections where the contestant is told how many.

        The network runs once before it is timed: what the contestant before left in the caches is nobody's merit.
        """
        ...


def timed(work: Callable[[], Result]) -> tuple[Result, Timing]:
    """Return what the work answers, and how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Timing(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)


def peak_memory_mb() -> float | None:
    """Return the process's largest resident memory so far, in 10^6 bytes; None where the system doesn't tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage's ru_maxrss: on Linux it starts at the size of the process that started this one.
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return None
    # Bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def serve(build: Callable[[Assignment, Scenes], Contestant]) -> None:
    """Build the contestant of the command line's assignment, then answer requests until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(message: Mapping[str, object]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    assignment = Assignment.from_json(sys.argv[1])
    contestant = build(assignment, Scenes.read(Path(assignment.scenes)))
    say({"notes": list(contestant.notes), "peak_memory_mb": peak_memory_mb()})
    for line in sys.stdin:
        request = json.loads(line)
        answer = contestant.answer(request["scene"], detections=request["detections"])
        say(asdict(answer) | {"peak_memory_mb": peak_memory_mb()})
