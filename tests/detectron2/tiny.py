"""Drawn data as the notebook registers it, and a configuration small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from nucleate.api import PrepareSettings, prepare
from nucleate.detectron2 import model_zoo
from nucleate.detectron2.config import CfgNode, get_cfg
from nucleate.detectron2.data.datasets import register_coco_instances
from tests.synthetic import draw_he

ZOO_NAME = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"


def prepared(folder: Path, *, images: int = 6) -> Path:
    """Return drawn images with label images, prepared with `--masks polygon` and a split."""
    source = folder / "source"
    (source / "images").mkdir(parents=True)
    (source / "labels").mkdir()
    for seed in range(images):
        drawing = draw_he(seed=seed, height_px=96, width_px=96, nuclei=5)
        Image.fromarray(drawing.image_rgb).save(source / "images" / f"drawing_{seed}.png")
        Image.fromarray(drawing.label_map).save(source / "labels" / f"drawing_{seed}.png")
    settings = PrepareSettings(masks="polygon", split=0.67, labels=source / "labels")
    prepare([source / "images"], output=folder / "data", settings=settings)
    return folder / "data"


def register(data: Path) -> None:
    for split in ("train", "val"):
        register_coco_instances(
            f"nuclei_{split}", {}, str(data / "annotations" / f"{split}.json"), str(data / "images")
        )


def tiny_cfg(output: Path, *, iterations: int = 3) -> CfgNode:
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(ZOO_NAME))
    cfg.OUTPUT_DIR = str(output)
    cfg.DATASETS.TRAIN = ("nuclei_train",)
    cfg.DATASETS.TEST = ()
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = 8
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 16
    cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 4
    cfg.MODEL.FPN.OUT_CHANNELS = 8
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 16
    cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 8
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = 50
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 50
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    cfg.INPUT.MIN_SIZE_TRAIN = (64,)
    cfg.INPUT.MIN_SIZE_TEST = 64
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.BASE_LR = 0.001
    cfg.SOLVER.MAX_ITER = iterations
    cfg.SOLVER.STEPS = []
    cfg.SEED = 5
    return cfg
