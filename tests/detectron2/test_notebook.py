"""The code path that this project began with, line by line, with only its imports changed."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from nucleate.detectron2 import model_zoo
from nucleate.detectron2.config import get_cfg
from nucleate.detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
from nucleate.detectron2.data.datasets import register_coco_instances
from nucleate.detectron2.engine import DefaultPredictor, DefaultTrainer
from nucleate.detectron2.evaluation import COCOEvaluator, inference_on_dataset
from nucleate.detectron2.utils.logger import setup_logger
from nucleate.detectron2.utils.visualizer import ColorMode, Visualizer
from tests.detectron2.tiny import ZOO_NAME, prepared


def test_the_notebook_runs_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = prepared(tmp_path), tmp_path / "output"
    setup_logger()

    register_coco_instances("nuclei_train", {}, f"{data}/annotations/train.json", f"{data}/images")
    register_coco_instances("nuclei_val", {}, f"{data}/annotations/val.json", f"{data}/images")
    dataset_dicts = DatasetCatalog.get("nuclei_train")
    metadata = MetadataCatalog.get("nuclei_train")
    assert metadata.thing_classes == ["nucleus"]
    for d in random.Random(0).sample(dataset_dicts, 1):
        img: Any = cv2.imread(d["file_name"])
        visualizer = Visualizer(img[:, :, ::-1], metadata=metadata, scale=0.5)
        assert visualizer.draw_dataset_dict(d).get_image().shape == (48, 48, 3)

    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(ZOO_NAME))
    cfg.DATASETS.TRAIN = ("nuclei_train",)
    cfg.DATASETS.TEST = ()
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.MODEL.WEIGHTS = model_zoo.get_checkpoint_url(ZOO_NAME)
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.BASE_LR = 0.00025
    cfg.SOLVER.MAX_ITER = 4
    cfg.SOLVER.STEPS = []
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 256
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 6
    cfg.OUTPUT_DIR = str(output)
    # What makes it a test: small layers, small images, and no download.
    cfg.MODEL.WEIGHTS = ""
    cfg.merge_from_list(
        ["MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16, "MODEL.FPN.OUT_CHANNELS", 8]
    )
    cfg.merge_from_list(
        ["MODEL.RESNETS.WIDTH_PER_GROUP", 4, "MODEL.ROI_BOX_HEAD.FC_DIM", 16, "INPUT.MIN_SIZE_TEST", 64]
    )
    cfg.merge_from_list(["MODEL.ROI_MASK_HEAD.CONV_DIM", 8, "INPUT.MIN_SIZE_TRAIN", "(64,)", "SEED", "7"])

    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)  # noqa: PTH103 - the notebook's line
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()

    names = {path.name for path in output.iterdir()}
    assert {"config.yaml", "last_checkpoint", "metrics.json", "model_final.pth", "log.txt"} <= names
    assert len([name for name in names if name.startswith("events.out.tfevents.")]) == 1
    _check_files(output)

    cfg.MODEL.WEIGHTS = os.path.join(cfg.OUTPUT_DIR, "model_final.pth")  # noqa: PTH118 - the notebook's line
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.01
    predictor = DefaultPredictor(cfg)
    for d in DatasetCatalog.get("nuclei_val"):
        im: Any = cv2.imread(d["file_name"])
        outputs = predictor(im)
        v = Visualizer(im[:, :, ::-1], metadata=metadata, scale=1.5, instance_mode=ColorMode.IMAGE_BW)
        out = v.draw_instance_predictions(outputs["instances"].to("cpu"))
        assert out.get_image().shape == (144, 144, 3)

    evaluator = COCOEvaluator("nuclei_val", output_dir=str(output / "inference"))
    val_loader = build_detection_test_loader(cfg, "nuclei_val")
    results = inference_on_dataset(predictor.model, val_loader, evaluator)
    assert list(results) == ["bbox", "segm"]
    assert list(results["segm"]) == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    assert json.loads((output / "inference" / "coco_instances_results.json").read_text())
    stored: list[dict[str, Any]] = torch.load(output / "inference" / "instances_predictions.pth", weights_only=True)
    assert {each["image_id"] for each in stored} == {d["image_id"] for d in DatasetCatalog.get("nuclei_val")}
    said = capsys.readouterr().out
    assert " d2.utils.events]:  eta: 0:00:00  iter: 3  total_loss: " in said
    assert " d2.evaluation.evaluator]: Start inference on 2 batches" in said
    assert " d2.evaluation.coco_evaluation]: Evaluation results for segm: \n|" in said


def _check_files(output: Path) -> None:
    assert (output / "last_checkpoint").read_text() == "model_final.pth"
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert (
        config["MODEL"]["ROI_HEADS"] | {"BATCH_SIZE_PER_IMAGE": 256, "NUM_CLASSES": 6} == config["MODEL"]["ROI_HEADS"]
    )
    content = torch.load(output / "model_final.pth", weights_only=True)
    assert set(content) == {"model", "trainer", "iteration"}
    assert len(content["model"]) == 307
    line = json.loads((output / "metrics.json").read_text().splitlines()[-1])
    assert line["iteration"] == 3
    assert np.isfinite(line["total_loss"])
