"""Slides through `segment`: one folder each, failures told, shards, status, dry runs, regions."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nucleate.api import slides as slides_module
from nucleate.api.loading import LoadedModel
from nucleate.api.segment import SegmentSettings, segment
from nucleate.api.slides import Shard, WholeSlideSettings
from nucleate.cli import run as run_command
from nucleate.core import Instances
from nucleate.errors import ConfigError, DiskFullError, FolderInUseError
from nucleate.export import read_nuclei, read_table_info
from nucleate.files import folder_lock
from nucleate.inference import Segmentation
from nucleate.inference.whole_slide import SlideResult
from nucleate.models.run_card import RunCard
from tests.inference.fake_segmenter import InkSegmenter
from tests.slides.slide_files import draw_slide, spoil_tile, write_pyramid

CARD = RunCard(name="ink", tile_px=128, score_threshold=0.2, working_diameter_px=20.0, working_mpp=0.5)


@pytest.fixture
def ink(monkeypatch: pytest.MonkeyPatch) -> InkSegmenter:
    """Let `segment` load a fake model that works at the drawn slides' scale."""
    segmenter = InkSegmenter()
    model = LoadedModel(segmenter=segmenter, card=CARD)
    monkeypatch.setattr(sys.modules["nucleate.api.segment"], "load_model", lambda *_, **__: model)
    return segmenter


def slide_at(path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_pyramid(path, draw_slide(500, 420), **options)  # type: ignore[arg-type]


def run(*slides: Path, output: Path | None, settings: SegmentSettings | None = None, **options: object) -> Segmentation:
    whole = WholeSlideSettings(**options)  # type: ignore[arg-type]
    return segment(slides, output=output, settings=settings or SegmentSettings(overlap_px=48), slides=whole)


def states(result: Segmentation) -> list[tuple[str, str]]:
    return [(slide.name, slide.state) for slide in result.slides]


def geojson(path: Path, *boxes: tuple[float, float, float, float]) -> Path:
    features = [
        {
            "type": "Feature",
            "properties": {"name": f"box {index}"},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]]],
            },
        }
        for index, (x1, y1, x2, y2) in enumerate(boxes)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


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
    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        if len(self.batches) == 3:
            raise KeyboardInterrupt
        return super().segment(images_rgb)


def test_status_tells_how_far_a_slide_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ink: InkSegmenter) -> None:
    slide = write_pyramid(tmp_path / "a.tif", draw_slide(1500, 300))
    interrupted = LoadedModel(segmenter=InterruptedSegmenter(), card=CARD)
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["nucleate.api.segment"], "load_model", lambda *_, **__: interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(slide, output=tmp_path / "out", settings=SegmentSettings(overlap_px=48, batch_images=4))
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


def test_a_full_disk_stops_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ink: InkSegmenter) -> None:
    def full(*_: object, **__: object) -> SlideResult:
        raise DiskFullError("can't be written: No space left on device", path=tmp_path)

    monkeypatch.setattr(slides_module, "run_slide", full)
    with pytest.raises(DiskFullError, match="No space left"):
        run(slide_at(tmp_path / "a.tif"), slide_at(tmp_path / "b.tif"), output=tmp_path / "out")


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


def test_unreadable_tiles_are_told(tmp_path: Path, ink: InkSegmenter) -> None:
    slide = write_pyramid(tmp_path / "a.tif", draw_slide(900, 700), levels=3)
    spoil_tile(slide, 0)
    (result,) = run(slide, output=tmp_path / "out").slides
    assert result.state == "done"
    assert any("unreadable, left out: x 0" in note for note in result.notes)


def test_a_slide_without_scale_gets_an_estimate_that_is_said(tmp_path: Path, ink: InkSegmenter) -> None:
    slide = slide_at(tmp_path / "a.tif", resolution=None, resolutionunit=None)
    (result,) = run(slide, output=tmp_path / "out").slides
    assert "estimated over three scales" in result.notes[0]
    info = read_table_info(result.folder / "nuclei.parquet")
    assert info.mpp_known_by == "estimate"
    assert info.frame.mpp == pytest.approx(0.5, rel=0.35)


def test_slides_need_an_output(tmp_path: Path, ink: InkSegmenter) -> None:
    with pytest.raises(ConfigError, match="give --output"):
        run(slide_at(tmp_path / "a.tif"), output=None)


def test_too_little_memory_is_refused(tmp_path: Path, ink: InkSegmenter) -> None:
    result = run(slide_at(tmp_path / "a.tif"), output=tmp_path / "out", memory=0.5)
    assert "--memory 0.5 GiB" in str(result.failures[0])


def test_read_only_output_is_one_line(tmp_path: Path, ink: InkSegmenter, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file")
    slide = slide_at(tmp_path / "a.tif")
    assert run_command(["segment", str(slide), "--output", str(tmp_path / "out")]) == 1
    assert "can't be written" in capsys.readouterr().err


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
