from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from nucleate.api.loading import LoadedModel
from nucleate.api.segment import SegmentSettings, segment, segment_with
from nucleate.core import ImageScale, Instances, masks_from_label_map
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.export import nucleus_rows
from nucleate.files import folder_lock, read_label_map
from nucleate.inference import ImageArray, Segmentation, collect_inputs
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.onnx_engine import EngineSettings
from tests.inference.fake_segmenter import InkSegmenter, draw_discs, draw_grid
from tests.inference.test_scale import TrainedInkSegmenter

CARD = RunCard(name="ink", tile_px=64, score_threshold=0.2, nucleus_diameter_px=31.0)
THREE = draw_discs(90, 120, [(20, 20, 8), (60, 45, 10), (100, 70, 6)])


def ink_model(segmenter: InkSegmenter | None = None, **card: object) -> LoadedModel:
    return LoadedModel(segmenter=segmenter or InkSegmenter(), card=replace(CARD, **card))  # type: ignore[arg-type]


def write(folder: Path, **pictures: NDArray[np.uint8]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def run(folder: Path, output: Path, model: LoadedModel | None = None, **settings: object) -> Segmentation:
    return segment_with(
        model or ink_model(),
        collect_inputs(folder, leave_out=output),
        output=output,
        settings=SegmentSettings(**settings),  # type: ignore[arg-type]
    )


def rows_of(output: Path) -> list[dict[str, str]]:
    with (output / "nuclei.csv").open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def snapshot(output: Path) -> dict[str, bytes]:
    paths = [path for path in output.rglob("*") if path.is_file() and ".nucleate" not in str(path)]
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in paths}


def test_array_gives_its_nuclei_without_writing_a_file() -> None:
    result = segment_with(ink_model(), collect_inputs(THREE))
    assert len(result) == 1
    assert len(result[0]) == result.nuclei == 3
    assert result[0].image_shape == (90, 120)
    assert result[0].class_names == ("nucleus",)
    assert result.output is None
    assert "no file written" in result.summary()


def test_labels_number_the_rows_of_the_table() -> None:
    image = segment_with(ink_model(), collect_inputs(THREE))[0]
    labels = image.labels()
    assert [row.area_px for row in image.table] == [np.count_nonzero(labels == n) for n in (1, 2, 3)]
    assert np.array_equal(labels > 0, THREE[..., 0] < 128)


def test_plot_is_a_figure_and_notebooks_show_a_picture() -> None:
    image = segment_with(ink_model(), collect_inputs(THREE))[0]
    assert isinstance(image.plot(), Figure)
    assert (image._repr_png_() or b"").startswith(b"\x89PNG")


def test_every_file_of_an_image_is_written(tmp_path: Path) -> None:
    run(write(tmp_path / "in", a=THREE), tmp_path / "out")
    assert set(snapshot(tmp_path / "out")) == {
        "predicted-ground-truth/a.png",
        "detectron-segmented/a.png",
        "a.geojson",
        "coco_instances_results.json",
        "nuclei.csv",
        "nuclei.parquet",
    }


def test_pixel_value_of_the_map_is_the_number_in_the_table(tmp_path: Path) -> None:
    run(write(tmp_path / "in", a=THREE), tmp_path / "out")
    numbers = read_label_map(tmp_path / "out" / "predicted-ground-truth" / "a.png")
    areas = {row["number"]: int(row["area_px"]) for row in rows_of(tmp_path / "out")}
    assert areas == {str(n): np.count_nonzero(numbers == n) for n in (1, 2, 3)}


def test_image_ids_count_from_one_in_input_order_and_name_the_file(tmp_path: Path) -> None:
    blank = draw_discs(40, 40, [])
    run(write(tmp_path / "in", a=THREE, b=blank, c=THREE), tmp_path / "out")
    records = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert {(record["image_id"], record["file_name"]) for record in records} == {(1, "a.png"), (3, "c.png")}


