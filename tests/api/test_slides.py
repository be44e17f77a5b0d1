"""Slides through `segment`: one folder each, failures told, shards, status, dry runs, regions."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import geopandas
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from nucleate.api import slide_scale as slide_scale_module
from nucleate.api import slides as slides_module
from nucleate.api.loading import LoadedModel
from nucleate.api.segment import SegmentSettings
from nucleate.api.slides import Shard
from nucleate.core import ImageScale, Instances
from nucleate.errors import ConfigError, FolderInUseError
from nucleate.export import read_nuclei, read_table_info
from nucleate.files import folder_lock
from nucleate.inference.whole_slide import SlideProgress, StageSeconds
from tests.api.slide_calls import CARD, geojson, run, slide_at, states
from tests.inference.fake_segmenter import InkSegmenter
from tests.slides.slide_files import draw_slide, write_pyramid


def test_a_slide_gets_its_folder(tmp_path: Path, ink: InkSegmenter) -> None:
    result = run(slide_at(tmp_path / "a.tif"), output=tmp_path / "out")
    assert states(result) == [("a", "done")]
    folder = tmp_path / "out" / "a.nucleate"
    names = {path.name for path in folder.iterdir()}
    assert {"nuclei.parquet", "summary.json", "density.png", "thumbnail.png", "tissue.png", "tissue.geojson"} <= names
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["nuclei"] == result.slides[0].nuclei == len(geopandas.read_parquet(folder / "nuclei.parquet")) > 20
    assert summary["mpp"] == 0.5
    assert summary["run"]["model"]["name"] == "ink"
    assert {stage["name"] for stage in summary["run"]["stages"]} == {"reading", "network", "outlines", "writing"}
    assert read_table_info(folder / "nuclei.parquet").mpp_known_by == "file"
    assert "a      done" in result.summary()
    assert ink.batches


def test_a_finished_slide_is_kept_and_other_settings_refused(tmp_path: Path, ink: InkSegmenter) -> None:
    slide = slide_at(tmp_path / "a.tif")
    first = run(slide, output=tmp_path / "out")
    calls = len(ink.batches)
    again = run(slide, output=tmp_path / "out")
    assert states(again) == [("a", "kept")]
    assert again.slides[0].nuclei == first.slides[0].nuclei
    assert len(ink.batches) == calls
    refused = run(slide, output=tmp_path / "out", settings=SegmentSettings(overlap_px=32))
    assert states(refused) == [("a", "failed")]
    assert "other settings (overlap_px: 48 there, 32 now)" in str(refused.failures[0])
    assert (
        run(slide, output=tmp_path / "out", settings=SegmentSettings(overlap_px=32, fresh=True)).slides[0].state
        == "done"
    )


def test_images_and_slides_of_one_call(tmp_path: Path, ink: InkSegmenter) -> None:
    slide_at(tmp_path / "in" / "a.tif")
    Image.fromarray(draw_slide(200, 150)).save(tmp_path / "in" / "b.png")
    result = run(tmp_path / "in", output=tmp_path / "out", settings=SegmentSettings(mpp=0.5, overlap_px=48))
    assert states(result) == [("a", "done")]
    assert result.names == ("b",)
    assert "1 image" in result.summary()
    # Pictures among a slide's results are no images.
    names = run(tmp_path / "out", output=tmp_path / "more").names
    assert names
    assert not any("a.nucleate" in name for name in names)


def test_shards_share_the_slides(tmp_path: Path, ink: InkSegmenter) -> None:
    slides = [slide_at(tmp_path / "in" / f"{name}.tif") for name in "abc"]
    first = run(*slides, output=tmp_path / "out", shard="1/2")
    assert states(first) == [("a", "done"), ("c", "done")]
    status = run(*slides, output=tmp_path / "out", status=True)
    assert states(status) == [("a", "finished"), ("b", "not begun"), ("c", "finished")]
    assert states(run(*slides, output=tmp_path / "out", shard="2/2")) == [("b", "done")]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_impossible_shards_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give i/n"):
        Shard.parse(text)


def test_images_are_not_sharded(tmp_path: Path, ink: InkSegmenter) -> None:
    Image.fromarray(draw_slide(200, 150)).save(tmp_path / "b.png")
    with pytest.raises(ConfigError, match="b.png is an image"):
        run(tmp_path / "b.png", output=tmp_path / "out", shard="1/2")


class InterruptedSegmenter(InkSegmenter):
    """Is interrupted at its n-th call."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self._calls = calls

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        if len(self.batches) == self._calls:
            raise KeyboardInterrupt
        return super().segment(images_rgb)


