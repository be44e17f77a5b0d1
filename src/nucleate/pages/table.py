"""Tables as texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as texts; the first column stands to the left, others to the right.

    Attributes:
        headings: of the columns.
        rows: as many cells each.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
        """Return a table of any sequences."""
        return cls(headings=tuple(headings), rows=tuple(tuple(row) for row in rows))

    def transposed(self) -> Table:
        """Return the table with its rows as columns."""
        first, *others = zip(*(self.headings, *self.rows), strict=True)
        return Table.of(first, others)

    def markdown(self) -> str:
        """Return the table in Markdown."""
        rule = ["---", *("---:" for _ in self.headings[1:])]
        # A bar in a class or organ name would open another column.
        lines = [[cell.replace("|", "\\|") for cell in row] for row in (self.headings, rule, *self.rows)]
        return "\n".join("| " + " | ".join(row) + " |" for row in lines)
