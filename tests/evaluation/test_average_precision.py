from __future__ import annotations

import contextlib
import copy
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nucleate.core import Frame, Instances, Masks, encode_rles, masks_from_label_map
from nucleate.data import read_dataset
from nucleate.evaluation import AveragePrecisionScorer, Kind, SizeCounts, detectron2_scores, evaluate_predictions
from nucleate.export import ImagePredictions, read_coco_results
from nucleate.export.coco_results import coco_records
from tests.evaluation.drawings import predict, write_dataset
from tests.synthetic import draw_he

GOLDEN = Path(__file__).parent.parent / "golden" / "detectron2" / "coco_eval"


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_ap_of_detectron2s_results_file_is_detectron2s(kind: Kind) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())["detectron2_COCOEvaluator"]["COCOeval_opt"][kind]
    dataset = read_dataset(GOLDEN / "annotations.json")
    frames = {record.image_id: record.frame for record in dataset.records}
    predictions = read_coco_results(GOLDEN / "coco_instances_results.json", frames, dataset.category_ids)
    scores = detectron2_scores(evaluate_predictions(dataset, predictions))
    for name, value in expected.items():
        assert scores[f"{kind}/{name}"] == pytest.approx(math.nan if value is None else value, abs=1e-9, nan_ok=True)


