from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.contestants.processes import ContestantError, ContestantProcess, Entry, has_stardist
from benchmarks.contestants.rounds import run_rounds
from benchmarks.contestants.scenes import Scenes

FAKE = "tests.benchmarks.fake_contestant"


@pytest.fixture
def scenes() -> Scenes:
    label_maps = np.zeros((2, 8, 8), np.int32)
    label_maps[0, :2, 1:4] = 5
    label_maps[1, :2, :2] = 1
    label_maps[1, 4:, 4:] = 3
    return Scenes(
        images_rgb=np.ones((2, 8, 8, 3), np.uint8),
        label_maps=label_maps,
        names=("a", "b"),
        magnification=0.25,
        origin="two",
    )


@pytest.fixture
def scenes_file(scenes: Scenes, tmp_path: Path) -> Path:
    scenes.write(tmp_path / "scenes.npz")
    return tmp_path / "scenes.npz"


def test_scenes_come_back_from_their_file(scenes: Scenes, scenes_file: Path) -> None:
    read = Scenes.read(scenes_file)
    assert np.array_equal(read.label_maps, scenes.label_maps)
    assert (read.names, read.magnification, read.origin) == (("a", "b"), 0.25, "two")
    assert read.annotated_nuclei() == [1, 2]


def test_boxes_enclose_the_nuclei(scenes: Scenes) -> None:
    assert scenes.boxes_xyxy(1).tolist() == [[0, 0, 2, 2], [4, 4, 8, 8]]


def test_each_round_takes_the_next_image_and_the_first_contestant_says_how_many_nuclei(
    scenes: Scenes, scenes_file: Path
) -> None:
    entries = [Entry(name=name, module=FAKE, precision="fp32") for name in ("first", "second")]
    first, second = run_rounds(entries, scenes, scenes_file, threads=1, rounds=3)
    assert first.nuclei == second.nuclei == (1, 2, 1)
    assert len(first.timings["network"]) == 3
    assert first.notes == ("1 threads",)


def test_memory_is_the_contestants_own(scenes_file: Path) -> None:
    """A child's ru_maxrss starts at its parent's size on Linux; 400 MB here must not count there."""
    here = np.ones(50_000_000)
    with ContestantProcess(Entry(name="fake", module=FAKE, precision="fp32"), scenes_file, threads=1) as process:
        assert process.start_memory_mb is None or process.start_memory_mb < here.nbytes / 1e6


def test_a_contestant_that_breaks_is_told_with_its_last_words(scenes_file: Path) -> None:
    fragile = Entry(name="fake", module=FAKE, precision="fp32", model="fragile")
    with (
        pytest.raises(ContestantError, match=r"fake \(fp32\) failed: RuntimeError: the fake broke"),
        ContestantProcess(fragile, scenes_file, threads=1) as process,
    ):
        process.ask(0, detections=1)


def test_a_missing_interpreter_is_told(tmp_path: Path, scenes_file: Path) -> None:
    python = str(tmp_path / "no python")
    assert not has_stardist(python)
    with pytest.raises(ContestantError, match="can't be started"):
        ContestantProcess(Entry(name="a", module=FAKE, precision="fp32", python=python), scenes_file, threads=1)
