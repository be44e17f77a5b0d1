from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from nucleate.api.evaluate import evaluate
from nucleate.api.loading import LoadedModel
from nucleate.api.scoring import EvaluateSettings
from nucleate.core import Frame, Instances, encode_rles, masks_from_label_map
from nucleate.core.stain import StainNormalisation
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.export import ImagePredictions, write_coco_results
from nucleate.models.run_card import DataSummary, RunCard
from tests.synthetic import Drawing, draw_he

GOLDEN = Path(__file__).parent.parent / "golden" / "detectron2"


class DarkNuclei:
    """Finds what is dark in red light: a segmenter without a network."""

    def __init__(self, class_names: tuple[str, ...] = ("nucleus",), class_index: int = 0) -> None:
        self.name = "dark"
        self.class_names = class_names
        self.fingerprint = "f00d"
        self.class_index = class_index
        self.seen: list[NDArray[np.uint8]] = []

    def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        self.seen += list(images_rgb)
        found = []
        for image in images_rgb:
            label_map, _ = ndimage.label(ndimage.median_filter(image[..., 0], 5) < 160)
            masks, _ = masks_from_label_map(label_map)
            scores = np.where(masks.areas_px() > 40, 0.9, 0.2).astype(np.float32)
            classes = np.full(len(masks), self.class_index)
            found.append(Instances.from_masks(masks, scores=scores, class_indices=classes))
        return found


