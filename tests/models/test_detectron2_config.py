from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig, zoo_names
from tests.models import golden

ZOO_NAME = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"


def test_detectron2s_own_file_survives_the_round_trip() -> None:
    path = golden.FOLDER / "output_folder" / "config.yaml"
    text = DetectronConfig.load(path).dump()
    assert yaml.safe_load(text) == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_dump_is_written_as_detectron2_writes_it() -> None:
    """Detectron2 points at repeated lists with YAML anchors; spelled out, every line is the same."""
    path = golden.FOLDER / "output_folder" / "config.yaml"
    spelled = yaml.safe_load(path.read_text(encoding="utf-8"))
    lines = DetectronConfig.load(path).dump().splitlines()
    stored = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in stored if "&id" not in line and "*id" not in line and line in lines]
    assert "  STEPS:\n  - 375\n" in DetectronConfig.load(path).dump()
    assert lines[0] == stored[0] == "CUDNN_BENCHMARK: false"
    assert list(spelled) == [line.split(":")[0] for line in lines if line[0] not in " -"]


def test_the_keys_are_detectron2s_and_no_others() -> None:
    def keys(tree: dict[str, Any], prefix: str = "") -> set[str]:
        found: set[str] = set()
        for name, value in tree.items():
            found |= keys(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}"}
        return found

    stored = yaml.safe_load((golden.FOLDER / "caffe" / "config.yaml").read_text(encoding="utf-8"))
    assert set(DetectronConfig.default().values) == keys(stored)


def test_the_zoo_recipe_stands_on_its_base() -> None:
    recipe = DetectronConfig.zoo(ZOO_NAME)
    assert recipe.get("SOLVER.MAX_ITER") == 270000
    assert recipe.get("SOLVER.BASE_LR") == 0.02
    assert recipe.get("MODEL.ANCHOR_GENERATOR.SIZES") == ((32,), (64,), (128,), (256,), (512,))
    assert recipe.get("MODEL.RPN.PRE_NMS_TOPK_TRAIN") == 2000
    assert ZOO_NAME in zoo_names()


def test_an_unknown_zoo_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="mask_rcnn_R_50_FPN_3x"):
        DetectronConfig.zoo("COCO-Detection/retinanet_R_50_FPN_1x.yaml")


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("SOLVER.MAX_ITER", "300", 300),
        ("SOLVER.STEPS", "(60, 80)", (60, 80)),
        ("SOLVER.STEPS", "[]", ()),
        ("SOLVER.STEPS", [1, 2], (1, 2)),
        ("SOLVER.BASE_LR", "1e-4", 1e-4),
        ("SOLVER.BASE_LR", 1, 1.0),
        ("SOLVER.WEIGHT_DECAY_BIAS", "0.01", 0.01),
        ("SOLVER.WEIGHT_DECAY_BIAS", "null", None),
        ("SOLVER.WEIGHT_DECAY_BIAS", None, None),
        ("MODEL.MASK_ON", "true", True),
        ("MODEL.MASK_ON", "True", True),
        ("MODEL.WEIGHTS", "123", "123"),
        ("MODEL.BACKBONE.FREEZE_AT", 0, 0),
        ("TEST.EXPECTED_RESULTS", "[['bbox', 'AP', 38.5, 0.2]]", (("bbox", "AP", 38.5, 0.2),)),
    ],
)
def test_an_override_is_parsed_and_typed(key: str, given: Any, expected: Any) -> None:
    value = DetectronConfig.default().with_overrides({key: given}).get(key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("SOLVER.MAX_ITER", "300.5"),
        ("SOLVER.MAX_ITER", "many"),
        ("SOLVER.MAX_ITER", "a: b: c"),
        ("SOLVER.MAX_ITER", None),
        ("SOLVER.MAX_ITER", True),
        ("SOLVER.BASE_LR", "true"),
        ("SOLVER.STEPS", "5"),
        ("SOLVER.WEIGHT_DECAY_BIAS", "none at all"),
        ("MODEL.WEIGHTS", 5),
        ("VERSION", 1),
    ],
)
def test_an_override_of_the_wrong_type_names_the_key(key: str, given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        DetectronConfig.default().with_overrides({key: given})
    assert caught.value.item == key


def test_an_unknown_key_names_itself_and_the_closest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"SOLVER\.MAX_ITR.*SOLVER\.MAX_ITER"):
        DetectronConfig.default().with_overrides({"SOLVER.MAX_ITR": "3"})
    with pytest.raises(ConfigError, match="section"):
        DetectronConfig.default().get("SOLVER")


def test_a_file_with_an_unknown_key_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("SOLVER:\n  MAX_ITERATIONS: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        DetectronConfig.load(path)
    assert caught.value.path == path
    assert caught.value.item == "SOLVER.MAX_ITERATIONS"


def test_python_tuples_and_tuples_as_text_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(
        "SOLVER:\n  STEPS: !!python/tuple\n  - 5\n  - 7\nINPUT:\n  MIN_SIZE_TRAIN: (640, 672)\n", encoding="utf-8"
    )
    config = DetectronConfig.load(path)
    assert config.get("SOLVER.STEPS") == (5, 7)
    assert config.get("INPUT.MIN_SIZE_TRAIN") == (640, 672)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SEED: !!python/object/apply:os.system ['true']\n", "plain YAML"),
        ("- 1\n", "no settings"),
        ("_BASE_: config.yaml\n", "circle"),
        ("_BASE_: https://example.org/base.yaml\n", "path of a file"),
        ("_BASE_: elsewhere.yaml\n", "can't be read"),
        ("SEED:\n  A: 1\n", "unknown setting"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        DetectronConfig.load(path)


def test_a_base_is_overlaid_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("SOLVER: {MAX_ITER: 7, BASE_LR: 0.5}\nSEED: 3\n", encoding="utf-8")
    path = tmp_path / "own.yaml"
    path.write_text("_BASE_: base.yaml\nSOLVER: {MAX_ITER: 9}\n", encoding="utf-8")
    config = DetectronConfig.load(path)
    assert (config.get("SOLVER.MAX_ITER"), config.get("SOLVER.BASE_LR"), config.get("SEED")) == (9, 0.5, 3)


def test_a_configuration_is_a_value() -> None:
    config = DetectronConfig.default()
    assert config == DetectronConfig.default()
    assert hash(config) == hash(DetectronConfig.default())
    assert config != config.with_overrides({"SEED": 1})
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(ConfigError, match="lacks"):
        DetectronConfig({"SEED": 1})
