"""`SLIDE.nucleate/`: a journal of finished blocks while a slide is on its way, then its tables and pictures."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nucleate.errors import ResultsError
from nucleate.export.nuclei_table import NucleiTableInfo
from nucleate.files import unwritable, write_json, write_text
from nucleate.inference.whole_slide.found import FoundNuclei, read_found, write_found
from nucleate.inference.whole_slide.plan import Block
from nucleate.inference.whole_slide.stored_plan import StoredPlan

SUFFIX = ".nucleate"
TABLE_NAME = "nuclei.parquet"
SUMMARY_NAME = "summary.json"
_STATE = ".state"
_PLAN_NAME = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableTile:
    """A tile that could not be decoded; the rest of the slide could.

    Attributes:
        window_xyxy: level-0 pixels.
        problem: what the reader said.
    """

    window_xyxy: tuple[int, int, int, int]
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSeconds:
    """How long each stage was busy; stages run side by side, so they may add up to more than the wall's time."""

    reading: float = 0.0
    network: float = 0.0
    outlines: float = 0.0
    writing: float = 0.0

    def __add__(self, other: StageSeconds) -> StageSeconds:
        return StageSeconds(
            reading=self.reading + other.reading,
            network=self.network + other.network,
            outlines=self.outlines + other.outlines,
            writing=self.writing + other.writing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedBlock:
    """One line of the journal.

    Attributes:
        block: its number.
        tiles: segmented in it.
        reports: nuclei as its tiles report them.
        owned: those of them that are the tiles' own: about the number of nuclei.
        seconds: of each stage.
        unreadable: tiles that could not be decoded.
    """

    block: int
    tiles: int
    reports: int
    owned: int
    seconds: StageSeconds = field(default_factory=StageSeconds)
    unreadable: tuple[UnreadableTile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCount:
    """How far an unfinished slide is, in blocks."""

    finished: int
    in_all: int


def is_finished(folder: Path) -> bool:
    """Return whether a slide's tables are there; the summary is written last."""
    return (folder / SUMMARY_NAME).is_file() and (folder / TABLE_NAME).is_file()


def finished_blocks(folder: Path) -> BlockCount | None:
    """Return how far a slide is by its journal; None where none was begun. Needs no lock."""
    try:
        in_all = int(json.loads((folder / _STATE / _PLAN_NAME).read_text(encoding="utf-8"))["blocks"])
    except (OSError, ValueError, KeyError):
        return None
    try:
        journal = (folder / _STATE / "journal.jsonl").read_text(encoding="utf-8")
    except OSError:
        journal = ""
    return BlockCount(finished=journal.count("\n"), in_all=in_all)


class SlideFolder:
    """The results of one slide. The caller holds `folder_lock`.

    Args:
        folder: `SLIDE.nucleate`.
        settings: everything that decides results, as JSON values; a folder takes one.
        fresh: remove what an earlier run left here.

    Raises:
        ResultsError: the folder holds results of other settings, or can't be written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.folder = folder
        self._state = folder / _STATE
        self._journal = self._state / "journal.jsonl"
        self._settings = json.loads(json.dumps(settings))
        if fresh:
            self._remove_all()
        self._check_settings()
        self._blocks = {} if self.is_finished else self._read_journal()

    @property
    def is_finished(self) -> bool:
        """Return whether nothing is left to do."""
        return is_finished(self.folder)

    @property
    def finished_blocks(self) -> Mapping[int, FinishedBlock]:
        """Return the journal, by block; empty once the slide is finished."""
        return self._blocks

    def stored_plan(self) -> StoredPlan | None:
        """Return the plan of the finished blocks; None where there are none.

        Raises:
            ResultsError: it is missing or damaged.
        """
        return StoredPlan.read(self._state / _PLAN_NAME) if self._blocks else None

    def begin(self, plan: StoredPlan) -> None:
        """Keep the plan, for a call that goes on and for who asks how far it is.

        Raises:
            ResultsError: the disk is full or not writable.
        """
        plan.write(self._state / _PLAN_NAME)

    def save(self, block: FinishedBlock, found: FoundNuclei, info: NucleiTableInfo) -> None:
        """Keep a block: its nuclei first, then its line of the journal.

        Raises:
            ResultsError: the disk is full or not writable; what was finished before is kept.
        """
        write_found(self._path(block.block), found, info)
        line = json.dumps(asdict(block), separators=(",", ":")) + "\n"
        try:
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.write(line)
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise unwritable(self._journal, error) from error
        self._blocks[block.block] = block

    def read(self, block: Block, info: NucleiTableInfo) -> FoundNuclei:
        """Return a finished block's nuclei."""
        return read_found(self._path(block.number), info)

    def finish(self) -> None:
        """Remove what only an unfinished run needs."""
        shutil.rmtree(self._state / "blocks", ignore_errors=True)
        self._journal.unlink(missing_ok=True)

    def _path(self, block: int) -> Path:
        return self._state / "blocks" / f"{block:06d}.arrow"

    def _check_settings(self) -> None:
        path = self._state / "settings.json"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if self.is_finished:
                raise ResultsError(
                    "holds results whose settings are gone: choose another --output, or --fresh", path=self.folder
                ) from None
            write_json(path, self._settings, indent=1)
            return
        except (OSError, ValueError) as error:
            raise ResultsError(f"can't be read: start anew with --fresh ({error})", path=path) from error
        different = [name for name in self._settings if stored.get(name) != self._settings[name]]
        if different or set(stored) != set(self._settings):
            name = (different or sorted(set(stored) ^ set(self._settings)))[0]
            raise ResultsError(
                f"holds results of other settings ({name}: {stored.get(name)!r} there, "
                f"{self._settings.get(name)!r} now): choose another --output, or --fresh to start anew",
                path=self.folder,
            )

    def _read_journal(self) -> dict[int, FinishedBlock]:
        """Return the blocks that are here whole; a torn last line is the block that a kill cost."""
        blocks: dict[int, FinishedBlock] = {}
        try:
            text = self._journal.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return blocks
        except OSError as error:
            raise ResultsError(f"can't be read: {error.strerror or error}", path=self._journal) from error
        whole = []
        for line in text.splitlines(keepends=True):
            block = _parsed(line) if line.endswith("\n") else None
            if block is None:
                continue
            whole.append(line)
            if self._path(block.block).is_file():
                blocks[block.block] = block
        if "".join(whole) != text:
            # So that the next line doesn't grow onto a torn one; whole or not at all, should the disk be full.
            write_text(self._journal, "".join(whole))
        return blocks

    def _remove_all(self) -> None:
        try:
            for path in self.folder.iterdir() if self.folder.is_dir() else ():
                if path.name.startswith(".nucleate"):
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except OSError as error:
            raise unwritable(self.folder, error) from error


def _parsed(line: str) -> FinishedBlock | None:
    try:
        value = json.loads(line)
        return FinishedBlock(
            block=int(value["block"]),
            tiles=int(value["tiles"]),
            reports=int(value["reports"]),
            owned=int(value["owned"]),
            seconds=StageSeconds(**value["seconds"]),
            unreadable=tuple(
                UnreadableTile(window_xyxy=tuple(tile["window_xyxy"]), problem=tile["problem"])
                for tile in value["unreadable"]
            ),
        )
    except (ValueError, KeyError, TypeError):
        return None
