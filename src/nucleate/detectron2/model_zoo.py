"""Detectron2's model zoo by name: the Mask R-CNNs with ResNet and feature pyramid; other models are refused by name."""

from __future__ import annotations

from importlib import resources
from pathlib import PurePosixPath

from nucleate.assets.weights import published_weights
from nucleate.detectron2.config import CfgNode, get_cfg
from nucleate.detectron2.errors import ZooError
from nucleate.models.detectron2_config import zoo_names

__all__ = ["get_checkpoint_url", "get_config", "get_config_file"]


def get_config_file(config_path: str) -> str:
    """Return the path of a zoo model's configuration.

    Args:
        config_path: for instance "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml".

    Raises:
        ZooError: another model of the zoo, or a name that it does not have.
    """
    _check(config_path, config_path)
    return str(resources.files("nucleate.models").joinpath("zoo", *config_path.split("/")))


def get_checkpoint_url(config_path: str) -> str:
    """Return the address of a zoo model's weights (CC BY-SA 3.0); they are fetched when a model is loaded.

    Raises:
        ZooError: another model of the zoo, or a name that it does not have.
    """
    name = config_path.removesuffix(".yaml")
    _check(f"{name}.yaml", config_path)
    weights = published_weights(PurePosixPath(name).name)
    assert weights is not None
    return weights.file.urls[0]


def get_config(config_path: str, trained: bool = False) -> CfgNode:  # noqa: FBT001, FBT002
    """Return a zoo model's configuration, with its trained weights' address or that of the ImageNet backbone.

    Raises:
        ZooError: another model of the zoo, or a name that it does not have.
    """
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(config_path))
    if trained:
        cfg.MODEL.WEIGHTS = get_checkpoint_url(config_path)
    return cfg


def _check(name: str, asked: str) -> None:
    if name not in zoo_names():
        raise ZooError(f"not built: of the model zoo there are {', '.join(zoo_names())}", item=asked)
