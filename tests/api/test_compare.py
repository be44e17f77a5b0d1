from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from nucleate.api.compare import compare
from nucleate.api.evaluate import evaluate
from nucleate.api.scoring import CompareSettings, EvaluateSettings
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.export import ImagePredictions, write_coco_results
from nucleate.models.run_card import RunCard
from tests.evaluation.drawings import Box, predict, write_dataset
from tests.readers.nuclei_files import write_parquet

G: Box = (5, 15, 10, 20)
SHIFTED: Box = (5, 15, 11, 21)


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", [[G], [G], [G]]).annotations_path


def _file(path: Path, box: Box, score: float = 0.9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_coco_results(path, [predict(number, [box], [score]) for number in (1, 2, 3)], category_ids=[1])
    return path


def test_results_files_are_compared_in_the_order_given(tmp_path: Path, annotated: Path) -> None:
    comparison = compare([_file(tmp_path / "a.json", SHIFTED), _file(tmp_path / "b.json", G), annotated])
    assert [each.overall.scores.pq for each in comparison.evaluations] == pytest.approx([81.818, 100], abs=1e-3)
    assert "| 2: b.json less 1: a.json | PQ | +18.18 |" in comparison.summary()


def test_a_run_is_compared_at_its_own_threshold(tmp_path: Path, annotated: Path) -> None:
    run = tmp_path / "run"
    _file(run / "inference" / "coco_instances_results.json", G, 0.3)
    RunCard(name="run", score_threshold=0.2).write(run)
    first, second = compare([_file(tmp_path / "a.json", G, 0.3), run, annotated]).evaluations
    assert (first.overall.scores.pq, second.overall.scores.pq) == (0, 100)


def test_images_of_a_results_folder_are_found_by_name_and_all_its_nuclei_count(tmp_path: Path, annotated: Path) -> None:
    """`segment` counts its inputs from 1 whatever the data set's ids are."""
    images = [
        ImagePredictions(image_id=number, file_name=f"elsewhere/image_{4 - number}.png", instances=box.instances)
        for number, box in ((1, predict(1, [G], [0.1])), (2, predict(2, [SHIFTED], [0.1])))
    ]
    folder = tmp_path / "results"
    folder.mkdir()
    write_coco_results(folder / "coco_instances_results.json", images, category_ids=[1])
    _, second = compare([_file(tmp_path / "a.json", G), folder, annotated]).evaluations
    found = [image.scores and round(image.scores.pq, 1) for image in second.images]
    assert found == [0, 81.8, 100]
    assert second.notes == ("1 of 3 images have no detection in the results file",)


def test_a_results_folder_of_other_images_is_refused(tmp_path: Path, annotated: Path) -> None:
    path = _file(tmp_path / "results" / "coco_instances_results.json", G)
    path.write_text(path.read_text().replace("image_1.png", "image_9.png"))
    with pytest.raises(DataError, match="'image_9.png' is no image of the annotations"):
        compare([_file(tmp_path / "a.json", G), path.parent, annotated])


def test_results_without_a_detection_in_the_split_are_refused(tmp_path: Path, annotated: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="no detection in any image of the split all"):
        compare([_file(tmp_path / "a.json", G), tmp_path / "b.json", annotated])


def test_a_run_without_results_is_refused(tmp_path: Path, annotated: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match="no results here"):
        compare([_file(tmp_path / "a.json", G), tmp_path / "run", annotated])


def test_two_paths_are_too_few(tmp_path: Path, annotated: Path) -> None:
    with pytest.raises(ConfigError, match="two or more results"):
        compare([_file(tmp_path / "a.json", G), annotated])


def test_settings_of_evaluate_apply(tmp_path: Path, annotated: Path) -> None:
    settings = CompareSettings(protocol="nuceval", ring_px=1)
    comparison = compare(
        [_file(tmp_path / "a.json", SHIFTED), _file(tmp_path / "b.json", G), annotated], settings=settings
    )
    assert comparison.differences[0].paired.difference == 0


def test_an_output_folder_gets_the_page(tmp_path: Path, annotated: Path) -> None:
    paths = [_file(tmp_path / "a.json", SHIFTED), _file(tmp_path / "b.json", G), annotated]
    compare(paths, output=tmp_path / "out")
    assert {"comparison.html", "comparison.json", "comparison.md"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


def test_an_output_that_is_a_file_is_refused(tmp_path: Path, annotated: Path) -> None:
    paths = [_file(tmp_path / "a.json", SHIFTED), _file(tmp_path / "b.json", G), annotated]
    with pytest.raises(ResultsError, match="is a file"):
        compare(paths, output=paths[0])


def _label_images(folder: Path, boxes: dict[int, Box]) -> Path:
    folder.mkdir()
    for number, (top, bottom, left, right) in boxes.items():
        label_map = np.zeros((20, 40), np.int32)
        label_map[top:bottom, left:right] = 1
        np.save(folder / f"image_{number}.npy", label_map)
    return folder


def test_models_are_compared_on_the_images_that_all_have(tmp_path: Path, annotated: Path) -> None:
    first = _label_images(tmp_path / "first", {1: G, 2: SHIFTED})
    second = _label_images(tmp_path / "second", {2: G, 3: G})
    comparison = compare([first, second, _file(tmp_path / "all.json", G), annotated], output=tmp_path / "out")
    assert [each.images[0].file_name for each in comparison.evaluations] == ["image_2.png"] * 3
    assert [round(each.overall.scores.pq, 1) for each in comparison.evaluations] == [81.8, 100, 100]
    assert comparison.left_out == ("image_1.png", "image_3.png")
    said = "2 images that not all models have were left out of all scores here: image_1.png, image_3.png."
    assert said in comparison.summary()
    assert said in (tmp_path / "out" / "comparison.html").read_text()
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert (document["images"], document["left_out"]) == (1, ["image_1.png", "image_3.png"])


def test_models_without_a_common_image_are_refused(tmp_path: Path, annotated: Path) -> None:
    first, second = _label_images(tmp_path / "first", {1: G}), _label_images(tmp_path / "second", {2: G, 3: G})
    with pytest.raises(DataError, match="no annotated image that all models have: first has 1, second has 2"):
        compare([first, second, annotated])


def test_outlines_of_images_of_unknown_size_are_compared(tmp_path: Path) -> None:
    """Each model's nuclei reach to other bounds: the annotations are the same all the same."""
    annotated, first, second = (
        write_parquet(tmp_path / f"{name}.parquet", shapes)
        for name, shapes in (
            ("a", [shapely.box(0, 0, 10, 10)]),
            ("b", [shapely.box(1, 0, 11, 10)]),
            ("c", [shapely.box(0, 0, 10, 10), shapely.box(40, 40, 50, 50)]),
        )
    )
    comparison = compare([first, second, annotated])
    assert [round(each.overall.scores.pq, 1) for each in comparison.evaluations] == [81.8, 66.7]
    assert comparison.left_out == ()


def test_outputs_of_evaluate_are_compared_without_their_models(tmp_path: Path, annotated: Path) -> None:
    """Detections below an evaluation's threshold are in its folder too, for AP."""
    for name, box in (("first", SHIFTED), ("second", G)):
        settings = EvaluateSettings(score=0.3)
        evaluate(_file(tmp_path / f"{name}.json", box, 0.4), annotated, output=tmp_path / name, settings=settings)
    first, second = compare([tmp_path / "first", tmp_path / "second", annotated]).evaluations
    assert [round(each.overall.scores.pq, 1) for each in (first, second)] == [81.8, 100]
    assert (first.settings.model, first.settings.score_threshold) == ("first", 0.3)
    assert first.settings.score_threshold_from == "that of its evaluation"
    (tmp_path / "first" / "evaluation.json").write_text("{}")
    with pytest.raises(DataError, match="no evaluation of ours"):
        compare([tmp_path / "first", tmp_path / "second", annotated])


def test_evaluations_of_other_splits_are_compared_where_both_tested(tmp_path: Path) -> None:
    """One image is in the tests of both, found by its name; a detection in another image does not count there."""
    outputs = []
    for name, boxes in (("images", [[G], [SHIFTED]]), ("organs", [[G], [G], [G]])):
        folder = write_dataset(tmp_path / name, [[G]] * len(boxes))
        document = json.loads(folder.annotations_path.read_text())
        if name == "images":
            document["images"][0]["file_name"] = "elsewhere.png"
            folder.annotations_path.write_text(json.dumps(document))
        predictions = [predict(number, boxes[number - 1], [0.9]) for number in range(1, len(boxes) + 1)]
        if name == "images":
            predictions[0] = replace(predictions[0], file_name="elsewhere.png")
        results = tmp_path / f"{name}.json"
        write_coco_results(results, predictions, category_ids=[1])
        outputs.append(tmp_path / f"out {name}")
        evaluate(results, folder.annotations_path, output=outputs[-1])
    everything = write_dataset(tmp_path / "all", [[G]] * 4).annotations_path
    document = json.loads(everything.read_text())
    document["images"][3]["file_name"] = "elsewhere.png"
    everything.write_text(json.dumps(document))
    comparison = compare([*outputs, everything])
    assert [round(each.overall.scores.pq, 1) for each in comparison.evaluations] == [81.8, 100]
    assert comparison.left_out == ("elsewhere.png", "image_1.png", "image_3.png")
    document["images"] = [{**image, "file_name": f"new_{image['id']}.png"} for image in document["images"]]
    everything.write_text(json.dumps(document))
    with pytest.raises(DataError, match="none of its images is in the split all"):
        compare([*outputs, everything])