def test_six_hundred_nuclei_reach_every_file(tmp_path: Path) -> None:
    run(write(tmp_path / "in", a=draw_grid(400, 600, pitch_px=20, radius=6)), tmp_path / "out")
    assert len(rows_of(tmp_path / "out")) == 600
    assert len(json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]) == 600
    with Image.open(tmp_path / "out" / "predicted-ground-truth" / "a.png") as numbers:
        assert numbers.mode == "I;16"


def test_image_without_nuclei_has_its_files(tmp_path: Path) -> None:
    result = run(write(tmp_path / "in", a=draw_discs(40, 40, [])), tmp_path / "out")
    assert len(result[0]) == 0
    assert read_label_map(tmp_path / "out" / "predicted-ground-truth" / "a.png").max() == 0
    assert rows_of(tmp_path / "out") == []
    assert "0 nuclei" in result.summary()


def test_same_stem_in_two_folders_keeps_the_relative_path(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x", a=THREE)
    write(tmp_path / "in" / "y", a=THREE)
    run(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "detectron-segmented" / "y" / "a.png").is_file()
    assert {row["file"] for row in rows_of(tmp_path / "out")} == {"x/a.png", "y/a.png"}


def test_unreadable_file_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE, c=THREE)
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    result = run(tmp_path / "in", tmp_path / "out")
    assert [image.file for image in result] == ["a.png", "c.png"]
    (failure,) = result.failures
    assert failure.file == "b.png"
    assert "\n" not in str(failure)
    assert "1 unreadable" in result.summary()
    assert "1 failures" in repr(result)


def test_returned_nuclei_equal_those_without_files(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE)
    written = run(tmp_path / "in", tmp_path / "out")
    memory = segment_with(ink_model(), collect_inputs(tmp_path / "in"))
    assert written.table == memory.table
    assert np.array_equal(written[0].labels(), memory[0].labels())


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE, b=THREE)
    run(tmp_path / "in", tmp_path / "one")
    run(tmp_path / "in", tmp_path / "two")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_score_overrides_the_models_threshold(tmp_path: Path) -> None:
    found = segment_with(ink_model(), collect_inputs(THREE), settings=SegmentSettings(score=0.7))
    assert [len(image) for image in found] == [1]


def test_second_call_keeps_finished_images_and_does_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "in", b=THREE)
    run(tmp_path / "in", tmp_path / "out")
    write(tmp_path / "in", a=draw_discs(50, 50, [(20, 20, 8)]))
    segmenter = InkSegmenter()
    result = run(tmp_path / "in", tmp_path / "out", ink_model(segmenter))
    assert segmenter.batches == [(50,)]
    assert (result.kept, len(result), result.nuclei) == (1, 2, 4)
    assert [row["file"] for row in rows_of(tmp_path / "out")] == ["a.png"] + 3 * ["b.png"]


def test_finished_image_of_an_earlier_call_stays_in_the_tables(tmp_path: Path) -> None:
    run(write(tmp_path / "one", a=THREE), tmp_path / "out")
    result = run(write(tmp_path / "two", b=THREE), tmp_path / "out")
    assert len(result) == 1
    assert [row["file"] for row in rows_of(tmp_path / "out")] == 3 * ["b.png"] + 3 * ["a.png"]


def test_changed_input_is_done_again(tmp_path: Path) -> None:
    run(write(tmp_path / "in", a=THREE), tmp_path / "out")
    result = run(write(tmp_path / "in", a=draw_discs(50, 50, [(20, 20, 8)])), tmp_path / "out")
    assert (result.kept, result.nuclei) == (0, 1)


def test_image_whose_picture_was_deleted_is_done_again(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE)
    run(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "detectron-segmented" / "a.png").unlink()
    assert run(tmp_path / "in", tmp_path / "out").kept == 0
    assert (tmp_path / "out" / "detectron-segmented" / "a.png").is_file()


def test_other_settings_are_refused_and_name_the_difference(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE)
    run(tmp_path / "in", tmp_path / "out")
    before = snapshot(tmp_path / "out")
    with pytest.raises(ResultsError, match=r"score 0\.2, now 0\.5.*--fresh"):
        run(tmp_path / "in", tmp_path / "out", score=0.5)
    assert snapshot(tmp_path / "out") == before