def _disturbed(annotations: dict[str, Any], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return detections near the annotations, some doubled, with many equal scores."""
    records = []
    for annotation in annotations["annotations"] * 2:
        x, y, width, height = annotation["bbox"]
        left, top = max(0, int(x + rng.integers(-3, 4))), max(0, int(y + rng.integers(-3, 4)))
        frame = Frame(height_px=128, width_px=160)
        window = [left, top, min(160, left + int(width)), min(128, top + int(height))]
        bits = np.ones(max(0, window[3] - window[1]) * max(0, window[2] - window[0]), bool)
        if not len(bits):
            continue
        masks = Masks(frame=frame, windows_xyxy=np.array([window]), bits=bits)
        instances = Instances.from_masks(
            masks,
            scores=rng.choice([0.1, 0.5, 0.9], 1).astype(np.float32),
            class_indices=rng.integers(0, 2, 1),
        )
        records += coco_records(
            ImagePredictions(image_id=annotation["image_id"], file_name="", instances=instances), [3, 7]
        )
    return records


def _drawn_annotations(images: int) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for image_id in range(images):
        masks, _ = masks_from_label_map(draw_he(seed=image_id, nuclei=15, diameter_px=(12, 60)).label_map)
        for code, area, window in zip(
            encode_rles(masks), masks.areas_px().tolist(), masks.windows_xyxy.tolist(), strict=True
        ):
            box = [window[0], window[1], window[2] - window[0], window[3] - window[1]]
            common = {"image_id": image_id, "iscrowd": int(len(entries) % 9 == 4), "area": area, "bbox": box}
            category_id = (3, 7)[len(entries) % 2]
            entries.append(
                {"id": len(entries) + 1, "category_id": category_id, "segmentation": code.to_coco(), **common}
            )
    sizes = {"height": 128, "width": 160}
    return {
        "images": [{"id": image_id, "file_name": f"{image_id}.png", **sizes} for image_id in range(images)],
        "annotations": entries,
        "categories": [{"id": 7, "name": "round"}, {"id": 3, "name": "spindle"}],
    }


def _pycocotools(
    annotations: dict[str, Any], detections: list[dict[str, Any]], kind: Kind, max_detections: int
) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        annotated: Any = COCO()
        annotated.dataset = copy.deepcopy(annotations)
        annotated.createIndex()
        records = copy.deepcopy(detections)
        for record in records if kind == "segm" else []:
            record.pop("bbox")
        evaluation = COCOeval(annotated, annotated.loadRes(records), kind)
        evaluation.params.maxDets = [1, 10, max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]

    def mean(part: Any) -> float:
        part = part[part > -1]
        return float(100 * part.mean()) if part.size else math.nan

    sizes = {name: mean(precision[..., index]) for index, name in enumerate(("AP", "APs", "APm", "APl"))}
    return sizes | {"AP50": mean(precision[0, ..., 0]), "AP75": mean(precision[5, ..., 0])}


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", [0, 1])
def test_ap_equals_that_of_pycocotools(kind: Kind, seed: int) -> None:
    annotations = _drawn_annotations(5)
    detections = _disturbed(annotations, np.random.default_rng(seed))
    scorer = AveragePrecisionScorer(annotations, detections, image_ids=range(5))
    table = scorer.score()
    result = {"bbox": table.bbox, "segm": table.segm}[kind]
    assert result.named() == pytest.approx(_pycocotools(annotations, detections, kind, 100), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_uncapped_ap_equals_that_of_pycocotools_with_as_many_detections(kind: Kind) -> None:
    annotations = _drawn_annotations(3)
    rng = np.random.default_rng(3)
    detections = [record for _ in range(5) for record in _disturbed(annotations, rng)]
    scorer = AveragePrecisionScorer(annotations, detections, image_ids=range(3))
    assert scorer.most_detections > 100
    table = scorer.score()
    result = {"bbox": table.bbox_uncapped, "segm": table.segm_uncapped}[kind]
    expected = _pycocotools(annotations, detections, kind, scorer.most_detections)
    assert result.max_detections == scorer.most_detections
    assert result.named() == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_choice_of_images_scores_as_a_set_of_its_own() -> None:
    annotations = _drawn_annotations(4)
    detections = _disturbed(annotations, np.random.default_rng(5))
    chosen = AveragePrecisionScorer(annotations, detections, image_ids=range(4)).score([1, 3]).segm
    alone = AveragePrecisionScorer(annotations, detections, image_ids=[1, 3]).score().segm
    assert chosen.named() == pytest.approx(alone.named(), abs=0, nan_ok=True)


def test_600_detections_of_one_image_count_uncapped_and_100_at_detectron2s_limit(tmp_path: Path) -> None:
    boxes = [(row, row + 1, column, column + 1) for row in range(20) for column in range(30)]
    dataset = write_dataset(tmp_path, [boxes])
    evaluation = evaluate_predictions(dataset, [predict(1, boxes, np.linspace(0.6, 0.9, 600).tolist())])
    precision = evaluation.overall.precision
    assert precision.segm_uncapped.max_detections == 600
    assert precision.segm_uncapped.ap == precision.bbox_uncapped.ap == 100
    assert precision.segm.ap == pytest.approx(100 * 17 / 101)
    assert evaluation.overall.scores.pq == 100


def test_an_annotation_with_id_0_counts(tmp_path: Path) -> None:
    """COCO's own evaluation takes a match with id 0 for none."""
    dataset = write_dataset(tmp_path, [[(0, 5, 0, 5)]])
    annotations = dataset.coco()
    annotations["annotations"][0]["id"] = 0
    detections = coco_records(predict(1, [(0, 5, 0, 5)], [0.9]), [1])
    assert AveragePrecisionScorer(annotations, detections, image_ids=[1]).score().bbox.ap == 100


def test_the_mask_decides_the_size_class_of_a_detection_and_not_its_box(tmp_path: Path) -> None:
    """A false detection with a small mask in a large box counts against small nuclei alone."""
    dataset = write_dataset(tmp_path, [[(0, 5, 0, 5)]])
    found = predict(1, [(0, 5, 0, 5), (10, 11, 0, 1)], [0.5, 0.9]).instances
    wide = Instances(
        frame=found.frame,
        boxes_xyxy=np.array([[0, 0, 5, 5], [0, 0, 2000, 2000]], np.float32),
        masks=found.masks,
        class_indices=found.class_indices,
        scores=found.scores,
    )
    detections = coco_records(ImagePredictions(image_id=1, file_name="", instances=wide), [1])
    table = AveragePrecisionScorer(dataset.coco(), detections, image_ids=[1]).score()
    assert (table.segm.ap_small, table.bbox.ap_small) == (50, 100)


@pytest.mark.parametrize("form", ["rle", "plain runs", "polygon"])
def test_annotations_without_area_and_box_have_those_of_their_masks(tmp_path: Path, form: str) -> None:
    annotations = write_dataset(tmp_path, [[(2, 7, 3, 10)]]).coco()
    annotation = annotations["annotations"][0]
    annotation["bbox"] = None
    del annotation["area"]
    if form == "plain runs":
        annotation["segmentation"]["counts"] = [3 * 20 + 2, *([5, 15] * 6), 5, 13 + 30 * 20]
    elif form == "polygon":
        annotation["segmentation"] = [[3, 2, 10, 2, 10, 7, 3, 7]]
    detections = coco_records(predict(1, [(2, 7, 3, 10)], [0.9]), [1])
    scorer = AveragePrecisionScorer(annotations, detections, image_ids=[1])
    assert scorer.score().bbox.ap == scorer.score().segm.ap == 100
    assert scorer.size_counts().small == 1


def test_nuclei_of_exactly_32x32_px_are_medium_and_of_96x96_large() -> None:
    assert SizeCounts.of(np.array([1023, 1024, 9215, 9216])) == SizeCounts(small=1, medium=2, large=1)


def test_undefined_scores_say_why(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[(0, 5, 0, 5)]])
    result = evaluate_predictions(dataset, [predict(1, [], [])]).overall.precision.segm
    assert (result.ap, math.isnan(result.ap_large)) == (0, True)
    assert result.undefined == (
        "APm: no annotated nucleus from 32x32 to 96x96 px in this set",
        "APl: no annotated nucleus of 96x96 px or more in this set",
    )


def test_a_set_without_nuclei_has_no_ap(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[]])
    evaluation = evaluate_predictions(dataset, [predict(1, [(0, 5, 0, 5)], [0.9])])
    assert math.isnan(evaluation.overall.precision.bbox.ap)
    assert "AP: no annotated nucleus in this set" in evaluation.overall.precision.bbox.undefined


def test_a_class_without_nuclei_is_named(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[(0, 5, 0, 5)]], classes=("round", "spindle"))
    result = evaluate_predictions(dataset, [predict(1, [(0, 5, 0, 5)], [0.9])]).overall.precision.bbox
    assert [each.class_name for each in result.per_class] == ["round", "spindle"]
    assert "AP-spindle: no annotated nucleus of this class in this set" in result.undefined
    assert result.ap == 100


def test_crowd_regions_are_not_counted_by_size(tmp_path: Path) -> None:
    annotations = write_dataset(tmp_path, [[(0, 5, 0, 5), (10, 15, 0, 5)]]).coco()
    annotations["annotations"][1]["iscrowd"] = 1
    assert AveragePrecisionScorer(annotations, [], image_ids=[1]).size_counts().total == 1
