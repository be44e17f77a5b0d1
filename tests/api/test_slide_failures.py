"""What goes wrong with slides: one line each, the right exit code, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleate.api import one_slide as one_slide_module
from nucleate.api import slides as slides_module
from nucleate.cli import run as run_command
from nucleate.errors import DiskFullError
from nucleate.inference.whole_slide import MemoryBound, SlideResult, finished_blocks
from tests.api.slide_calls import run, slide_at, states
from tests.inference.fake_segmenter import InkSegmenter
from tests.slides.slide_files import draw_slide, spoil_tile, write_pyramid


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """Mount a small file system in memory while the block runs; the test is skipped where that is not allowed."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or subprocess.run(command, check=False, capture_output=True).returncode
    ):
        pytest.skip("no file system can be mounted here; a fake one takes its place in the test beside this one")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def command(slide: Path, output: Path) -> list[str]:
    return ["segment", str(slide), "--as", "slide", "--output", str(output), "--overlap-px", "48"]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_one_failure_does_not_stop_the_rest(tmp_path: Path, ink: InkSegmenter) -> None:
    slide_at(tmp_path / "in" / "b.tif")
    (tmp_path / "in" / "a.svs").write_text("no slide")
    Image.fromarray(np.full((300, 300, 3), 255, np.uint8)).save(tmp_path / "in" / "c.png")
    result = run(tmp_path / "in", output=tmp_path / "out", as_="slide")
    assert states(result) == [("a", "failed"), ("b", "done"), ("c", "failed")]
    problems = [str(failure) for failure in result.failures]
    assert "a.svs" in problems[0]
    assert "no tissue found" in problems[1]
    assert all("\n" not in problem for problem in problems)


def test_a_full_disk_stops_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ink: InkSegmenter) -> None:
    def full(*_: object, **__: object) -> SlideResult:
        raise DiskFullError("can't be written: No space left on device", path=tmp_path)

    monkeypatch.setattr(slides_module, "run_slide", full)
    with pytest.raises(DiskFullError, match="No space left"):
        run(slide_at(tmp_path / "a.tif"), slide_at(tmp_path / "b.tif"), output=tmp_path / "out")


def test_unreadable_tiles_are_told(tmp_path: Path, ink: InkSegmenter) -> None:
    slide = write_pyramid(tmp_path / "a.tif", draw_slide(900, 700), levels=3)
    spoil_tile(slide, 0)
    (result,) = run(slide, output=tmp_path / "out").slides
    assert result.state == "done"
    assert any("unreadable, left out: x 0" in note for note in result.notes)


def test_read_only_output_is_one_line(tmp_path: Path, ink: InkSegmenter, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file")
    slide = slide_at(tmp_path / "a.tif")
    assert run_command(["segment", str(slide), "--output", str(tmp_path / "out")]) == 1
    assert "can't be written" in capsys.readouterr().err


def test_too_little_memory_is_refused(tmp_path: Path, ink: InkSegmenter, capsys: pytest.CaptureFixture[str]) -> None:
    slide = slide_at(tmp_path / "a.tif")
    assert run_command([*command(slide, tmp_path / "out"), "--memory", "0.5"]) == 2
    assert one_line(capsys) == "nucleate: --memory 0.5 GiB: at least 1.2 are needed"


def test_command_tells_the_table_and_exits_1_where_a_slide_failed(
    tmp_path: Path, ink: InkSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    slide_at(tmp_path / "in" / "b.tif")
    (tmp_path / "in" / "a.svs").write_text("no slide")
    assert run_command(["segment", str(tmp_path / "in"), "--as", "slide", "--output", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "slide  state" in printed.out
    assert "a.svs" in printed.err
    assert run_command(["segment", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--status"]) == 0


def test_a_slide_that_was_cut_off_is_one_line(
    tmp_path: Path, ink: InkSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    slide = slide_at(tmp_path / "a.tif")
    slide.write_bytes(slide.read_bytes()[: slide.stat().st_size // 2])
    assert run_command(command(slide, tmp_path / "out")) == 1
    assert "a.tif" in one_line(capsys)
    assert not ink.batches


def test_a_slide_without_tissue_is_one_line(
    tmp_path: Path, ink: InkSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((300, 300, 3), 255, np.uint8)).save(tmp_path / "a.png")
    assert run_command(command(tmp_path / "a.png", tmp_path / "out")) == 1
    assert "no tissue found" in one_line(capsys)


def test_a_full_disk_keeps_what_is_finished_and_the_same_command_goes_on(
    tmp_path: Path, ink: InkSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    slide = write_pyramid(tmp_path / "a.tif", draw_slide(1500, 300))
    assert run_command(command(slide, tmp_path / "whole")) == 0
    whole = tmp_path / "whole" / "a.nucleate"
    capsys.readouterr()
    small = tmp_path / "small"
    # Room for the picture of the tissue and some of the blocks.
    size = (whole / "tissue.png").stat().st_size + 100_000
    with mounted(small, f"size={size}"):
        assert run_command(command(slide, small)) == 2
        assert "No space left" in one_line(capsys)
        count = finished_blocks(small / "a.nucleate")
        assert count is not None
        assert 0 < count.finished < count.in_all
        ink.batches.clear()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        assert run_command(command(slide, small)) == 0
        assert (small / "a.nucleate" / "nuclei.parquet").read_bytes() == (whole / "nuclei.parquet").read_bytes()


def test_a_read_only_file_system_is_one_line(
    tmp_path: Path, ink: InkSegmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    slide = slide_at(tmp_path / "a.tif")
    with mounted(tmp_path / "fixed", "ro"):
        assert run_command(command(slide, tmp_path / "fixed" / "out")) == 1
        assert "can't be written: Read-only file system" in one_line(capsys)


def test_memory_above_the_bound_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ink: InkSegmenter) -> None:
    def bound(most_gib: float) -> MemoryBound:
        return MemoryBound(most_gib, resident=lambda: 3 * 2**30)

    monkeypatch.setattr(one_slide_module, "MemoryBound", bound)
    (result,) = run(slide_at(tmp_path / "a.tif"), output=tmp_path / "out").slides
    assert result.state == "done"
    assert "memory reached 3.00 GiB, above --memory 2.5: give --memory 3.1, or a smaller --batch-images" in result.notes