def interrupted_run(slide: Path, output: Path, monkeypatch: pytest.MonkeyPatch, *, calls: int) -> None:
    model = LoadedModel(segmenter=InterruptedSegmenter(calls), card=CARD)
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["nucleate.api.segment"], "load_model", lambda *_, **__: model)
        with pytest.raises(KeyboardInterrupt):
            run(slide, output=output, settings=SegmentSettings(overlap_px=48, batch_images=4))


def test_status_tells_how_far_a_slide_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ink: InkSegmenter) -> None:
    slide = write_pyramid(tmp_path / "a.tif", draw_slide(1500, 300))
    interrupted_run(slide, tmp_path / "out", monkeypatch, calls=3)
    (status,) = run(slide, output=tmp_path / "out", status=True).slides
    assert status.state == "begun"
    assert "blocks" in status.notes[0]
    with folder_lock(status.folder):
        assert run(slide, output=tmp_path / "out", status=True).slides[0].state == "in work"
    (done,) = run(slide, output=tmp_path / "out").slides
    assert done.state == "done"


def test_a_slide_in_work_elsewhere_is_left_to_it(tmp_path: Path, ink: InkSegmenter) -> None:
    slides = [slide_at(tmp_path / f"{name}.tif") for name in "ab"]
    with folder_lock(tmp_path / "out" / "a.nucleate"):
        assert states(run(*slides, output=tmp_path / "out")) == [("a", "in work"), ("b", "done")]
        with pytest.raises(FolderInUseError):
            run(slides[0], output=tmp_path / "out")


def test_dry_run_tells_what_it_would_take(tmp_path: Path, ink: InkSegmenter) -> None:
    result = run(slide_at(tmp_path / "a.tif"), output=tmp_path / "out", dry_run=True)
    (plan,) = result.slides
    assert plan.state == "planned"
    assert plan.tissue_mm2 is not None
    text = result.summary()
    for words in ("0.5 um/px (by file)", "tiles in", "minutes", "MB of disk", "GiB of memory"):
        assert words in text
    assert [path.name for path in plan.folder.iterdir()] == ["tissue.png"]
    assert run(slide_at(tmp_path / "a.tif"), output=None, dry_run=True).slides[0].state == "planned"
    (tmp_path / "bad.svs").write_text("no slide")
    assert states(run(tmp_path / "bad.svs", output=None, dry_run=True)) == [("bad", "failed")]


def test_roi_bounds_what_is_looked_at(tmp_path: Path, ink: InkSegmenter) -> None:
    slide = slide_at(tmp_path / "a.tif")
    whole = run(slide, output=tmp_path / "whole").slides[0]
    roi = geojson(tmp_path / "roi.geojson", (0, 0, 250, 210))
    part = run(slide, output=tmp_path / "part", roi=roi).slides[0]
    expected = np.concatenate([n.centroids_xy for n in read_nuclei(whole.folder / "nuclei.parquet")])
    inside = (expected[:, 0] <= 250) & (expected[:, 1] <= 210)
    assert part.nuclei == inside.sum()
    assert part.tissue_mm2 is not None
    assert whole.tissue_mm2 is not None
    assert part.tissue_mm2 < 0.3 * whole.tissue_mm2
    outside = geojson(tmp_path / "far.geojson", (5000, 5000, 5100, 5100))
    assert "no tissue in the regions" in str(run(slide, output=tmp_path / "none", roi=outside).failures[0])


