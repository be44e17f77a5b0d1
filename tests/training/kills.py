"""A training in a process of its own that kills itself at a given moment: `python -m tests.training.kills JSON`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("after a step", "while a checkpoint is written", "before an evaluation is written", "after it is written")
Kill = tuple[str, int]
"""A moment, and the number of iterations done that it waits for."""


def train_in_processes(
    data: Path, output: Path, overrides: Sequence[str], *, recipe: str, kill: Kill | None = None, resume: bool = False
) -> None:
    """Train in a process; with a kill it must end by it, else it must end well."""
    order: dict[str, Any] = {"data": str(data), "output": str(output), "overrides": list(overrides), "recipe": recipe}
    order |= {"kill": kill, "resume": resume}
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.kills", json.dumps(order)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = 0 if kill is None else -signal.SIGKILL
    assert done.returncode == expected, f"{kill}: {done.returncode}\n{done.stderr[-3000:]}"


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_at(moment: str, iterations: int) -> None:
    """Let this process die at the first such moment when so many iterations, or more, are done."""
    from nucleate.training import loop, run_folder
    from nucleate.training.events import EventLog

    if moment == "after a step":
        put = EventLog.put

        def put_and_die(self: EventLog, iteration: int, *rest: Any, **more: Any) -> None:
            put(self, iteration, *rest, **more)
            if iteration + 1 >= iterations:
                _kill()

        EventLog.put = put_and_die  # type: ignore[method-assign]
    elif moment == "while a checkpoint is written":
        save, write = run_folder.save_checkpoint, torch.save

        def write_half(content: Any, path: Path) -> None:
            write(content, path)
            os.truncate(path, path.stat().st_size // 2)
            _kill()

        def save_and_die(folder: Path, name: str, state: Any) -> None:
            if state.iteration + 1 >= iterations:
                torch.save = write_half  # type: ignore[assignment]
            save(folder, name, state)

        setattr(loop, "save_checkpoint", save_and_die)  # noqa: B010
    else:
        put_evaluation = EventLog.put_evaluation

        def write_and_die(self: EventLog, iteration: int, scores: Any) -> None:
            if iteration < iterations:
                put_evaluation(self, iteration, scores)
                return
            if moment == "after it is written":
                put_evaluation(self, iteration, scores)
            _kill()

        EventLog.put_evaluation = write_and_die  # type: ignore[method-assign]


def main(order: dict[str, Any]) -> None:
    from nucleate.training import TrainingRequest, load_recipe, run_training

    torch.set_num_threads(1)
    if order["kill"] is not None:
        _kill_at(*order["kill"])
    request = TrainingRequest(
        data=Path(order["data"]),
        recipe=load_recipe(order["recipe"], order["overrides"]),
        output=Path(order["output"]),
        weights=None,
        resume=order["resume"],
        device=torch.device("cpu"),
    )
    run_training(request, lambda first, last: None, lambda done, loss: None)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