def test_other_weights_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE)
    run(tmp_path / "in", tmp_path / "out")
    with pytest.raises(ResultsError, match="fingerprint ink-1, now ink-2"):
        run(tmp_path / "in", tmp_path / "out", ink_model(InkSegmenter("ink-2")))


def test_size_of_batches_is_no_other_setting(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE)
    run(tmp_path / "in", tmp_path / "out")
    assert run(tmp_path / "in", tmp_path / "out", batch_images=1).kept == 1


def test_fresh_starts_anew_and_leaves_other_files_alone(tmp_path: Path) -> None:
    run(write(tmp_path / "one", a=THREE), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    run(write(tmp_path / "two", b=THREE), tmp_path / "out", score=0.5, fresh=True)
    files = snapshot(tmp_path / "out")
    assert "notes.txt" in files
    assert "a.geojson" not in files
    assert "b.geojson" in files


def test_results_without_a_journal_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "coco_instances_results.json").write_text("[]")
    with pytest.raises(ResultsError, match="unknown settings"):
        run(write(tmp_path / "in", a=THREE), tmp_path / "out")
    assert (tmp_path / "out" / "coco_instances_results.json").read_text() == "[]"


def test_other_image_of_the_same_name_is_not_overwritten(tmp_path: Path) -> None:
    run(write(tmp_path / "one", a=THREE), tmp_path / "out")
    with pytest.raises(ResultsError, match="under the name"):
        run(write(tmp_path / "two", a=draw_discs(50, 50, [])), tmp_path / "out")


def test_moved_input_is_kept(tmp_path: Path) -> None:
    run(write(tmp_path / "one", a=THREE), tmp_path / "out")
    assert run(write(tmp_path / "two", a=THREE), tmp_path / "out").kept == 1


def test_input_that_needs_a_longer_name_now_loses_the_short_one(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x", a=THREE)
    run(tmp_path / "in", tmp_path / "out")
    write(tmp_path / "in" / "y", a=THREE)
    run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out" / "a.geojson").exists()
    assert [row["file"] for row in rows_of(tmp_path / "out")] == 3 * ["x/a.png"] + 3 * ["y/a.png"]
    # A third call reads the removal from the journal.
    assert run(tmp_path / "in", tmp_path / "out").kept == 2


class Interrupted(InkSegmenter):
    """Ctrl-C on the second image."""

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        if self.batches:
            raise KeyboardInterrupt
        return super().segment(images_rgb)


def test_interrupted_run_keeps_what_is_finished_with_its_tables(tmp_path: Path) -> None:
    small = draw_discs(40, 40, [(20, 20, 8)])
    write(tmp_path / "in", a=small, b=small)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "out", ink_model(Interrupted()), batch_images=1)
    assert [row["file"] for row in rows_of(tmp_path / "out")] == ["a.png"]
    result = run(tmp_path / "in", tmp_path / "out")
    assert (result.kept, result.nuclei) == (1, 2)


def test_line_of_the_journal_that_a_crash_tore_is_done_again(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE, b=THREE)
    run(tmp_path / "in", tmp_path / "out")
    journal = tmp_path / "out" / ".nucleate" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    assert run(tmp_path / "in", tmp_path / "out").kept == 1
    assert run(tmp_path / "in", tmp_path / "out").kept == 2


def test_damaged_settings_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE)
    run(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / ".nucleate" / "settings.json").write_text("{")
    with pytest.raises(ResultsError, match="damaged"):
        run(tmp_path / "in", tmp_path / "out")


def test_finished_input_that_is_unreadable_now_is_a_failure(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE, b=THREE)
    run(tmp_path / "in", tmp_path / "out")
    inputs = collect_inputs(tmp_path / "in")
    (tmp_path / "in" / "a.png").unlink()
    result = segment_with(ink_model(), inputs, output=tmp_path / "out")
    assert [failure.file for failure in result.failures] == ["a.png"]
    assert len(result) == 1


def test_second_writer_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in", a=THREE)
    with folder_lock(tmp_path / "out"), pytest.raises(ResultsError, match="another nucleate process"):
        run(tmp_path / "in", tmp_path / "out")


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ResultsError, match="is a file"):
        run(write(tmp_path / "in", a=THREE), tmp_path / "out")


