"""Two processes that share each step end where one does that takes it alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from nucleate.errors import ConfigError, TrainingError
from nucleate.models.run_card import RunCard
from nucleate.training.processes import ALONE, Processes, joined_processes, launched_rank
from nucleate.training.run_folder import TrainingState, read_state
from nucleate.training.sampling import Slot
from nucleate.training.sharing import check_divisible, shared_slots
from tests.training.star_convex.test_star_convex_session import SMALL
from tests.training.test_session import OURS, run, write_coco

ROOT = Path(__file__).resolve().parents[2]
LIVELY = ("SOLVER.IMS_PER_BATCH=4", "SOLVER.WARMUP_ITERS=0", "SOLVER.CHECKPOINT_PERIOD=1", "DATASETS.TEST=()")
# An untrained network's proposals tie, and float noise would decide which are kept: here all are.
EVERY_PROPOSAL = (
    "MODEL.RPN.NMS_THRESH=1.0",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN=2000",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE=2048",
    "MODEL.ROI_HEADS.POSITIVE_FRACTION=1.0",
)
# The recipe's own encoder: in a tiny one of random weights a single ReLU that noise turns on moves every gradient.
PRETRAINED = tuple(each for each in OURS if not any(word in each for word in ("start", "BACKBONE.NAME", "RESNETS")))
BOXES = (*PRETRAINED, *LIVELY, *EVERY_PROPOSAL, "SOLVER.BASE_LR=0.001", "accumulate=2")
STARS = (*SMALL, *LIVELY, "SOLVER.BASE_LR=0.0005")


def run_in_two(data: Path, output: Path, *overrides: str, recipe: str) -> subprocess.CompletedProcess[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "nucleate", "train", str(data), *overrides, "--output", str(output), "--recipe", recipe]
    return subprocess.run(
        [*launch, *command, "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def state(folder: Path, name: str) -> TrainingState:
    return read_state(folder / name)


def gradients(folder: Path) -> list[torch.Tensor]:
    """Return what the optimiser remembers of the first step: the gradients of each parameter, clipped."""
    optimizer = state(folder, "model_0000000.pth").optimizer
    assert optimizer is not None
    (name,) = {"momentum_buffer", "exp_avg"} & set(optimizer["state"][0])
    return [each[name].double() for each in optimizer["state"].values()]


def assert_equal_to_float_noise(data: Path, folder: Path, overrides: Sequence[str], recipe: str) -> None:
    """Compare the gradients of the first step and the losses of three, each of which depends on the steps before."""
    one, two = folder / "one", folder / "two"
    run(data, one, overrides, recipe=recipe, iterations=3)
    done = run_in_two(data, two, *overrides, "SOLVER.MAX_ITER=3", recipe=recipe)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = gradients(one), gradients(two)
    apart = torch.cat([(a - b).flatten() for a, b in zip(first, second, strict=True)]).norm()
    assert float(apart) < 1e-3 * float(torch.cat([each.flatten() for each in first]).norm())
    windows = [state(each, "model_final.pth").windows for each in (one, two)]
    assert windows[0] is not None
    assert windows[1] is not None
    losses = [name for name in windows[0] if "loss" in name]
    assert len(losses) > 4
    for name in losses:
        assert windows[1][name][0] == pytest.approx(windows[0][name][0], rel=1e-5, abs=1e-7), name
        assert windows[1][name] == pytest.approx(windows[0][name], rel=1e-3, abs=1e-5), name
    # One process wrote: one log of events, each checkpoint once.
    names = [{path.name for path in each.rglob("*") if "tfevents" not in path.name} for each in (one, two)]
    assert names[1] - {"log.txt", ".nucleate.lock"} == names[0]
    assert len(list(two.glob("events.out.tfevents.*"))) == 1
    assert RunCard.read(two).iterations == 3
    assert done.stdout.count("next: nucleate evaluate") == 1


@pytest.mark.timeout(1800)
def test_two_processes_train_a_mask_rcnn_as_one(tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data", rle=True)
    assert_equal_to_float_noise(data, tmp_path, BOXES, "mask-rcnn-cpu")
    one, two = (state(tmp_path / each, "model_final.pth").model for each in ("one", "two"))
    apart = torch.cat([(one[name] - two[name]).flatten() for name in one]).norm()
    start = state(tmp_path / "one", "model_0000000.pth").model
    moved = torch.cat([(one[name] - start[name]).flatten() for name in one]).norm()
    assert float(apart) < 0.01 * float(moved), (float(apart), float(moved))


@pytest.mark.timeout(1800)
def test_two_processes_train_a_star_convex_network_as_one(tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data", rle=True)
    # No comparison of weights: where a gradient is float noise alone, AdamW makes a whole step of it.
    assert_equal_to_float_noise(data, tmp_path, STARS, "star-convex")


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    check_divisible(8, parts=2, processes=Processes(count=4))
    with pytest.raises(ConfigError, match=r"SOLVER\.IMS_PER_BATCH: 6 images a step .* 4 processes x accumulate=1"):
        check_divisible(6, parts=1, processes=Processes(count=4))


def test_processes_share_each_part_and_miss_no_image() -> None:
    plan = [[Slot(iteration=0, position=position, record_index=position) for position in range(8)]]
    taken = [
        [
            [slot.position for slot in part]
            for part in shared_slots(plan, parts=2, processes=Processes(rank=rank, count=2))
        ]
        for rank in range(2)
    ]
    assert taken == [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    # Other launchers set these for their own ends.
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launched_rank() == 0
    with joined_processes(torch.device("cpu")) as processes:
        assert processes == ALONE
    values = torch.tensor([2.0])
    assert ALONE.total(values) is values
    assert ALONE.any_of(True, False) == (True, False)
    assert ALONE.of_first(5) == 5


def test_processes_share_no_training_on_an_apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="cpu or cuda"), joined_processes(torch.device("mps")):
        pass


def test_an_exchange_with_a_process_that_ended_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "all_reduce", broken)
    with pytest.raises(TrainingError, match="another process of this training ended"):
        Processes(count=2).total(torch.ones(1))
