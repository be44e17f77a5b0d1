"""Any pair of formats gives the scores of the same nuclei in any other."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from nucleate.api.compare import compare
from nucleate.api.evaluate import evaluate
from nucleate.api.loading import LoadedModel
from nucleate.api.scoring import EvaluateSettings
from nucleate.errors import ConfigError, DataError
from nucleate.evaluation import Evaluation, mean_scores, score_overlaps
from nucleate.evaluation.matching import label_map_overlaps
from nucleate.models.run_card import RunCard
from tests.api.test_evaluate import DarkNuclei
from tests.evaluation.drawings import Box, draw
from tests.readers.nuclei_files import (
    WRITERS,
    Maps,
    geometries_of,
    write_coco,
    write_features,
    write_geojson_folder,
    write_parquet,
    write_png,
    write_results,
)
from tests.synthetic import draw_he

G: Box = (5, 15, 10, 20)
SHIFTED: Box = (5, 15, 11, 21)
ANNOTATED: Maps = {"a": draw(G, (0, 4, 30, 34)), "b": draw(G, (5, 15, 20, 28)), "c": draw((2, 9, 3, 12))}
PREDICTED: Maps = {"a": draw(SHIFTED, (0, 4, 31, 35)), "b": draw((5, 15, 10, 28)), "c": draw((2, 9, 3, 11))}


def _expected() -> float:
    scores = [score_overlaps(label_map_overlaps(ANNOTATED[name], PREDICTED[name])) for name in ANNOTATED]
    return mean_scores(scores).pq


def _evaluate(predictions: Path, annotations: Path, images: Path | None = None) -> Evaluation:
    return evaluate(predictions, annotations, settings=EvaluateSettings(images=images))


@pytest.mark.parametrize("theirs", WRITERS)
@pytest.mark.parametrize("ours", WRITERS)
def test_every_pair_of_formats_scores_alike(tmp_path: Path, ours: str, theirs: str) -> None:
    predictions = WRITERS[ours](tmp_path / "predictions", PREDICTED)
    annotations = WRITERS[theirs](tmp_path / "annotations", ANNOTATED)
    evaluation = _evaluate(predictions, annotations)
    assert evaluation.overall.images == 3
    assert evaluation.overall.scores.pq == pytest.approx(_expected())
    assert evaluation.overall.precision.segm.ap50 > 0


def test_two_single_files_pair_whatever_their_names(tmp_path: Path) -> None:
    predictions = write_geojson_folder(tmp_path / "p", {"mine": PREDICTED["a"]}) / "mine.geojson"
    annotations = write_png(tmp_path / "a", {"truth": ANNOTATED["a"]}) / "truth.png"
    assert _evaluate(predictions, annotations).overall.annotated == 2


def test_a_single_file_finds_its_image_among_many(tmp_path: Path) -> None:
    predictions = write_geojson_folder(tmp_path / "p", PREDICTED) / "b.geojson"
    evaluation = _evaluate(predictions, write_coco(tmp_path / "a", ANNOTATED))
    assert [image.file_name for image in evaluation.images] == ["b.png"]
    assert "2 of 3 annotated images have no predictions and were left out" in evaluation.notes


def test_no_image_in_common_names_three_of_each_side(tmp_path: Path) -> None:
    predictions = write_png(tmp_path / "p", {name: draw(G) for name in ("w", "x", "y", "z")})
    with pytest.raises(DataError, match=r"no image in common: 'a.png', 'b.png', 'c.png' here, 'w.png', 'x.png', 'y.p"):
        _evaluate(predictions, write_coco(tmp_path / "a", ANNOTATED))


def test_images_in_folders_pair_by_path_or_by_name(tmp_path: Path) -> None:
    predictions = write_png(tmp_path / "p" / "deep", PREDICTED).parent
    assert _evaluate(predictions, write_coco(tmp_path / "a", ANNOTATED)).overall.images == 3
    write_png(tmp_path / "p" / "other", {"a": PREDICTED["a"]})
    with pytest.raises(DataError, match="several images are called 'a'"):
        _evaluate(predictions, write_coco(tmp_path / "again", ANNOTATED))


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    predictions = write_png(tmp_path / "p", {"a": np.ones((10, 10), np.int64)})
    with pytest.raises(DataError, match="10 x 10 pixels, the other side has 40 x 20"):
        _evaluate(predictions, write_coco(tmp_path / "a", ANNOTATED))


def test_polygons_outside_of_the_image_are_noted(tmp_path: Path) -> None:
    write_parquet(tmp_path / "p" / "a.parquet", [shapely.box(10, 5, 20, 15), shapely.box(90, 90, 99, 99)])
    evaluation = _evaluate(tmp_path / "p", write_png(tmp_path / "a", {"a": draw(G)}))
    assert evaluation.notes == ("1 predicted nuclei hold no pixel of their image and were left out",)
    assert evaluation.overall.scores.pq == 100


def test_two_sides_of_polygons_take_their_bounds(tmp_path: Path) -> None:
    moved = [shapely.transform(each, lambda xy: xy + 50_000) for each in geometries_of(ANNOTATED["a"])]
    annotations = write_parquet(tmp_path / "a.parquet", moved)
    predictions = write_parquet(tmp_path / "p.parquet", moved, scores=[0.9, 0.8])
    evaluation = _evaluate(predictions, annotations)
    assert evaluation.overall.scores.pq == 100
    assert "1 images are as large as the bounds of their nuclei" in evaluation.notes[0]


def test_an_image_of_no_polygon_on_either_side_is_empty(tmp_path: Path) -> None:
    annotations, predictions = write_parquet(tmp_path / "a.parquet", []), write_parquet(tmp_path / "p.parquet", [])
    assert _evaluate(predictions, annotations).overall.scores.pq == 100


def test_a_pair_beyond_a_label_map_is_refused(tmp_path: Path) -> None:
    far = [shapely.box(0, 0, 9, 9), shapely.box(1e5, 1e5, 1e5 + 9, 1e5 + 9)]
    features = [{"type": "Feature", "geometry": shapely.geometry.mapping(each), "properties": {}} for each in far]
    predictions, annotations = (write_features(tmp_path / f"{name}.geojson", features) for name in "pa")
    with pytest.raises(DataError, match="give both sides as one GeoParquet file each"):
        _evaluate(predictions, annotations)


def test_scores_of_a_file_rank_its_nuclei(tmp_path: Path) -> None:
    boxes = [shapely.box(0, 0, 5, 5), shapely.box(10, 5, 20, 15)]
    write_parquet(tmp_path / "p" / "a.parquet", boxes, scores=[0.2, 0.9])
    annotations = write_png(tmp_path / "a", {"a": draw(G)})
    evaluation = _evaluate(tmp_path / "p", annotations)
    assert evaluation.overall.precision.segm.ap == pytest.approx(100)
    assert evaluation.overall.scores.dq == pytest.approx(200 / 3)
    above = evaluate(tmp_path / "p", annotations, settings=EvaluateSettings(score=0.5))
    assert above.overall.scores.dq == 100


def test_classes_pair_by_name(tmp_path: Path) -> None:
    boxes = [shapely.box(0, 0, 5, 5), shapely.box(10, 5, 20, 15)]
    write_parquet(tmp_path / "a" / "a.parquet", boxes, classes=["round", "oval"])
    write_parquet(tmp_path / "p" / "a.parquet", boxes, classes=["round", "other"])
    evaluation = _evaluate(tmp_path / "p", tmp_path / "a")
    per_class = {each.class_name: each.ap for each in evaluation.overall.precision.segm.per_class}
    assert per_class == {"oval": 0, "round": pytest.approx(100)}
    assert any("detections of classes that the data set lacks" in note for note in evaluation.notes)


def test_classes_of_other_names_are_taken_by_place(tmp_path: Path) -> None:
    boxes = [shapely.box(0, 0, 5, 5), shapely.box(10, 5, 20, 15)]
    write_parquet(tmp_path / "a" / "a.parquet", boxes, classes=["1", "2"])
    write_parquet(tmp_path / "p" / "a.parquet", boxes, classes=["x", "y"])
    notes = _evaluate(tmp_path / "p", tmp_path / "a").notes
    assert "The predicted classes are not the annotated ones and were taken by place: x = 1, y = 2" in notes


def test_predictions_without_classes_make_the_annotated_ones_one(tmp_path: Path) -> None:
    boxes = [shapely.box(10, 5, 20, 15), shapely.box(0, 0, 5, 5)]
    write_parquet(tmp_path / "a" / "a.parquet", boxes, classes=["round", "oval"])
    write_parquet(tmp_path / "p" / "a.parquet", boxes)
    evaluation = _evaluate(tmp_path / "p", tmp_path / "a")
    assert evaluation.overall.precision.segm.ap == pytest.approx(100)
    assert "The predictions have no classes: annotated ones were taken as one" in evaluation.notes


def test_predicted_classes_of_a_set_of_one_count_as_it(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "p" / "a.parquet", [shapely.box(10, 5, 20, 15), shapely.box(0, 0, 5, 5)], classes=["x", "y"]
    )
    evaluation = _evaluate(tmp_path / "p", write_coco(tmp_path / "a", {"a": draw(G, (0, 5, 0, 5))}))
    assert evaluation.overall.scores.pq == 100
    assert "The 2 predicted classes were taken as 'nucleus'" in evaluation.notes


def test_images_give_sizes_and_pictures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((20, 40, 3), 200, np.uint8)).save(tmp_path / "images" / "a.jpg")
    annotations = write_geojson_folder(tmp_path / "a", {"a": ANNOTATED["a"]})
    predictions = write_geojson_folder(tmp_path / "p", {"a": PREDICTED["a"]})
    settings = EvaluateSettings(images=tmp_path / "images")
    evaluation = evaluate(predictions, annotations, output=tmp_path / "out", settings=settings)
    assert (evaluation.images[0].file_name, evaluation.notes) == ("a.jpg", ())
    assert (tmp_path / "out" / "side-by-side" / "a.png").is_file()


def test_a_model_is_scored_on_label_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = draw_he(nuclei=5)
    write_png(tmp_path / "data" / "labels", {"a": drawing.label_map.astype(np.int64)})
    model = LoadedModel(segmenter=DarkNuclei(), card=RunCard(name="dark", score_threshold=0.3))
    monkeypatch.setattr(importlib.import_module("nucleate.api.evaluate"), "load_model", lambda *_, **__: model)
    with pytest.raises(DataError, match="a model needs the images"):
        evaluate(Path("some-model"), tmp_path / "data")
    (tmp_path / "data" / "images").mkdir()
    Image.fromarray(drawing.image_rgb).save(tmp_path / "data" / "images" / "a.png")
    assert evaluate(Path("some-model"), tmp_path / "data").overall.scores.pq > 50


def test_a_split_of_label_images_is_refused(tmp_path: Path) -> None:
    annotations = write_png(tmp_path / "a", ANNOTATED)
    with pytest.raises(ConfigError, match="scored whole"):
        evaluate(annotations, annotations, on="test")


def test_a_results_list_that_names_no_image_needs_coco_annotations(tmp_path: Path) -> None:
    predictions = write_results(tmp_path / "p", PREDICTED)
    records = json.loads(predictions.read_text())
    write_features(predictions, [{key: record[key] for key in record if key != "file_name"} for record in records])
    with pytest.raises(DataError, match="says nothing of its images"):
        _evaluate(predictions, write_png(tmp_path / "a", ANNOTATED))
    assert _evaluate(predictions, write_coco(tmp_path / "c", ANNOTATED)).overall.images == 3


def test_images_without_a_record_of_a_results_list_are_empty(tmp_path: Path) -> None:
    predictions = write_results(tmp_path / "p", {"a": PREDICTED["a"]})
    evaluation = _evaluate(predictions, write_png(tmp_path / "a", ANNOTATED))
    assert [image.predicted for image in evaluation.images] == [2, 0, 0]
    assert "2 of 3 images have no detection" in evaluation.notes


def test_programs_of_other_formats_are_compared(tmp_path: Path) -> None:
    paths = [
        WRITERS["geojson"](tmp_path / "one", PREDICTED),
        WRITERS["npy"](tmp_path / "two", ANNOTATED),
        WRITERS["tiff"](tmp_path / "truth", ANNOTATED),
    ]
    first, second = compare(paths).evaluations
    assert [first.overall.scores.pq, second.overall.scores.pq] == pytest.approx([_expected(), 100])


def test_a_run_is_compared_on_its_data_set_only(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_results(run / "inference", PREDICTED).rename(run / "inference" / "coco_instances_results.json")
    RunCard(name="run").write(run)
    annotations = write_png(tmp_path / "a", ANNOTATED)
    with pytest.raises(DataError, match="a run's results have the ids of its data set"):
        compare([run, annotations, annotations])