def _write_data(folder: Path, drawings: Sequence[Drawing], stain: dict[str, Any] | None = None) -> Path:
    """Write what `prepare` makes: all, val and test."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, drawing in enumerate(drawings, start=1):
        name = f"drawing {image_id}.png"
        Image.fromarray(drawing.image_rgb).save(folder / "images" / name)
        height, width = drawing.label_map.shape
        image = {"id": image_id, "file_name": name, "height": height, "width": width, "organ": "human liver"}
        images.append({**image, "stain": stain})
        masks, _ = masks_from_label_map(drawing.label_map)
        for code, area, box in zip(
            encode_rles(masks), masks.areas_px().tolist(), masks.windows_xyxy.tolist(), strict=True
        ):
            annotation = {"image_id": image_id, "category_id": 1, "iscrowd": 0, "area": area}
            annotation["bbox"] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            annotations.append({"id": len(annotations) + 1, "segmentation": code.to_coco(), **annotation})
    for split, chosen in {"all": images, "val": images[:1], "test": images[1:]}.items():
        ids = {image["id"] for image in chosen}
        content = {
            "images": chosen,
            "annotations": [annotation for annotation in annotations if annotation["image_id"] in ids],
            "categories": [{"id": 1, "name": "nucleus"}],
        }
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return _write_data(tmp_path / "data", [draw_he(seed=seed, nuclei=5) for seed in range(3)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "a run"
    folder.mkdir()
    (folder / "metrics.json").write_text('{"iteration": 19, "total_loss": 2.0}\n{"iteration": 39, "total_loss": 1.0}\n')
    return folder


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[LoadedModel]:
    """The models that `evaluate` gets, instead of a network; replace the first to change it."""
    card = RunCard(name="dark", score_threshold=0.3, score_threshold_from="chosen on val")
    models = [LoadedModel(segmenter=DarkNuclei(), card=card)]
    monkeypatch.setattr(importlib.import_module("nucleate.api.evaluate"), "load_model", lambda *_, **__: models[0])
    return models


def _results(data: Path, folder: Path) -> Path:
    """Write the annotations of all images as perfect detections."""
    content = json.loads((data / "annotations" / "all.json").read_text())
    path = folder / "coco_instances_results.json"
    records = [{**annotation, "score": 0.8} for annotation in content["annotations"]]
    for record in records:
        for key in ("id", "area", "iscrowd"):
            del record[key]
    path.write_text(json.dumps(records))
    return path


def test_a_perfect_results_file_scores_100(tmp_path: Path, data: Path) -> None:
    evaluation = evaluate(_results(data, tmp_path), data, on="all")
    assert evaluation.overall.scores.pq == evaluation.overall.precision.segm.ap == 100
    assert evaluation.settings.score_threshold_from == "default for results files"


def test_test_is_scored_by_default_and_the_rest_of_the_file_noted(tmp_path: Path, data: Path) -> None:
    evaluation = evaluate(_results(data, tmp_path), data)
    assert (evaluation.settings.split, evaluation.overall.images) == ("test", 2)
    assert "outside of the split" in evaluation.notes[0]


def test_val_is_scored_where_there_is_no_test(tmp_path: Path, data: Path) -> None:
    (data / "annotations" / "test.json").unlink()
    assert evaluate(_results(data, tmp_path), data).settings.split == "val"


def test_a_single_coco_file_is_scored_whole(tmp_path: Path, data: Path) -> None:
    evaluation = evaluate(_results(data, tmp_path), data / "annotations" / "all.json")
    assert (evaluation.settings.split, evaluation.overall.images) == ("all", 3)


def test_a_score_that_is_given_replaces_the_default(tmp_path: Path, data: Path) -> None:
    evaluation = evaluate(_results(data, tmp_path), data, settings=EvaluateSettings(score=0.85))
    assert (evaluation.overall.scores.pq, evaluation.settings.score_threshold_from) == (0, "given")


def test_the_report_and_pictures_are_written(tmp_path: Path, data: Path) -> None:
    evaluate(_results(data, tmp_path), data, output=tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    pictures = {f"{folder}/drawing {number}.png" for folder in ("annotated", "side-by-side") for number in (2, 3)}
    assert {"evaluation.json", "report.html", "report.md", *pictures} <= files


def test_missing_images_are_no_obstacle_but_are_said(
    tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "images" / "drawing 2.png").unlink()
    evaluate(_results(data, tmp_path), data, output=tmp_path / "out")
    assert "1 images are not in" in caplog.text


def test_another_evaluation_in_the_output_is_not_replaced(tmp_path: Path, data: Path) -> None:
    results, output = _results(data, tmp_path), tmp_path / "out"
    evaluate(results, data, output=output)
    with pytest.raises(ResultsError, match=r"holds an evaluation with score_threshold 0.5, this one has 0.4"):
        evaluate(results, data, output=output, settings=EvaluateSettings(score=0.4))
    evaluate(results, data, output=output, settings=EvaluateSettings(score=0.4, fresh=True))
    assert json.loads((output / "evaluation.json").read_text())["score_threshold"] == 0.4


def test_an_output_that_is_a_file_is_refused(tmp_path: Path, data: Path) -> None:
    results = _results(data, tmp_path)
    with pytest.raises(ResultsError, match="is a file"):
        evaluate(results, data, output=results)


def test_a_results_file_needs_annotations(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="names no data set"):
        evaluate(_results(data, tmp_path))


def test_a_missing_results_file_is_said(tmp_path: Path, data: Path) -> None:
    with pytest.raises(DataError, match="no such results file"):
        evaluate(tmp_path / "none.json", data)


def test_a_set_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image to score"):
        evaluate(tmp_path / "none.json", _write_data(tmp_path / "empty", []))


def test_a_model_is_scored_at_its_own_threshold(data: Path, loaded: list[LoadedModel]) -> None:
    evaluation = evaluate(Path("some-model"), data)
    assert evaluation.settings.score_threshold == 0.3
    assert evaluation.settings.score_threshold_from == "stored with the model, chosen on val"
    assert evaluation.overall.scores.pq > 50
    assert evaluation.settings.model_fingerprint == "f00d"


def test_ap_sees_detections_below_the_threshold(data: Path, run: Path, loaded: list[LoadedModel]) -> None:
    low = evaluate(run, data, settings=EvaluateSettings(score=0.0)).overall
    high = evaluate(run, data, settings=EvaluateSettings(score=0.99)).overall
    assert low.precision.segm.named() == pytest.approx(high.precision.segm.named(), nan_ok=True)
    assert (low.precision.segm.ap > 0, high.scores.pq) == (True, 0)


def test_a_run_gets_its_results_file_and_detectron2s_line(data: Path, run: Path, loaded: list[LoadedModel]) -> None:
    evaluation = evaluate(run, data)
    line = json.loads((run / "metrics.json").read_text().splitlines()[-1])
    assert line["iteration"] == 40
    assert line["segm/AP"] == evaluation.overall.precision.segm.ap
    again = evaluate(run / "inference" / "coco_instances_results.json", data)
    assert again.overall.precision.segm.named() == pytest.approx(evaluation.overall.precision.segm.named(), nan_ok=True)


def test_tensorboard_gets_the_evaluation(data: Path, run: Path, loaded: list[LoadedModel]) -> None:
    evaluate(run, data)
    assert len(list(run.glob("events.out.tfevents.*"))) == 1


def test_the_data_of_the_run_is_scored_by_default(data: Path, run: Path, loaded: list[LoadedModel]) -> None:
    summary = DataSummary(path=str(data), fingerprint="", images=1, nuclei=1)
    loaded[0] = replace(loaded[0], card=replace(loaded[0].card, data=summary))
    assert evaluate(run, on="val").overall.images == 1


def test_images_of_a_source_that_the_model_learned_whole_are_said_to_be_no_test(
    data: Path, loaded: list[LoadedModel]
) -> None:
    path = data / "annotations" / "test.json"
    content = json.loads(path.read_text())
    for image, source in zip(content["images"], ("tnbc", "elsewhere"), strict=True):
        image["source"] = source
    path.write_text(json.dumps(content))
    assert not any("no test" in note for note in evaluate(Path("some-model"), data, on="test").notes)
    loaded[0] = replace(loaded[0], card=replace(loaded[0].card, trained_on_all_of=("nuinsseg", "tnbc")))
    notes = evaluate(Path("some-model"), data, on="test").notes
    assert notes[0] == (
        "dark learned from images of tnbc and held none back: scores of such images, 1 of 2 here, are no test of it"
    )


def test_a_run_that_records_no_data_needs_annotations(run: Path, loaded: list[LoadedModel]) -> None:
    with pytest.raises(ConfigError, match="'dark' records no data set"):
        evaluate(run)


def test_data_that_moved_away_must_be_named(tmp_path: Path, run: Path, loaded: list[LoadedModel]) -> None:
    summary = DataSummary(path=str(tmp_path / "gone"), fingerprint="", images=1, nuclei=1)
    loaded[0] = replace(loaded[0], card=replace(loaded[0].card, data=summary))
    with pytest.raises(ConfigError, match="is not at"):
        evaluate(run)


def test_a_head_with_more_classes_evaluates_by_place_and_counts_the_rest(
    data: Path, run: Path, loaded: list[LoadedModel]
) -> None:
    names = tuple(f"class {index}" for index in range(6))
    loaded[0] = LoadedModel(segmenter=DarkNuclei(names, 4), card=replace(loaded[0].card, class_names=names))
    evaluation = evaluate(run, data)
    assert evaluation.notes[0].startswith("The model's class names are not the data set's and were taken by place")
    assert "detections of classes that the data set lacks" in evaluation.notes[1]
    records = json.loads((run / "inference" / "coco_instances_results.json").read_text())
    assert {record["category_id"] for record in records} == {5}


def test_classes_are_matched_by_name(data: Path, loaded: list[LoadedModel]) -> None:
    names = ("debris", "nucleus")
    loaded[0] = LoadedModel(segmenter=DarkNuclei(names, 1), card=replace(loaded[0].card, class_names=names))
    evaluation = evaluate(Path("some-model"), data)
    assert evaluation.notes == ()
    assert evaluation.overall.scores.pq > 50


def test_the_models_stain_is_applied_to_images_that_did_not_get_it(data: Path, loaded: list[LoadedModel]) -> None:
    segmenter = DarkNuclei()
    stain = StainNormalisation.macenko()
    loaded[0] = LoadedModel(segmenter=segmenter, card=replace(loaded[0].card, stain=stain))
    evaluate(Path("some-model"), data)
    raw = np.asarray(Image.open(data / "images" / "drawing 2.png"))
    assert np.array_equal(segmenter.seen[0], stain.apply(raw))


def test_images_that_have_the_models_stain_stay_as_they_are(tmp_path: Path, loaded: list[LoadedModel]) -> None:
    stain = StainNormalisation.macenko()
    drawings = [draw_he(seed=seed, nuclei=3) for seed in range(2)]
    data = _write_data(tmp_path / "normalised", drawings, stain.to_dict())
    segmenter = DarkNuclei()
    loaded[0] = LoadedModel(segmenter=segmenter, card=replace(loaded[0].card, stain=stain))
    assert evaluate(Path("some-model"), data).notes == ()
    assert np.array_equal(segmenter.seen[0], drawings[1].image_rgb)


def test_normalised_images_for_a_model_without_are_noted(tmp_path: Path, loaded: list[LoadedModel]) -> None:
    stain = StainNormalisation.macenko().to_dict()
    data = _write_data(tmp_path / "normalised", [draw_he(seed=0), draw_he(seed=1)], stain)
    notes = evaluate(Path("some-model"), data).notes
    assert notes == (
        "The data set's images are normalised (macenko), the model learned from images without normalisation",
    )


def test_an_image_of_a_results_file_in_other_pixels_is_refused(tmp_path: Path, data: Path) -> None:
    other = Instances.from_masks(masks_from_label_map(np.ones((5, 5), int))[0])
    path = tmp_path / "r.json"
    write_coco_results(path, [ImagePredictions(image_id=2, file_name="", instances=other)], category_ids=[1])
    with pytest.raises(DataError, match="record 0"):
        evaluate(path, data)


def test_images_without_any_detection_are_scored(data: Path, run: Path, loaded: list[LoadedModel]) -> None:
    class Blind(DarkNuclei):
        def segment(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Instances]:
            frames = [Frame(height_px=image.shape[0], width_px=image.shape[1]) for image in images_rgb]
            return [Instances.empty(frame) for frame in frames]

    loaded[0] = LoadedModel(segmenter=Blind(), card=loaded[0].card)
    assert evaluate(run, data).overall.precision.segm.ap == 0


def test_sources_that_nobody_knows_are_estimated_image_by_image_and_noted(
    data: Path, loaded: list[LoadedModel]
) -> None:
    card = replace(loaded[0].card, working_diameter_px=20.0, source_diameters_px={"another source": 30.0})
    loaded[0] = LoadedModel(segmenter=DarkNuclei(), card=card)
    (note,) = evaluate(Path("some-model"), data).notes
    assert note.startswith("scale: nuclei of about ")
    assert "(estimated over three scales): images resampled by" in note


def test_um_per_pixel_of_the_data_sets_images_is_taken(tmp_path: Path, loaded: list[LoadedModel]) -> None:
    folder = _write_data(tmp_path / "scaled", [draw_he(seed=seed, nuclei=5) for seed in range(2)])
    path = folder / "annotations" / "test.json"
    content = json.loads(path.read_text())
    content["images"][0] |= {"mpp": 0.5}
    path.write_text(json.dumps(content))
    segmenter = DarkNuclei()
    card = replace(loaded[0].card, working_diameter_px=20.0, working_mpp=0.25)
    loaded[0] = LoadedModel(segmenter=segmenter, card=card)
    assert evaluate(Path("some-model"), folder).notes == (
        "scale: 0.5 um/px (as the images say): images resampled by 2.00",
    )
    assert [image.shape for image in segmenter.seen] == [(256, 320, 3)]


def test_um_per_pixel_can_be_given(data: Path, loaded: list[LoadedModel]) -> None:
    segmenter = DarkNuclei()
    card = replace(loaded[0].card, working_diameter_px=20.0, working_mpp=0.25)
    loaded[0] = LoadedModel(segmenter=segmenter, card=card)
    evaluation = evaluate(Path("some-model"), data, settings=EvaluateSettings(mpp=0.5))
    assert evaluation.notes == ("scale: 0.5 um/px (given): images resampled by 2.00",)
    assert {image.shape for image in segmenter.seen} == {(256, 320, 3)}


def test_um_per_pixel_and_diameter_together_are_refused(data: Path, loaded: list[LoadedModel]) -> None:
    with pytest.raises(ConfigError, match="--diameter and --mpp"):
        evaluate(Path("some-model"), data, settings=EvaluateSettings(mpp=0.5, diameter=20.0))


def test_a_checkpoint_of_detectron2_has_detectron2s_ap_from_the_images(tmp_path: Path) -> None:
    for name in ("model_final.pth", "config.yaml"):
        shutil.copy(GOLDEN / "caffe" / name, tmp_path / name)
    evaluate(tmp_path, GOLDEN / "coco_eval" / "annotations.json", device="cpu")
    expected = json.loads((GOLDEN / "output_folder" / "metrics.json").read_text().splitlines()[-1])
    written = json.loads((tmp_path / "metrics.json").read_text())
    del expected["iteration"], written["iteration"]
    assert written == pytest.approx(expected, abs=0.01, nan_ok=True)


def test_nuceval_is_made_of_its_parts(tmp_path: Path, data: Path) -> None:
    settings = EvaluateSettings(protocol="nuceval", weighted=True, ring_px=1)
    evaluation = evaluate(_results(data, tmp_path), data, settings=settings)
    assert str(evaluation.settings.protocol).startswith("nuceval (vague areas off, ring 1 px,")
    assert evaluation.overall.scores.pq == 100


def test_vague_areas_are_read_and_their_threshold_is_a_quarter(tmp_path: Path, data: Path) -> None:
    (tmp_path / "vague").mkdir()
    for number in (2, 3):
        Image.fromarray(np.full((128, 160), 255, np.uint8)).save(tmp_path / "vague" / f"drawing {number}.png")
    settings = EvaluateSettings(protocol="nuceval", vague=tmp_path / "vague")
    evaluation = evaluate(_results(data, tmp_path), data, settings=settings, output=tmp_path / "out")
    assert (evaluation.overall.annotated, evaluation.overall.predicted) == (0, 0)
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (document["nuceval"]["vague_threshold"], len(document["vague_fingerprint"])) == (0.25, 16)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (EvaluateSettings(protocol="nuceval"), "nuceval without any part is standard"),
        (EvaluateSettings(weighted=True), "belong to nuceval, not to standard"),
        (EvaluateSettings(protocol="nuceval", vague_threshold=0.5), "--vague-threshold without vague areas"),
        (EvaluateSettings(protocol="nuceval", vague=Path("none")), "no folder of vague areas at none"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    tmp_path: Path, data: Path, settings: EvaluateSettings, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        evaluate(_results(data, tmp_path), data, settings=settings)


def test_another_protocol_in_the_output_is_not_replaced(tmp_path: Path, data: Path) -> None:
    results, output = _results(data, tmp_path), tmp_path / "out"
    evaluate(results, data, output=output)
    with pytest.raises(ResultsError, match="holds an evaluation with protocol 'standard', this one has 'pannuke'"):
        evaluate(results, data, output=output, settings=EvaluateSettings(protocol="pannuke"))


def _split_data(folder: Path, trained: str) -> Path:
    """Return a prepared data set of one training image, of the given organ, and one test image of the colon."""
    (folder / "annotations").mkdir(parents=True)
    box = {"id": 1, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": [2, 2, 10, 10]}
    box["segmentation"] = [[2, 2, 12, 2, 12, 12, 2, 12]]
    images = [
        {"id": number, "file_name": f"{number}.png", "height": 20, "width": 20, "organ": organ}
        for number, organ in ((1, trained), (2, "human colon"))
    ]
    for name, chosen in (("train", images[:1]), ("test", images[1:]), ("all", images)):
        annotations = [{**box, "id": image["id"], "image_id": image["id"]} for image in chosen]
        content = {"images": chosen, "annotations": annotations, "categories": [{"id": 1, "name": "nucleus"}]}
        (folder / "annotations" / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("trained", "said"),
    [
        ("human colon", "1 of 1 images are of the 1 organs that the data set's training images show too"),
        ("human liver", "None of the 1 organs here is among the data set's training images"),
    ],
)
def test_organs_that_training_images_show_too_are_remarked(tmp_path: Path, trained: str, said: str) -> None:
    data = _split_data(tmp_path / "data", trained)
    square = np.pad(np.ones((10, 10), np.int32), ((2, 8), (2, 8)))
    found = ImagePredictions(
        image_id=2, file_name="2.png", instances=Instances.from_masks(masks_from_label_map(square)[0])
    )
    results = tmp_path / "results.json"
    write_coco_results(results, [found], category_ids=[1])
    assert said in evaluate(results, data, on="test").summary()
    assert said not in evaluate(results, data, on="all").summary()
