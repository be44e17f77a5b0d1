from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from nucleate.assets.weights import PUBLISHED_WEIGHTS
from nucleate.detectron2 import model_zoo
from nucleate.detectron2.config import CfgNode, detectron_config, get_cfg
from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig, zoo_names
from tests.detectron2.tiny import ZOO_NAME
from tests.models.golden import FOLDER


def test_defaults_are_detectron2s_with_its_tuples_and_lists() -> None:
    cfg = get_cfg()
    assert detectron_config(cfg) == DetectronConfig.default()
    assert cfg.SOLVER.STEPS == (30000,)
    assert cfg.DATASETS.TRAIN == ()
    assert cfg.MODEL.PIXEL_MEAN == [103.53, 116.28, 123.675]
    assert cfg.MODEL.ANCHOR_GENERATOR.SIZES == [[32, 64, 128, 256, 512]]
    assert cfg["MODEL"]["DEVICE"] == "cuda"
    assert "SOLVER" in cfg


def test_a_zoo_file_is_merged_over_what_is_there_and_keeps_each_keys_kind() -> None:
    cfg = get_cfg()
    cfg.SOLVER.BASE_LR = 0.5
    cfg.SEED = 3
    cfg.merge_from_file(model_zoo.get_config_file(ZOO_NAME))
    assert (cfg.SOLVER.BASE_LR, cfg.SEED) == (0.02, 3)
    assert cfg.SOLVER.STEPS == (210000, 250000)
    assert cfg.MODEL.RESNETS.OUT_FEATURES == ["res2", "res3", "res4", "res5"]
    assert cfg.MODEL.WEIGHTS == "detectron2://ImageNetPretrained/MSRA/R-50.pkl"


def test_what_detectron2_dumped_is_dumped_again() -> None:
    cfg = get_cfg()
    cfg.merge_from_file(str(FOLDER / "caffe" / "config.yaml"))
    assert yaml.safe_load(cfg.dump()) == yaml.safe_load((FOLDER / "caffe" / "config.yaml").read_text())
    assert str(cfg) == cfg.dump()
    assert yaml.safe_load(cfg.dump())["MODEL"]["FPN"]["OUT_CHANNELS"] == 16


def test_the_notebooks_assignments_are_taken() -> None:
    cfg = get_cfg()
    cfg.SOLVER.STEPS = []
    cfg.DATASETS.TRAIN = ("a", "b")
    cfg.DATASETS.TEST = "c"
    cfg.INPUT.MIN_SIZE_TRAIN = 512
    cfg.OUTPUT_DIR = Path("some") / "where"
    cfg.SOLVER.MAX_ITER = np.int64(5)
    cfg.SOLVER.BASE_LR = 1
    config = detectron_config(cfg)
    assert config.get("SOLVER.STEPS") == ()
    assert config.get("DATASETS.TEST") == ("c",)
    assert config.get("INPUT.MIN_SIZE_TRAIN") == (512,)
    assert config.get("OUTPUT_DIR") == str(Path("some") / "where")
    assert config.get("SOLVER.MAX_ITER") == 5
    assert config.get("SOLVER.BASE_LR") == 1.0


def test_an_unknown_key_is_an_error_as_there_and_names_the_closest() -> None:
    cfg = get_cfg()
    with pytest.raises(AttributeError, match=r"SOLVER.MAX_ITER"):
        _ = cfg.SOLVER.MAXITER
    with pytest.raises(AttributeError, match=r"SOLVER.MAX_ITER"):
        cfg.SOLVER.MAXITER = 300
    with pytest.raises(KeyError, match=r"SOLVER.MAX_ITER"):
        cfg.merge_from_list(["SOLVER.MAXITER", 300])
    assert not hasattr(cfg, "FOO")


def test_an_unknown_key_in_a_file_is_one_line_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("SOLVER: {MAXITER: 3}\n")
    with pytest.raises(KeyError) as caught:
        get_cfg().merge_from_file(path)
    assert isinstance(caught.value, ConfigError)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("SOLVER.STEPS", "nuclei"), ("MODEL.MASK_ON", 1), ("SOLVER", 3), ("SEED", "x")]
)
def test_a_value_of_another_type_is_refused_where_it_is_set(key: str, value: object) -> None:
    *folders, leaf = key.split(".")
    node = get_cfg()
    for folder in folders:
        node = node[folder]
    with pytest.raises(ValueError, match=key):
        node[leaf] = value


