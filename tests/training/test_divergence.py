from __future__ import annotations

from pathlib import Path

import torch

from nucleate.training.divergence import keep_diverged
from nucleate.training.sampling import Slot
from nucleate.training.stepping import DivergenceError
from nucleate.training.trainee import Part


def plain(part: Part[object]) -> dict[str, object]:
    return {"file_names": [f"{slot.record_index}.png" for slot in part.slots], "images": torch.ones(2)}


def test_many_names_are_counted(tmp_path: Path) -> None:
    slots = tuple(Slot(iteration=3, position=index, record_index=index) for index in range(10))
    error = keep_diverged(tmp_path, 3, DivergenceError("loss_cls nan", [Part(slots, None)]), plain, "rest")
    assert "diverged at iteration 3 (loss_cls nan) on 0.png, 1.png" in str(error)
    assert "7.png and 2 more; the batch is in diverged_batch.pt" in str(error)
    content = torch.load(tmp_path / "diverged_batch.pt", weights_only=True)
    assert content["iteration"] == 3
    assert len(content["parts"][0]["file_names"]) == 10


def test_a_batch_of_another_process_is_not_written_here(tmp_path: Path) -> None:
    error = keep_diverged(tmp_path, 3, DivergenceError("the loss of another process", []), plain, "lower it")
    assert str(error) == "diverged at iteration 3 (the loss of another process): lower it"
    assert not list(tmp_path.iterdir())
