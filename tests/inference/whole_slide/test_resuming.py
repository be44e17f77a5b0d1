"""What is finished survives: errors, kills, full disks; the table is the same as that of an undisturbed run."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.drawn_pyramids import Pyramid, write_pyramid
from nucleate.core import Instances
from nucleate.errors import DataError, DiskFullError, ResultsError
from nucleate.inference.whole_slide import SlideFolder, finished_blocks
from nucleate.inference.whole_slide import folder as folder_module
from nucleate.inference.whole_slide.found import write_found
from tests.inference.fake_segmenter import InkSegmenter, draw_grid
from tests.inference.whole_slide.drawn import ArraySlide, nuclei_of, plan_of, segment_drawn

SLIDE = ArraySlide(draw_grid(400, 400, pitch_px=21, radius=7))


class StoppingSegmenter(InkSegmenter):
    """Raises at its n-th call."""

    def __init__(self, calls: int, error: BaseException) -> None:
        super().__init__()
        self._left, self._error = calls, error

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        if self._left == 0:
            raise self._error
        self._left -= 1
        return super().segment(images_rgb)


def table_bytes(folder: Path) -> bytes:
    return (folder / "nuclei.parquet").read_bytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_a_stopped_run_goes_on_with_its_unfinished_blocks(tmp_path: Path, error: BaseException) -> None:
    segment_drawn(SLIDE, tmp_path / "whole")
    with pytest.raises(type(error)):
        segment_drawn(SLIDE, tmp_path / "stopped", segmenter=StoppingSegmenter(23, error))
    count = finished_blocks(tmp_path / "stopped")
    assert count is not None
    assert 0 < count.finished < count.in_all
    segmenter = InkSegmenter()
    outcome = segment_drawn(SLIDE, tmp_path / "stopped", segmenter=segmenter)
    assert outcome.kept_blocks == count.finished
    assert sum(map(len, segmenter.batches)) < plan_of(SLIDE).tiles
    assert table_bytes(tmp_path / "stopped") == table_bytes(tmp_path / "whole")


def test_a_torn_line_costs_its_block_alone(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        segment_drawn(SLIDE, tmp_path, segmenter=StoppingSegmenter(40, RuntimeError()))
    journal = tmp_path / ".state" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]) + lines[-1][:20])
    outcome = segment_drawn(SLIDE, tmp_path)
    assert outcome.kept_blocks == len(lines) - 1
    segment_drawn(SLIDE, tmp_path / "whole")
    assert table_bytes(tmp_path) == table_bytes(tmp_path / "whole")


def test_mending_a_torn_journal_on_a_full_disk_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was cut to nothing before it was written anew, so a full disk cost every finished block."""
    with pytest.raises(RuntimeError):
        segment_drawn(SLIDE, tmp_path, segmenter=StoppingSegmenter(40, RuntimeError()))
    journal = tmp_path / ".state" / "journal.jsonl"
    with journal.open("a") as lines:
        lines.write('{"block":')
    before = journal.read_bytes()

    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFullError, match="No space left"):
            segment_drawn(SLIDE, tmp_path)
    assert journal.read_bytes() == before
    assert segment_drawn(SLIDE, tmp_path).kept_blocks == before.count(b"\n")


def test_finished_blocks_without_their_plan_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        segment_drawn(SLIDE, tmp_path, segmenter=StoppingSegmenter(40, RuntimeError()))
    folder = SlideFolder(tmp_path, {"plan": "1.0"})
    stored = folder.stored_plan()
    assert stored is not None
    stored.check(plan_of(SLIDE), tmp_path)
    with pytest.raises(ResultsError, match="blocks of other tiles"):
        stored.check(plan_of(SLIDE, block_tiles=3), tmp_path)
    for damaged in ("", "{}", '{"scale": {"magnification": -1, "known_by": "mpp"}}'):
        (tmp_path / ".state" / "plan.json").write_text(damaged)
        with pytest.raises(ResultsError, match="missing or damaged: start anew with --fresh"):
            folder.stored_plan()
    assert SlideFolder(tmp_path, {"plan": "1.0"}, fresh=True).stored_plan() is None


