from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nucleate.data import read_dataset
from nucleate.detectron2.config import get_cfg
from nucleate.detectron2.data import DatasetCatalog, build_detection_test_loader
from nucleate.detectron2.data.datasets import register_coco_instances
from nucleate.detectron2.engine import DefaultPredictor
from nucleate.detectron2.evaluation import (
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    inference_on_dataset,
    print_csv_format,
)
from nucleate.detectron2.evaluation import (
    evaluator as running,
)
from nucleate.detectron2.structures import Instances
from nucleate.detectron2.structures.instances import predicted_instances
from nucleate.errors import ConfigError, DataError
from nucleate.export.coco_results import read_coco_results
from tests.detectron2.test_data import own_dicts
from tests.models.golden import FOLDER

GOLDEN = FOLDER / "coco_eval"
CPU = torch.device("cpu")


@pytest.fixture
def golden() -> None:
    register_coco_instances("g_val", {}, GOLDEN / "annotations.json", GOLDEN)


def golden_answers() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return what Detectron2 found, as inputs and outputs of a model."""
    dataset = read_dataset(GOLDEN / "annotations.json", images_dir=GOLDEN)
    frames = {record.image_id: record.frame for record in dataset.records}
    found = read_coco_results(GOLDEN / "coco_instances_results.json", frames, dataset.category_ids)
    return [({"image_id": each.image_id}, {"instances": predicted_instances(each.instances, CPU)}) for each in found]


def scored(evaluator: COCOEvaluator, answers: Sequence[tuple[Any, Any]]) -> Mapping[str, Mapping[str, float]]:
    evaluator.reset()
    for image, answer in answers:
        evaluator.process([image], [answer])
    return evaluator.evaluate()


def test_results_and_files_are_detectron2s(golden: None, tmp_path: Path) -> None:
    results = scored(COCOEvaluator("g_val", output_dir=tmp_path), golden_answers())
    line = json.loads((FOLDER / "output_folder" / "metrics.json").read_text().splitlines()[-1])
    expected = {name: value for name, value in line.items() if "/" in name}
    found = {f"{task}/{name}": value for task, scores in results.items() for name, value in scores.items()}
    assert list(results["segm"]) == ["AP", "AP50", "AP75", "APs", "APm", "APl", "AP-round", "AP-spindle"]
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    theirs = json.loads((GOLDEN / "coco_instances_results.json").read_text())
    ours = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert sorted(ours[0]) == sorted(theirs[0])
    assert len(ours) == len(theirs)
    kept: list[dict[str, Any]] = torch.load(tmp_path / "instances_predictions.pth", weights_only=True)
    assert sum(len(each["instances"]) for each in kept) == len(theirs)
    assert {found["category_id"] for each in kept for found in each["instances"]} == {0, 1}


def test_the_tables_are_detectron2s_word_for_word(golden: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        results = scored(COCOEvaluator("g_val"), golden_answers())
        print_csv_format(results)
    log = (FOLDER / "output_folder" / "log.txt").read_text()
    said = [message for message in caplog.messages if message.startswith(("Evaluation", "copypaste"))]
    assert len(said) == 8
    for message in caplog.messages:
        if message in said or message.startswith("Per-category"):
            assert message in log


def test_the_golden_network_has_its_ap_from_the_images(golden: None) -> None:
    cfg = get_cfg()
    cfg.merge_from_file(FOLDER / "caffe" / "config.yaml")
    cfg.MODEL.WEIGHTS = str(FOLDER / "caffe" / "model_final.pth")
    cfg.MODEL.DEVICE, cfg.DATALOADER.NUM_WORKERS, cfg.DATASETS.TEST = "cpu", 0, ()
    model = DefaultPredictor(cfg).model
    results = inference_on_dataset(model, build_detection_test_loader(cfg, "g_val"), COCOEvaluator("g_val"))
    assert results["bbox"]["AP"] == pytest.approx(58.058338, abs=0.01)
    assert results["segm"]["AP"] == pytest.approx(63.024163, abs=0.01)
    assert results["segm"]["APs"] == pytest.approx(63.048617, abs=0.01)


def test_detections_that_count_can_be_fewer_or_more(golden: None) -> None:
    answers = golden_answers()
    ten = scored(COCOEvaluator("g_val", max_dets_per_image=10), answers)
    every = scored(COCOEvaluator("g_val", max_dets_per_image=1000), answers)
    hundred = scored(COCOEvaluator("g_val"), answers)
    assert ten["segm"]["AP"] < hundred["segm"]["AP"]
    # No image of the set has more than 100 of one class.
    assert every["segm"] == pytest.approx(hundred["segm"], nan_ok=True)


def test_tasks_and_images_can_be_chosen(golden: None) -> None:
    evaluator = COCOEvaluator("g_val", tasks=("segm",))
    scored(evaluator, golden_answers())
    one = evaluator.evaluate(img_ids=[golden_answers()[0][0]["image_id"]])
    assert list(one) == ["segm"]
    assert one["segm"]["AP"] != evaluator.evaluate()["segm"]["AP"]
    with pytest.raises(NotImplementedError, match="keypoints"):
        COCOEvaluator("g_val", tasks=("keypoints",))


def test_no_prediction_at_all_is_nan_and_no_image_is_nothing(
    golden: None, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    evaluator = COCOEvaluator("g_val", output_dir=tmp_path)
    assert evaluator.evaluate() == {}
    answers = [(image, {"instances": answer["instances"][:0]}) for image, answer in golden_answers()]
    results = scored(evaluator, answers)
    assert all(math.isnan(value) for value in results["bbox"].values())
    assert json.loads((tmp_path / "coco_instances_results.json").read_text()) == []
    assert "No predictions from the model!" in caplog.messages


def test_classes_that_the_set_lacks_are_left_out_and_counted(golden: None, caplog: pytest.LogCaptureFixture) -> None:
    def with_stranger(answer: dict[str, Any]) -> dict[str, Instances]:
        found = answer["instances"]
        last = found[-1:]
        last.pred_classes = torch.tensor([5])
        return {"instances": Instances.cat([found, last])}

    plain = scored(COCOEvaluator("g_val"), golden_answers())
    results = scored(COCOEvaluator("g_val"), [(image, with_stranger(answer)) for image, answer in golden_answers()])
    assert results["segm"] == pytest.approx(plain["segm"], nan_ok=True)
    assert any(message.startswith("6 detections of classes") for message in caplog.messages)


def test_a_strange_image_and_a_wrong_size_are_refused(golden: None, tmp_path: Path) -> None:
    ((image, answer), *_) = golden_answers()
    evaluator = COCOEvaluator("g_val")
    with pytest.raises(DataError, match="no image of the data set"):
        evaluator.process([{"image_id": "x"}], [answer])
    small = Instances((2, 2), **{name: value[:0] for name, value in answer["instances"].get_fields().items()})
    small.pred_masks = torch.zeros(0, 2, 2, dtype=torch.bool)
    with pytest.raises(DataError, match=r"instances of an image of \(2, 2\)"):
        evaluator.process([image], [{"instances": small}])
    DatasetCatalog.register("twice", lambda: own_dicts(tmp_path, [3, 3]))
    with pytest.raises(DataError, match="one image_id"):
        COCOEvaluator("twice")


class Counting(DatasetEvaluator):
    def __init__(self, task: str) -> None:
        self.task, self.seen = task, 0

    def reset(self) -> None:
        self.seen = 0

    def process(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.seen += len(inputs)

    def evaluate(self) -> dict[str, Any]:
        return {self.task: {"seen": self.seen}}


class Silent(nn.Module):
    def forward(self, batch: list[Any]) -> list[dict[str, Any]]:
        assert not self.training
        assert not torch.is_grad_enabled()
        return [{} for _ in batch]


def test_several_evaluators_share_a_run_and_the_mode_comes_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_SECONDS_BETWEEN_LINES", -1.0)
    model = Silent().train()
    batches = [[1, 2], [3]] * 4
    with caplog.at_level(logging.INFO):
        results = inference_on_dataset(model, batches, [Counting("a"), Counting("b")])
    assert results == {"a": {"seen": 12}, "b": {"seen": 12}}
    assert model.training
    assert caplog.messages[0] == "Start inference on 8 batches"
    assert caplog.messages[1].startswith("Inference done 1/8. Dataloading: ")
    assert caplog.messages[-2].startswith("Total inference time: ")
    assert caplog.messages[-1].startswith("Total inference pure compute time: ")


def test_functions_run_too_and_nothing_scores_nothing() -> None:
    assert inference_on_dataset(lambda batch: batch, [[1]], None) == {}
    assert inference_on_dataset(lambda batch: batch, [[1]], DatasetEvaluator()) == {}
    with pytest.raises(ConfigError, match="a: two evaluators"):
        DatasetEvaluators([Counting("a"), Counting("a")]).evaluate()
