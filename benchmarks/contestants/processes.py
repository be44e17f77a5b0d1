"""The comparison's side: a contestant's process started, asked, ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.contestants.serving import Answer, Assignment, Timing
from nucleate.errors import NucleateError

ROOT = Path(__file__).resolve().parents[2]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ContestantError(NucleateError):
    """A contestant that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Who takes part, and how.

    Attributes:
        name: for people.
        module: that serves it, by its full name.
        precision: fp32 or bf16.
        python: the interpreter.
        model: folder with the weights; "" for random ones.
    """

    name: str
    module: str
    precision: str
    python: str = sys.executable
    model: str = ""


class ContestantProcess:
    """A running contestant; leave the `with` block to end it.

    Args:
        entry: who.
        scenes: file of the images.
        threads: that it may use.

    Attributes:
        entry: who.
        notes: what it says of itself.
        start_memory_mb: its largest memory once everything is loaded.

    Raises:
        ContestantError: it can't be started; the message ends with its own last line.
    """

    def __init__(self, entry: Entry, scenes: Path, *, threads: int) -> None:
        self.entry = entry
        assignment = Assignment(
            scenes=str(scenes.resolve()), threads=threads, precision=entry.precision, model=entry.model
        )
        command = [entry.python, "-m", entry.module, assignment.to_json()]
        with ExitStack() as stack:
            self._complaints = stack.enter_context(tempfile.TemporaryFile())
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._complaints,
                    encoding="utf-8",
                    env=_environment(threads),
                )
            except OSError as error:
                raise ContestantError(f"can't be started: {error.strerror}", path=entry.python) from error
            self._process = stack.enter_context(process)
            ready = self._read()
            self._open = stack.pop_all()
        self.notes: tuple[str, ...] = tuple(ready["notes"])
        self.start_memory_mb: float | None = ready["peak_memory_mb"]

    def ask(self, scene: int, *, detections: int) -> Answer:
        """Have one image done.

        Raises:
            ContestantError: it failed.
        """
        assert self._process.stdin is not None
        # Where it is dead, the answer that doesn't come tells so.
        with suppress(OSError):
            self._process.stdin.write(json.dumps({"scene": scene, "detections": detections}) + "\n")
            self._process.stdin.flush()
        content = self._read()
        return Answer(
            timings={part: Timing(**timing) for part, timing in content["timings"].items()},
            nuclei=content["nuclei"],
            peak_memory_mb=content["peak_memory_mb"],
        )

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContestantError(f"{self.entry.name} ({self.entry.precision}) failed: {self._last_words()}")
        content: dict[str, Any] = json.loads(line)
        return content

    def _last_words(self) -> str:
        self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with exit code {self._process.returncode}"

    def __enter__(self) -> ContestantProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        # Closing stdin ends its loop.
        self._open.close()


def _environment(threads: int) -> Mapping[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONIOENCODING": "utf-8",
    }


def has_stardist(python: str) -> bool:
    """Return whether an interpreter finds StarDist and TensorFlow; false where there is no such interpreter."""
    question = "import importlib.util as u, sys; sys.exit(not (u.find_spec('stardist') and u.find_spec('tensorflow')))"
    try:
        return subprocess.run([python, "-c", question], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
