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
from nucleate.training.events import read_metrics
from nucleate.training.processes import ALONE, Processes, joined_processes, launched_rank
from nucleate.training.sampling import Slot
from nucleate.training.sharing import check_divisible, shared_slots
from tests.training.star_convex.test_star_convex_session import SMALL
from tests.training.test_session import OURS, run, write_coco

ROOT = Path(__file__).resolve().parents[2]
LIVELY = ("SOLVER.IMS_PER_BATCH=4", "SOLVER.WARMUP_ITERS=0", "SOLVER.CHECKPOINT_PERIOD=2")
BOXES = (*OURS, *LIVELY, "SOLVER.BASE_LR=0.01", "accumulate=2")
STARS = (*SMALL, *LIVELY, "SOLVER.BASE_LR=0.0005", "start=none", "TEST.EVAL_PERIOD=0")


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


def weights(folder: Path) -> dict[str, torch.Tensor]:
    content = torch.load(folder / "model_final.pth", weights_only=True)
    return {name: each.double() for name, each in content["trainer"].get("stepped", content["model"]).items()}


def assert_equal_to_float_noise(
    data: Path, folder: Path, overrides: Sequence[str], *, recipe: str, most: float
) -> None:
    run(data, folder / "one", overrides, recipe=recipe, iterations=3)
    done = run_in_two(data, folder / "two", *overrides, "SOLVER.MAX_ITER=3", recipe=recipe)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = weights(folder / "one"), weights(folder / "two")
    assert set(one) == set(two)
    start = torch.load(folder / "one" / "model_0000001.pth", weights_only=True)
    before = {name: each.double() for name, each in start["trainer"].get("stepped", start["model"]).items()}
    apart = torch.cat([(one[name] - two[name]).flatten() for name in one]).norm()
    moved = torch.cat([(one[name] - before[name]).flatten() for name in one]).norm()
    # The last step alone moved the weights by many times what tells the two apart.
    assert moved > 0
    assert float(apart) < most * float(moved), (float(apart), float(moved))
    for first, second in zip(read_metrics(folder / "one"), read_metrics(folder / "two"), strict=True):
        for name in first:
            if "loss" in name:
                assert second[name] == pytest.approx(first[name], rel=1e-4, abs=1e-6), name
    # One process wrote: one log of events, one checkpoint a time.
    names = [
        {path.name for path in (folder / each).rglob("*") if "tfevents" not in path.name} for each in ("one", "two")
    ]
    assert names[1] - {"log.txt", ".nucleate.lock"} == names[0]
    assert len(list((folder / "two").glob("events.out.tfevents.*"))) == 1
    assert RunCard.read(folder / "two").iterations == 3


@pytest.mark.timeout(1800)
def test_two_processes_train_a_mask_rcnn_as_one(tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data", rle=True)
    assert_equal_to_float_noise(data, tmp_path, BOXES, recipe="mask-rcnn-cpu", most=1e-3)


@pytest.mark.timeout(1800)
def test_two_processes_train_a_star_convex_network_as_one(tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data", rle=True)
    assert_equal_to_float_noise(data, tmp_path, STARS, recipe="star-convex", most=2e-2)


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
