"""What became of a call's slides, for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SlideState = Literal["done", "kept", "planned", "finished", "begun", "in work", "not begun", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideResult:
    """What became of one slide.

    Attributes:
        name: of its results.
        folder: where they are, or will be.
        state: `done` by this call, `kept` from an earlier one, left to another process that is at it (`in work`),
            `failed`; of a dry run `planned`; of a status `finished`, `begun`, `in work`, `not begun`.
        nuclei: found; None where the slide isn't finished.
        tissue_mm2: None where unknown.
        seconds: of this call.
        notes: what has to be said: scale, unreadable tiles, the plan.
    """

    name: str
    folder: Path
    state: SlideState
    nuclei: int | None = None
    tissue_mm2: float | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def density_per_mm2(self) -> float | None:
        """Return nuclei a mm2 of tissue, None where either is unknown."""
        if self.nuclei is None or not self.tissue_mm2:
            return None
        return self.nuclei / self.tissue_mm2


_HEADER = ("slide", "state", "nuclei", "tissue mm2", "a mm2", "seconds")


def slides_table(results: Sequence[SlideResult]) -> list[str]:
    """Return a line a slide under a header, columns aligned, and the notes of each below it."""
    rows = [_HEADER, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = []
    for row, result in zip(rows, [None, *results], strict=True):
        first, *others = (
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
        lines += [f"  {note}" for note in (() if result is None else result.notes)]
    return lines


def _row(result: SlideResult) -> tuple[str, ...]:
    numbers = (
        (result.nuclei, ",.0f"),
        (result.tissue_mm2, ",.2f"),
        (result.density_per_mm2, ",.0f"),
        (result.seconds, ",.0f"),
    )
    return (result.name, result.state, *("" if value is None else format(value, form) for value, form in numbers))