def test_lists_are_parsed_and_need_pairs() -> None:
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.STEPS", "(3, 4)", "MODEL.DEVICE", "cpu", "SOLVER.BASE_LR", "1e-3"])
    assert (cfg.SOLVER.STEPS, cfg.MODEL.DEVICE, cfg.SOLVER.BASE_LR) == ((3, 4), "cpu", 0.001)
    with pytest.raises(ConfigError, match="in turn"):
        cfg.merge_from_list(["SEED"])
    with pytest.raises(ConfigError, match="an integer"):
        cfg.merge_from_list(["SEED", "x"])


def test_frozen_means_frozen_to_the_leaves() -> None:
    cfg = get_cfg()
    cfg.freeze()
    assert cfg.is_frozen()
    assert cfg.SOLVER.is_frozen()
    with pytest.raises(AttributeError, match="defrost"):
        cfg.SOLVER.MAX_ITER = 3
    with pytest.raises(AttributeError, match="defrost"):
        cfg.merge_from_list(["SEED", 1])
    cfg.defrost()
    cfg.SOLVER.MAX_ITER = 3
    assert cfg.SOLVER.MAX_ITER == 3


@pytest.mark.parametrize("copied", [CfgNode.clone, copy.deepcopy, lambda cfg: pickle.loads(pickle.dumps(cfg))])
def test_copies_are_deep_and_keep_being_checked(copied: Callable[[CfgNode], CfgNode]) -> None:
    cfg = get_cfg()
    other = copied(cfg)
    other.MODEL.PIXEL_MEAN[0] = 1.0
    other.SEED = 9
    assert cfg.MODEL.PIXEL_MEAN[0] == 103.53
    assert cfg.SEED == -1
    with pytest.raises(AttributeError):
        other.SEEED = 9


def test_sections_are_set_key_by_key_or_by_a_whole_section() -> None:
    cfg, other = get_cfg(), get_cfg()
    other.SOLVER.MAX_ITER = 7
    cfg.SOLVER = other.SOLVER
    assert cfg.SOLVER.MAX_ITER == 7
    cfg.SOLVER.MAX_ITER = 8
    assert other.SOLVER.MAX_ITER == 7
    with pytest.raises(AttributeError, match="can't be removed"):
        del cfg["SOLVER"]
    with pytest.raises(ConfigError, match="not into a section"):
        cfg.SOLVER.merge_from_list(["MAX_ITER", 3])
    cfg.merge_from_other_cfg(other)
    assert cfg == other
    assert repr(cfg.TEST.PRECISE_BN) == str(cfg.TEST.PRECISE_BN) == "CfgNode({'ENABLED': False, 'NUM_ITER': 200})"


def test_a_node_of_ones_own_takes_any_key_until_it_meets_the_configuration() -> None:
    node = CfgNode({"A": 1})
    node.B = 2
    assert node.A + node.B == 3
    with pytest.raises(AttributeError):
        _ = node.C
    with pytest.raises(ConfigError):
        node.dump()
    with pytest.raises(ValueError, match="TEST"):
        get_cfg().TEST = node


def test_every_zoo_recipe_has_its_weights_address() -> None:
    for name in zoo_names():
        url = model_zoo.get_checkpoint_url(name)
        assert url.startswith("https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation/")
        assert url == model_zoo.get_config(name, trained=True).MODEL.WEIGHTS
        assert model_zoo.get_checkpoint_url(name.removesuffix(".yaml")) == url
        assert Path(model_zoo.get_config_file(name)).is_file()
    assert model_zoo.get_config(ZOO_NAME).MODEL.WEIGHTS.endswith("MSRA/R-50.pkl")
    of_zoo = [weights for weights in PUBLISHED_WEIGHTS if not weights.name.startswith("torchvision-")]
    assert len(of_zoo) == 5
    assert all("CC BY-SA 3.0" in weights.licence for weights in of_zoo)


@pytest.mark.parametrize(
    "name",
    [
        "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml",
        "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x.yaml",
        "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml",
        "../Base-RCNN-FPN.yaml",
    ],
)
def test_other_models_of_the_zoo_are_refused_by_name(name: str) -> None:
    for ask in (model_zoo.get_config_file, model_zoo.get_checkpoint_url, model_zoo.get_config):
        with pytest.raises(RuntimeError, match="not built") as caught:
            ask(name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