def test_impossible_setting_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="magnification"):
        run(write(tmp_path / "in", a=THREE), tmp_path / "out", magnification=0.0)
    assert not (tmp_path / "out").exists()


def dense_model(**card: object) -> LoadedModel:
    """A model with a working scale of 20 px at 0.25 um/px."""
    scale = {"tile_px": None, "nucleus_diameter_px": None, "working_diameter_px": 20.0, "working_mpp": 0.25}
    return ink_model(TrainedInkSegmenter(), **(scale | card))


FORTY = draw_grid(240, 240, pitch_px=80, radius=20)


def scale_of(result: Segmentation) -> ImageScale:
    return result[0].scale


def test_scale_that_nobody_says_is_estimated_said_and_recorded(tmp_path: Path) -> None:
    write(tmp_path / "in", a=FORTY, b=draw_grid(80, 80, pitch_px=20, radius=5))
    result = run(tmp_path / "in", tmp_path / "out", dense_model())
    assert [image.scale.known_by for image in result] == ["estimate", "estimate"]
    assert [image.scale.diameter_px for image in result] == pytest.approx([40, 10], rel=0.05)
    (said,) = [line for line in result.summary().splitlines() if line.startswith("scale")]
    assert said.startswith("scale: nuclei of about 10 to ")
    assert "px (estimated over three scales): images resampled by 0.5" in said
    journal = (tmp_path / "out" / ".nucleate" / "journal.jsonl").read_text().splitlines()
    records = [json.loads(line)["scale"] for line in journal if line]
    assert [record["known_by"] for record in records] == ["estimate", "estimate"]
    assert records[0]["magnification"] == pytest.approx(0.5, rel=0.05)
    again = run(tmp_path / "in", tmp_path / "out", dense_model())
    assert again.kept == 2
    assert [image.scale for image in again] == [image.scale for image in result]
    assert json.loads((tmp_path / "out" / ".nucleate" / "settings.json").read_text())["scale"] == "estimate"


def test_image_without_nuclei_at_any_scale_is_taken_as_it_is_and_said() -> None:
    result = segment_with(dense_model(), collect_inputs(draw_discs(60, 60, [])))
    assert scale_of(result) == ImageScale(magnification=1.0, known_by="no nuclei")
    assert "scale: unknown, no nuclei found at any of three scales" in result.summary()


def test_um_per_pixel_of_the_file_comes_before_the_estimate(tmp_path: Path) -> None:
    Image.fromarray(FORTY).save(tmp_path / "a.png", dpi=(203_200, 203_200))
    segmenter = TrainedInkSegmenter()
    model = replace(dense_model(), segmenter=segmenter)
    scale = scale_of(segment_with(model, collect_inputs(tmp_path / "a.png")))
    assert scale.known_by == "image"
    assert scale.mpp == pytest.approx(0.125, rel=1e-3)
    assert segmenter.batches == [(120,)]


def test_um_per_pixel_of_the_file_means_nothing_to_a_model_that_does_not_say_its_own(tmp_path: Path) -> None:
    Image.fromarray(FORTY).save(tmp_path / "a.png", dpi=(203_200, 203_200))
    inputs = collect_inputs(tmp_path / "a.png")
    assert scale_of(segment_with(dense_model(working_mpp=None), inputs)).known_by == "estimate"
    assert scale_of(segment_with(ink_model(), inputs)) == ImageScale(magnification=1.0, known_by="model")


@pytest.mark.parametrize(
    ("settings", "magnification", "described"),
    [
        (SegmentSettings(diameter=40.0), 0.5, "diameter 40 px"),
        (SegmentSettings(mpp=0.125), 0.5, "0.125 um/px"),
        (SegmentSettings(magnification=0.5), 0.5, "magnification 0.5"),
    ],
)
def test_given_scale_switches_the_estimate_off(
    tmp_path: Path, settings: SegmentSettings, magnification: float, described: str
) -> None:
    Image.fromarray(FORTY).save(tmp_path / "a.png", dpi=(50_800, 50_800))
    segmenter = TrainedInkSegmenter()
    model = replace(dense_model(), segmenter=segmenter)
    result = segment_with(model, collect_inputs(tmp_path / "a.png"), output=tmp_path / "out", settings=settings)
    assert scale_of(result).magnification == magnification
    assert segmenter.batches == [(120,)]
    assert json.loads((tmp_path / "out" / ".nucleate" / "settings.json").read_text())["scale"] == described


