"""The process holds no more than it may, as far as reading ahead decides it; the table is the same."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.core import Instances
from nucleate.inference.whole_slide import MemoryBound, SlideFolder, resident_bytes, segment_slide
from nucleate.inference.whole_slide import memory as memory_module
from nucleate.inference.whole_slide.memory import GIB
from nucleate.slides import Window
from tests.inference.fake_segmenter import InkSegmenter, draw_grid
from tests.inference.whole_slide.drawn import ArraySlide, plan_of, run_of

PICTURE = draw_grid(300, 300, pitch_px=21, radius=7)


class CountingSlide(ArraySlide):
    """Counts its tiles."""

    def __init__(self, image_rgb: NDArray[np.uint8]) -> None:
        super().__init__(image_rgb)
        self.reads = 0
        self.is_ahead = threading.Event()

    def read(
        self, window_xyxy: Window, *, mpp: float | None = None, downsample: float | None = None
    ) -> NDArray[np.uint8]:
        self.reads += 1
        if self.reads > 3:
            self.is_ahead.set()
        return super().read(window_xyxy, mpp=mpp, downsample=downsample)


class WatchingSegmenter(InkSegmenter):
    """Notes how many tiles were read when it was asked for each batch."""

    def __init__(self, slide: CountingSlide, *, waits: bool) -> None:
        super().__init__()
        self._slide, self._waits = slide, waits
        self.read_before: list[int] = []

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        if self._waits:
            assert self._slide.is_ahead.wait(60)
        self.read_before.append(self._slide.reads)
        return super().segment(images_rgb)


def run_with(memory: MemoryBound, folder: Path, *, waits: bool) -> WatchingSegmenter:
    slide = CountingSlide(PICTURE)
    segmenter = WatchingSegmenter(slide, waits=waits)
    segment_slide(segmenter, slide, SlideFolder(folder, {}), run_of(plan_of(slide), memory=memory))
    return segmenter


def test_above_the_bound_nothing_is_read_ahead(tmp_path: Path) -> None:
    above = MemoryBound(1.0, resident=lambda: 2 * GIB)
    held_back = run_with(above, tmp_path / "little", waits=False)
    batches = np.cumsum([len(batch) for batch in held_back.batches])
    assert held_back.read_before == batches.tolist()
    assert above.peak_gib == 2.0
    ample = run_with(MemoryBound(4.0, resident=lambda: 2 * GIB), tmp_path / "ample", waits=True)
    assert ample.read_before[0] > len(ample.batches[0])
    little, much = (tmp_path / name / "nuclei.parquet" for name in ("little", "ample"))
    assert little.read_bytes() == much.read_bytes()


def test_reading_goes_on_once_there_is_memory_again(tmp_path: Path) -> None:
    held = iter([2 * GIB] * 20)
    bound = MemoryBound(1.5, resident=lambda: next(held, GIB))
    segmenter = run_with(bound, tmp_path, waits=False)
    batches = np.cumsum([len(batch) for batch in segmenter.batches])
    assert segmenter.read_before[0] == batches[0]
    assert not bound.is_exceeded()
    assert bound.peak_gib == 2.0


def test_the_end_of_a_slide_is_watched_too(tmp_path: Path) -> None:
    slide = CountingSlide(PICTURE)
    table = tmp_path / "nuclei.parquet"

    def resident() -> int:
        # While the table is written, under another name.
        return 3 * GIB if any(tmp_path.glob(".nuclei*.parquet")) else GIB

    bound = MemoryBound(1.5, resident=resident)
    segment_slide(InkSegmenter(), slide, SlideFolder(tmp_path, {}), run_of(plan_of(slide), memory=bound))
    assert table.is_file()
    assert bound.peak_gib == 3.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells resident memory in /proc")
def test_resident_memory_is_told() -> None:
    before = resident_bytes()
    assert before is not None
    held = np.ones(64 * 2**20, np.uint8)
    after = resident_bytes()
    assert after is not None
    assert 2**20 < before <= after - 0.9 * held.nbytes


def test_where_nobody_tells_memory_nothing_is_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "_STATM", tmp_path / "statm")
    assert resident_bytes() is None
    assert not MemoryBound(0.001).is_exceeded()
    (tmp_path / "statm").write_text("nothing of use")
    assert resident_bytes() is None