def test_regions_are_told_with_the_slide_and_afterwards(tmp_path: Path, ink: InkSegmenter) -> None:
    slide = slide_at(tmp_path / "a.tif")
    regions = geojson(tmp_path / "regions.geojson", (0, 0, 250, 420), (250, 0, 500, 420))
    (result,) = run(slide, output=tmp_path / "out", regions=regions).slides
    rows = (result.folder / "regions.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 + 1
    (result.folder / "regions.csv").unlink()
    assert run(slide, output=tmp_path / "out", regions=regions).slides[0].state == "kept"
    assert (result.folder / "regions.csv").read_text().splitlines() == rows


def test_a_slide_without_scale_gets_an_estimate_that_is_said(tmp_path: Path, ink: InkSegmenter) -> None:
    slide = slide_at(tmp_path / "a.tif", resolution=None, resolutionunit=None)
    (result,) = run(slide, output=tmp_path / "out").slides
    assert "estimated over three scales" in result.notes[0]
    info = read_table_info(result.folder / "nuclei.parquet")
    assert info.mpp_known_by == "estimate"
    assert info.frame.mpp == pytest.approx(0.5, rel=0.35)


def test_a_resumed_slide_keeps_the_scale_that_its_blocks_were_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ink: InkSegmenter
) -> None:
    """Where another processor let the network answer differently, an estimate gave other tiles than the journal's."""
    slide = write_pyramid(tmp_path / "a.tif", draw_slide(1500, 300), resolution=None, resolutionunit=None)
    (whole,) = run(slide, output=tmp_path / "whole").slides
    interrupted_run(slide, tmp_path / "out", monkeypatch, calls=len(ink.batches) - 2)
    (begun,) = run(slide, output=tmp_path / "out", status=True).slides
    assert "blocks" in begun.notes[0]
    assert not begun.notes[0].startswith("0 ")
    elsewhere = ImageScale(magnification=0.7, known_by="estimate", diameter_px=28.0)
    monkeypatch.setattr(slide_scale_module, "estimated_scale", lambda *_, **__: elsewhere)
    (result,) = run(slide, output=tmp_path / "out").slides
    assert result.state == "done"
    assert result.notes == whole.notes
    table = "nuclei.parquet"
    assert (result.folder / table).read_bytes() == (whole.folder / table).read_bytes()
    # What the user says of the scale is no estimate: other blocks, so another folder.
    failed = run(slide, output=tmp_path / "out", settings=SegmentSettings(overlap_px=48, mpp=0.4)).failures
    assert "other settings (scale: 'estimate' there, '0.4 um/px' now)" in str(failed[0])


def test_a_dry_run_tells_the_tissue_of_the_regions(tmp_path: Path, ink: InkSegmenter) -> None:
    """It told that of the whole slide."""
    slide = slide_at(tmp_path / "a.tif")
    roi = geojson(tmp_path / "roi.geojson", (0, 0, 250, 210))
    (plan,) = run(slide, output=None, dry_run=True, roi=roi).slides
    assert plan.tissue_mm2 == pytest.approx(250 * 210 * 0.5**2 / 1e6, rel=0.1)


def test_a_slide_is_segmented_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ink: InkSegmenter) -> None:
    """Its bar raised before the first tile."""
    shown = StringIO()
    console = Console(file=shown, force_terminal=True, width=200)
    monkeypatch.setattr(slides_module, "Console", lambda **_: console)
    (result,) = run(slide_at(tmp_path / "a.tif"), output=tmp_path / "out").slides
    assert result.state == "done"
    assert "tiles" in shown.getvalue()


def test_progress_of_a_resumed_slide_starts_its_clock_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of earlier calls counted as done in no time, so that what was left seemed to need none."""
    shown = StringIO()
    console = Console(file=shown, force_terminal=True, width=200)
    monkeypatch.setattr(slides_module, "Console", lambda **_: console)
    seconds = StageSeconds(reading=1, network=5, outlines=3, writing=1)
    with slides_module.slide_bar("a") as progress:
        progress(SlideProgress(tiles=900, tiles_in_all=1000, nuclei=12_345, mm2=4.0, seconds=StageSeconds()))
        progress(SlideProgress(tiles=904, tiles_in_all=1000, nuclei=12_400, mm2=4.1, seconds=seconds))
    text = shown.getvalue()
    assert "904/1,000 tiles" in text
    assert "12,400 nuclei, 4.1 mm2" in text
    assert "read 10%, network 50%, outlines 30%, write 10%" in text
    assert "-:--:--" in text


def test_slides_need_an_output(tmp_path: Path, ink: InkSegmenter) -> None:
    with pytest.raises(ConfigError, match="give --output"):
        run(slide_at(tmp_path / "a.tif"), output=None)
