"""The recipe that this project began with, as it was written for Detectron2; only its imports are changed.

A data set with polygons and a split, then the recipe on it:

    nucleate prepare NuInsSeg --output data/nuinsseg --split 0.8 --masks polygon
    python examples/detectron2_recipe.py data/nuinsseg --output output

The zoo's weights (CC BY-SA 3.0) are fetched; without a network give `--weights FILE`. `--weights ""` starts from
nothing: the norms' statistics are filled from one batch. Any key of the configuration can follow: SOLVER.MAX_ITER 300.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from nucleate.detectron2 import model_zoo
from nucleate.detectron2.config import CfgNode, get_cfg
from nucleate.detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
from nucleate.detectron2.data.datasets import register_coco_instances
from nucleate.detectron2.engine import DefaultPredictor, DefaultTrainer
from nucleate.detectron2.evaluation import COCOEvaluator, inference_on_dataset
from nucleate.detectron2.utils.logger import setup_logger
from nucleate.detectron2.utils.visualizer import ColorMode, Visualizer

MODEL = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
PICTURES = 3


def configuration(output: Path, weights: str | None, changes: Sequence[str]) -> CfgNode:
    """Return the recipe's configuration."""
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(MODEL))
    cfg.DATASETS.TRAIN = ("nuclei_train",)
    cfg.DATASETS.TEST = ()
    cfg.DATALOADER.NUM_WORKERS = 2
    cfg.MODEL.WEIGHTS = model_zoo.get_checkpoint_url(MODEL) if weights is None else weights
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.BASE_LR = 0.00025
    cfg.SOLVER.MAX_ITER = 1500
    cfg.SOLVER.STEPS = []
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 256
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    cfg.OUTPUT_DIR = str(output)
    cfg.merge_from_list(list(changes))
    return cfg


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, draw a few predictions and evaluate; return the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that `nucleate prepare --split ... --masks polygon` made")
    parser.add_argument("--output", type=Path, default=Path("output"))
    parser.add_argument("--weights", help="file or name; the zoo's weights where left out, nothing where empty")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("changes", nargs="*", metavar="KEY VALUE", help="of the configuration")
    given = parser.parse_intermixed_args(arguments)
    setup_logger()

    for split in ("train", "val"):
        annotations = given.data / "annotations" / f"{split}.json"
        register_coco_instances(f"nuclei_{split}", {}, annotations, given.data / "images")

    cfg = configuration(given.output, given.weights, given.changes)
    given.output.mkdir(parents=True, exist_ok=True)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=given.resume)
    trainer.train()

    cfg.MODEL.WEIGHTS = str(given.output / "model_final.pth")
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.5
    predictor = DefaultPredictor(cfg)
    validation = DatasetCatalog.get("nuclei_val")
    for entry in random.Random(0).sample(validation, min(PICTURES, len(validation))):
        image_bgr = cv2.imread(entry["file_name"])
        outputs = predictor(image_bgr)
        visualizer = Visualizer(
            image_bgr[:, :, ::-1],
            metadata=MetadataCatalog.get("nuclei_val"),
            scale=1.0,
            instance_mode=ColorMode.IMAGE,
        )
        drawing = visualizer.draw_instance_predictions(outputs["instances"].to("cpu"))
        drawing.save(given.output / f"predicted_{Path(entry['file_name']).stem}.png")

    evaluator = COCOEvaluator("nuclei_val", output_dir=given.output / "inference")
    loader = build_detection_test_loader(cfg, "nuclei_val")
    results = dict(inference_on_dataset(predictor.model, loader, evaluator))
    print(results)
    return results


if __name__ == "__main__":
    main()
