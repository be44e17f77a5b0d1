from __future__ import annotations

import torch

from nucleate.training.run_folder import TrainingState, halved


def test_halves_keep_what_float16_cannot_hold() -> None:
    model = {
        "weight": torch.tensor([0.5, -2.0]),
        "running_var": torch.tensor([125_505.9, 4_133.5]),
        "num_batches_tracked": torch.tensor(7),
    }
    kept = halved(TrainingState(iteration=3, model=model, stepped=model, optimizer={"state": {}}, averaged_steps=4))
    assert {name: tensor.dtype for name, tensor in kept.model.items()} == {
        "weight": torch.float16,
        "running_var": torch.float32,
        "num_batches_tracked": torch.int64,
    }
    assert all(torch.equal(kept.model[name].float(), tensor.float()) for name, tensor in model.items())
    assert (kept.iteration, kept.stepped, kept.optimizer) == (3, None, None)
    assert kept.averaged_steps == 4
