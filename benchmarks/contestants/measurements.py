"""What was measured, and how two measurements compare."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.contestants.machine import Machine
from benchmarks.contestants.processes import Entry
from benchmarks.contestants.scenes import Scenes
from benchmarks.contestants.serving import Answer, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A median and how far the values lie around it."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(median=statistics.median(values), lowest=min(values), highest=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All rounds of one contestant.

    Attributes:
        entry: who.
        threads: that it had.
        timings: one a round, by the part of the work; round i of all series is the same image.
        nuclei: in each round.
        start_memory_mb: its largest memory once loaded; None where the system doesn't tell.
        peak_memory_mb: the same after the last round.
        notes: what it says of itself.
    """

    entry: Entry
    threads: int
    timings: Mapping[str, tuple[Timing, ...]]
    nuclei: tuple[int, ...]
    start_memory_mb: float | None
    peak_memory_mb: float | None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        entry: Entry,
        answers: list[Answer],
        *,
        threads: int,
        start_memory_mb: float | None = None,
        notes: tuple[str, ...] = (),
    ) -> Series:
        """Gather a contestant's answers, at least one."""
        return cls(
            entry=entry,
            threads=threads,
            timings={part: tuple(answer.timings[part] for answer in answers) for part in answers[0].timings},
            nuclei=tuple(answer.nuclei for answer in answers),
            start_memory_mb=start_memory_mb,
            peak_memory_mb=answers[-1].peak_memory_mb,
            notes=notes,
        )

    def seconds(self, part: str) -> Spread:
        """Return how long a part took."""
        return Spread.of([timing.wall_s for timing in self.timings[part]])

    def cpu_seconds(self, part: str) -> float:
        """Return the median time that a part took of all processors together: other work on the machine adds little."""
        return statistics.median(timing.cpu_s for timing in self.timings[part])

    def processors_used(self, part: str) -> float:
        """Return how many processors a part kept busy."""
        timings = self.timings[part]
        return sum(timing.cpu_s for timing in timings) / max(sum(timing.wall_s for timing in timings), 1e-9)

    def times_faster(self, part: str, other: Series, other_part: str) -> Spread:
        """Return how many times as long the other took, round by round: both had the same image a moment apart."""
        pairs = zip(other.timings[other_part], self.timings[part], strict=True)
        return Spread.of([theirs.wall_s / max(ours.wall_s, 1e-9) for theirs, ours in pairs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that was measured in one run.

    Attributes:
        series: one a contestant and number of threads.
        scenes: the images.
        machine: it ran on.
        load_before: of the machine.
        load_after: of the machine; the contestants themselves are in it.
        absent: who could not take part, and why.
        is_smoke: a run too small to mean anything.
    """

    series: tuple[Series, ...]
    scenes: Scenes
    machine: Machine
    load_before: float | None = None
    load_after: float | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    is_smoke: bool = False

    @property
    def threads(self) -> list[int]:
        """Return the numbers of threads, ascending."""
        return sorted({series.threads for series in self.series})

    def find(self, name: str, precision: str, threads: int) -> Series | None:
        """Return a contestant's series; None where it did not take part."""
        for series in self.series:
            if (series.entry.name, series.entry.precision, series.threads) == (name, precision, threads):
                return series
        return None
