"""A slide's table as exports read it: group by group, with cells beside the nuclei where they were grown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nucleate.core import NucleiColumns
from nucleate.errors import DataError
from nucleate.export.nuclei_table import (
    ROWS_A_GROUP,
    NucleiTableInfo,
    Window,
    count_nuclei,
    read_nuclei,
    read_table_info,
)

TABLE_NAME = "nuclei.parquet"
FOLDER_SUFFIX = ".nucleate"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlideGroup:
    """Some nuclei in the table's order.

    Attributes:
        nuclei: at most `ROWS_A_GROUP`.
        cells: row by row what grew from them (no measurements), None where no cells were asked for.
    """

    nuclei: NucleiColumns
    cells: NucleiColumns | None = None

    @property
    def shapes(self) -> NucleiColumns:
        """The cells where there are any, else the nuclei."""
        return self.nuclei if self.cells is None else self.cells


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideTable:
    """A table of nuclei, and one of the cells that grew from them.

    Attributes:
        path: the nuclei's table.
        info: what it is about.
        cells_path: a table with the same rows, whose outlines are cells; None without cells.
    """

    path: Path
    info: NucleiTableInfo
    cells_path: Path | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the table at a path.

        Raises:
            DataError: no such file, or no table that `segment` wrote.
        """
        return cls(path=path, info=read_table_info(path))

    def __len__(self) -> int:
        return count_nuclei(self.path)

    def groups(self) -> Iterator[SlideGroup]:
        """Yield all nuclei in order; memory is that of one group."""
        if self.cells_path is None:
            yield from (SlideGroup(nuclei=nuclei) for nuclei in read_nuclei(self.path) if len(nuclei))
            return
        for nuclei, cells in zip(_regrouped(self.path), _regrouped(self.cells_path), strict=True):
            yield SlideGroup(nuclei=nuclei, cells=cells)

    def shapes_in(self, window_xyxy: Window) -> Iterator[NucleiColumns]:
        """Yield the cells, or nuclei where there are no cells, whose boxes meet a window in level-0 pixels."""
        yield from read_nuclei(self.cells_path or self.path, window_xyxy=window_xyxy)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportedNuclei:
    """What an exported file holds, read back.

    Attributes:
        nuclei: in the file's order.
        class_names: what `nuclei.class_indices` count; only classes that the file names.
        cells_wkb: (N,) object, the cells' outlines as well-known binary; None where the file has none.
    """

    nuclei: NucleiColumns
    class_names: tuple[str, ...]
    cells_wkb: NDArray[np.object_] | None = None


def results_tables(results: Path) -> list[Path]:
    """Return the tables of one result: a table, a slide's `.nucleate` folder, or a folder of such folders.

    Raises:
        DataError: none there.
    """
    if not results.exists():
        raise DataError("no such file or folder", path=results)
    if results.is_file():
        return [results]
    if (results / TABLE_NAME).is_file():
        return [results / TABLE_NAME]
    found = sorted(results.glob(f"*{FOLDER_SUFFIX}/{TABLE_NAME}"))
    if not found:
        raise DataError(f"no {TABLE_NAME} in it: `nucleate segment SLIDE` writes SLIDE{FOLDER_SUFFIX}", path=results)
    return found


def _regrouped(path: Path) -> Iterator[NucleiColumns]:
    """Yield a table's nuclei in parts of `ROWS_A_GROUP`, whatever its row groups are."""
    waiting: list[NucleiColumns] = []
    for nuclei in read_nuclei(path):
        waiting.append(nuclei)
        while sum(map(len, waiting)) >= ROWS_A_GROUP:
            joined = NucleiColumns.concatenate(waiting)
            yield joined.select(np.arange(ROWS_A_GROUP))
            waiting = [joined.select(np.arange(ROWS_A_GROUP, len(joined)))]
    if sum(map(len, waiting)):
        yield NucleiColumns.concatenate(waiting)