def test_two_ways_to_say_the_scale_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--diameter and --mpp: .* give one of them") as error:
        run(write(tmp_path / "in", a=THREE), tmp_path / "out", dense_model(), diameter=20.0, mpp=0.25)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_other_way_to_say_the_scale_is_another_setting(tmp_path: Path) -> None:
    write(tmp_path / "in", a=FORTY)
    run(tmp_path / "in", tmp_path / "out", dense_model(), diameter=40.0)
    with pytest.raises(ResultsError, match="scale diameter 40 px, now estimate"):
        run(tmp_path / "in", tmp_path / "out", dense_model())


def test_scale_of_each_image_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        segment_with(dense_model(), collect_inputs(FORTY))
    assert any("array: scale: nuclei of about" in record.message for record in caplog.records)


def test_segment_loads_the_named_model_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load(model: str | Path, device: str | None, *, engine: EngineSettings, accurate: bool) -> LoadedModel:
        asked.extend([model, device, engine.precision, engine.threads, accurate])
        return ink_model()

    monkeypatch.setattr(sys.modules["nucleate.api.segment"], "load_model", load)
    settings = SegmentSettings(precision="fp32", threads=1, accurate=True)
    assert len(segment(THREE, model="ink", device="cpu", settings=settings)[0]) == 3
    assert asked == ["ink", "cpu", "fp32", 1, True]


def test_missing_input_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        segment(tmp_path / "nothing.png", model="no such model")


def test_lazy_array_of_unknown_range_is_a_failure_and_the_rest_goes_on() -> None:
    sources = [ImageArray(da.full((20, 30), 9.0), name="dark"), ImageArray(da.from_array(THREE), name="three")]
    result = segment_with(ink_model(), collect_inputs(sources))
    assert [image.name for image in result] == ["three"]
    assert [failure.file for failure in result.failures] == ["dark"]


def test_arrays_are_written_under_their_names_and_found_there_again(tmp_path: Path) -> None:
    inputs = collect_inputs([ImageArray(THREE, mpp=0.5, name="liver/1"), ImageArray(da.from_array(THREE), name="2")])
    segment_with(ink_model(), inputs, output=tmp_path / "out")
    result = segment_with(ink_model(), inputs, output=tmp_path / "out")
    assert (result.kept, result.nuclei) == (2, 6)
    assert (tmp_path / "out" / "liver" / "1.geojson").is_file()
    assert result["liver/1"].mpp == 0.5
    assert result["2"].mpp is None


def test_progress_bar_shows_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    segment_with(ink_model(), collect_inputs(THREE))
    assert "1/1" in capsys.readouterr().err


@pytest.mark.shared_data
def test_real_image_goes_through_with_its_annotation_as_segmenter(shared_data: Path, tmp_path: Path) -> None:
    organ = shared_data / "nuinsseg" / "mouse spleen"
    masks, _ = masks_from_label_map(read_label_map(organ / "label masks modify" / "mouse_spleen_02.tif"))

    class Annotated(InkSegmenter):
        def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
            return [Instances.from_masks(masks) for _ in images_rgb]

    model = ink_model(Annotated(), tile_px=512)
    result = segment_with(
        model, collect_inputs(organ / "tissue images" / "mouse_spleen_02.png"), output=tmp_path / "out"
    )
    assert result.nuclei == 297
    assert result.table == nucleus_rows("mouse_spleen_02.png", Instances.from_masks(masks), ["nucleus"])
    with Image.open(tmp_path / "out" / "predicted-ground-truth" / "mouse_spleen_02.png") as numbers:
        assert numbers.mode == "I;16"