def test_what_cant_be_removed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment_drawn(SLIDE, tmp_path)

    def read_only(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(ResultsError, match="can't be written: Read-only file system"):
        SlideFolder(tmp_path, {"plan": "2"}, fresh=True)


def test_a_block_whose_file_is_gone_is_done_again(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        segment_drawn(SLIDE, tmp_path, segmenter=StoppingSegmenter(40, RuntimeError()))
    kept = sorted((tmp_path / ".state" / "blocks").iterdir())
    kept[0].unlink()
    assert segment_drawn(SLIDE, tmp_path).kept_blocks == len(kept) - 1


def test_a_damaged_block_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        segment_drawn(SLIDE, tmp_path, segmenter=StoppingSegmenter(40, RuntimeError()))
    min((tmp_path / ".state" / "blocks").iterdir()).write_bytes(b"half")
    with pytest.raises(ResultsError, match="start anew with --fresh"):
        segment_drawn(SLIDE, tmp_path)
    assert segment_drawn(SLIDE, tmp_path, fresh=True).kept_blocks == 0


def test_other_settings_are_refused(tmp_path: Path) -> None:
    segment_drawn(SLIDE, tmp_path)
    with pytest.raises(ResultsError, match=r"other settings \(plan: '1.0' there, '2' now\)"):
        SlideFolder(tmp_path, {"plan": "2"})
    SlideFolder(tmp_path, {"plan": "2"}, fresh=True)
    assert not (tmp_path / "nuclei.parquet").exists()


def test_a_full_disk_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = write_found, iter(range(100))

    def full(path: Path, *arguments: object) -> None:
        if next(calls) == 3:
            raise DiskFullError("can't be written: No space left on device", path=path)
        write(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_module, "write_found", full)
    with pytest.raises(DiskFullError, match="No space left"):
        segment_drawn(SLIDE, tmp_path)
    assert segment_drawn(SLIDE, tmp_path).kept_blocks == 3


def test_unreadable_tiles_are_told_and_left_out(tmp_path: Path) -> None:
    picture = draw_grid(300, 300, pitch_px=21, radius=7)
    outcome = segment_drawn(ArraySlide(picture, broken=[(0, 0, 5, 5)]), tmp_path / "some")
    assert [tile.window_xyxy for tile in outcome.unreadable] == [(0, 0, 64, 64)]
    assert outcome.unreadable[0].problem == "a bad tile"
    boxes = nuclei_of(outcome).boxes_xyxy
    assert len(boxes) > 100
    assert not ((boxes[:, 2] < 30) & (boxes[:, 3] < 30)).any()
    with pytest.raises(DataError, match="no tile can be read: a bad tile"):
        segment_drawn(ArraySlide(picture, broken=[(0, 0, 300, 300)]), tmp_path / "all")


def blocks_done(folder: Path) -> int:
    count = finished_blocks(folder)
    return 0 if count is None else count.finished


def run_killed(slide: Path, folder: Path, *, kills: int, most_seconds: float) -> list[int]:
    """Run `killed_run` and kill it at seeded moments, then let it end; return the blocks that each call found done.

    Every other kill waits until a block more is done, however slow the machine is.
    """
    rng = random.Random(1)
    command = [sys.executable, "-m", "tests.inference.whole_slide.killed_run", str(slide), str(folder)]
    for kill in range(kills):
        before = blocks_done(folder)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        process.stdout.readline()
        while kill % 2 and blocks_done(folder) <= before and process.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, most_seconds))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = (folder / "calls.jsonl").read_text().splitlines()
    return [json.loads(line)["blocks"] for line in lines]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")
@pytest.mark.parametrize(
    ("side_px", "kills"), [(3072, 5), pytest.param(20_480, 50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_kills_cost_nothing_that_was_finished(tmp_path: Path, side_px: int, kills: int) -> None:
    slide = write_pyramid(tmp_path / "slide.tif", Pyramid(side_px=side_px, tissue_share=0.5))
    run_killed(slide, tmp_path / "whole", kills=0, most_seconds=0)
    done = run_killed(slide, tmp_path / "killed", kills=kills, most_seconds=0.5 if kills < 10 else 1.5)
    assert table_bytes(tmp_path / "killed") == table_bytes(tmp_path / "whole")
    assert not (tmp_path / "killed" / ".state" / "blocks").exists()
    # What was finished stays finished, and the kills came while blocks were on their way.
    assert len(done) == kills + 1
    # Once the slide is finished, calls find no block to go on from.
    on_the_way = done[: done.index(max(done)) + 1]
    assert on_the_way == sorted(on_the_way)
    assert max(done) > 0
