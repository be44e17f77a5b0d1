"""DefaultTrainer and DefaultPredictor: the engine's own weights, resuming, evaluation, refusals."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nucleate.detectron2.config import CfgNode, get_cfg
from nucleate.detectron2.data import DatasetCatalog, MetadataCatalog
from nucleate.detectron2.data.datasets import register_coco_instances
from nucleate.detectron2.engine import DefaultPredictor, DefaultTrainer
from nucleate.detectron2.evaluation import COCOEvaluator, DatasetEvaluator
from nucleate.detectron2.modeling import GeneralizedRCNN, build_model, weights_of
from nucleate.errors import CheckpointError, ConfigError, NucleateError, ResultsError, TrainingError
from nucleate.files import folder_lock, read_rgb
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.run_card import RunCard
from nucleate.training import Recipe, TrainingRequest, run_training
from nucleate.training.mask_rcnn.settings import Augmentation, MaskRCNNRecipeSettings
from tests.detectron2.test_data import own_dicts, square
from tests.detectron2.tiny import prepared, register, tiny_cfg
from tests.models.golden import FOLDER


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("drawn"))


class Evaluated(DefaultTrainer):
    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return COCOEvaluator(dataset_name, output_dir=Path(cfg.OUTPUT_DIR) / "inference")


def trained(cfg: CfgNode, *, resume: bool = False, kind: type[DefaultTrainer] = DefaultTrainer) -> DefaultTrainer:
    trainer = kind(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def stored(folder: Path) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = torch.load(folder / "model_final.pth", weights_only=True)["model"]
    return model


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def test_the_facade_trains_the_weights_that_the_engine_trains(data: Path, tmp_path: Path) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path / "facade")
    trained(cfg)
    config = DetectronConfig.load(tmp_path / "facade" / "config.yaml")
    recipe = Recipe(
        name="same",
        about="",
        config=config.with_overrides({"DATASETS.TRAIN": ["train"]}),
        settings=MaskRCNNRecipeSettings(augmentation=Augmentation(enabled=False)),
        explicit_keys=frozenset(config.values),
    )
    request = TrainingRequest(
        data=data, recipe=recipe, output=tmp_path / "engine", weights=None, resume=False, device=torch.device("cpu")
    )
    run_training(request, lambda *_: None, lambda *_: None)
    facade, engine = stored(tmp_path / "facade"), stored(tmp_path / "engine")
    assert list(facade) == list(engine)
    assert all(torch.equal(facade[name], engine[name]) for name in facade)


def test_resuming_ends_where_an_uninterrupted_training_does(data: Path, tmp_path: Path) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path / "whole", iterations=4)
    cfg.SOLVER.WARMUP_ITERS = 0
    trained(cfg)
    cfg.OUTPUT_DIR = str(tmp_path / "parts")
    cfg.SOLVER.MAX_ITER = 2
    trained(cfg, resume=True)
    cfg.SOLVER.MAX_ITER = 4
    trainer = trained(cfg, resume=True)
    assert trainer.start_iter == 2
    assert trainer.max_iter == 4
    whole, parts = stored(tmp_path / "whole"), stored(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert [line["iteration"] for line in lines(tmp_path / "parts")] == [1, 3]


def test_a_training_of_detectron2_itself_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    for name in (
        "caffe/config.yaml",
        "caffe/model_final.pth",
        "output_folder/last_checkpoint",
        "output_folder/metrics.json",
    ):
        shutil.copy(FOLDER / name, output)
    register_coco_instances("g_train", {}, FOLDER / "coco_eval" / "annotations.json", FOLDER / "coco_eval")
    cfg = golden_cfg()
    cfg.DATASETS.TRAIN = ("g_train",)
    cfg.OUTPUT_DIR = str(output)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.MAX_ITER = 501
    before = stored(output)
    trainer = trained(cfg, resume=True)
    assert trainer.start_iter == 500
    after = stored(output)
    assert list(before) == list(after)
    # Detectron2's loss of its last iterations, 0.91, is the scale: a momentum or rate that got lost would show.
    assert lines(output)[-1]["iteration"] == 500
    assert lines(output)[-1]["total_loss"] < 2.0
    frozen = "backbone.bottom_up.stem.conv1.weight"
    assert torch.equal(before[frozen], after[frozen]) == (cfg.MODEL.BACKBONE.FREEZE_AT > 0)


def test_config_yaml_is_the_users_configuration(data: Path, tmp_path: Path) -> None:
    register(data)
    start = tiny_cfg(tmp_path / "start", iterations=1)
    trained(start)
    cfg = tiny_cfg(tmp_path / "run", iterations=1)
    cfg.MODEL.WEIGHTS = str(tmp_path / "start" / "model_final.pth")
    trained(cfg)
    written = DetectronConfig.load(tmp_path / "run" / "config.yaml")
    assert written == DetectronConfig(dict(cfg._flat()))
    card = RunCard.read(tmp_path / "run")
    assert card.class_names == ("nucleus",)
    assert card.tile_px is None
    assert "307 tensors, 0 left out" in str(card.settings["weights"])


def test_evaluations_at_intervals_and_at_the_end_are_lines_of_their_own(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path / "run", iterations=4)
    cfg.DATASETS.TEST = ("nuclei_val",)
    cfg.TEST.EVAL_PERIOD = 2
    cfg.SOLVER.CHECKPOINT_PERIOD = 2
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    trainer = Evaluated(cfg)
    trainer.resume_or_load(resume=False)
    results = trainer.train()
    assert results is not None
    assert list(results) == ["bbox", "segm"]
    evaluated = [line for line in lines(tmp_path / "run") if "segm/AP" in line]
    assert [line["iteration"] for line in evaluated] == [2, 4]
    assert (tmp_path / "run" / "model_0000001.pth").is_file()
    assert (tmp_path / "run" / "inference" / "coco_instances_results.json").is_file()
    said = capsys.readouterr().out
    assert said.count("d2.engine.defaults]: Evaluation results for nuclei_val in csv format:") == 2
    assert "d2.evaluation.testing]: copypaste: AP,AP50,AP75,APs,APm,APl" in said
    assert "d2.engine.train_loop]: Starting training from iteration 0" in said
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "d2.utils.events INFO:  eta: 0:00:00  iter: 3  total_loss: " in log


def test_without_an_evaluator_a_line_says_so_and_training_ends_well(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path / "run", iterations=1)
    cfg.DATASETS.TEST = ("nuclei_val",)
    trainer = DefaultTrainer(cfg)
    assert trainer.train() is None
    assert "WARNING No evaluator found" in capsys.readouterr().out
    assert not any("segm/AP" in line for line in lines(tmp_path / "run"))


def test_scores_by_data_set_where_there_are_several(data: Path, tmp_path: Path) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path)
    cfg.DATASETS.TEST = ("nuclei_val", "nuclei_train")
    model = DefaultTrainer.build_model(cfg)
    evaluators = [COCOEvaluator(name, tasks=["segm"]) for name in cfg.DATASETS.TEST]
    results = DefaultTrainer.test(cfg, model, evaluators)
    assert list(results) == ["nuclei_val", "nuclei_train"]
    assert list(results["nuclei_val"]) == ["segm"]
    assert model.training
    with pytest.raises(ConfigError, match="1 evaluators for 2"):
        DefaultTrainer.test(cfg, model, evaluators[0])


@pytest.mark.parametrize("name", ["build_train_loader", "build_hooks", "build_model", "run_step", "build_optimizer"])
def test_an_override_that_would_be_ignored_is_refused_by_its_name(data: Path, tmp_path: Path, name: str) -> None:
    register(data)
    kind = type("Mine", (DefaultTrainer,), {name: lambda self, *_: None})
    with pytest.raises(NotImplementedError, match=f"Mine.{name}"):
        kind(tiny_cfg(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.META_ARCHITECTURE", "RetinaNet"),
        ("MODEL.ROI_HEADS.NAME", "CascadeROIHeads"),
        ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"),
        ("INPUT.CROP.ENABLED", True),
        ("SOLVER.LR_SCHEDULER_NAME", "WarmupStepWithFixedGammaLR"),
        ("DATASETS.TRAIN", ()),
        ("MODEL.WEIGHTS", "https://example.org/model.pkl"),
        ("MODEL.WEIGHTS", "nowhere.pth"),
        ("MODEL.DEVICE", "abacus"),
    ],
)
def test_what_is_not_built_is_one_line_that_names_the_key(data: Path, tmp_path: Path, key: str, value: Any) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path)
    cfg.merge_from_list([key, value])
    with pytest.raises(NucleateError) as caught:
        DefaultTrainer(cfg)
    assert "\n" not in str(caught.value)
    assert (key in str(caught.value)) or key == "MODEL.DEVICE"


@pytest.mark.parametrize("key", ["TRAIN", "TEST"])
def test_a_data_set_that_nobody_registered_is_said_before_training(data: Path, tmp_path: Path, key: str) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path)
    cfg.DATASETS[key] = ("coco_2017_val",)
    with pytest.raises(KeyError, match=f"DATASETS.{key}: coco_2017_val"):
        DefaultTrainer(cfg)


def test_a_second_run_in_the_folder_replaces_the_first_and_says_so(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path / "run", iterations=1)
    trained(cfg)
    trained(cfg)
    assert "holds a run already" in capsys.readouterr().out
    assert len(lines(tmp_path / "run")) == 1


def test_a_finished_training_asks_for_more_iterations(data: Path, tmp_path: Path) -> None:
    register(data)
    cfg = tiny_cfg(tmp_path / "run", iterations=1)
    trained(cfg)
    with pytest.raises(TrainingError, match="raise SOLVER.MAX_ITER"):
        trained(cfg, resume=True)


def test_one_process_trains_in_a_folder(data: Path, tmp_path: Path) -> None:
    register(data)
    trainer = DefaultTrainer(tiny_cfg(tmp_path / "run", iterations=1))
    with folder_lock(tmp_path / "run"), pytest.raises(ResultsError, match="another nucleate process"):
        trainer.train()


def test_a_data_set_function_of_ones_own_trains_with_six_classes_in_the_head(tmp_path: Path) -> None:
    DatasetCatalog.register("own", lambda: own_dicts(tmp_path / "images", ["a", "b"], [square(4, 8)]))
    MetadataCatalog.get("own").thing_classes = ["nucleus"]
    cfg = tiny_cfg(tmp_path / "run", iterations=1)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ("own",)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 6
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    trainer = trained(cfg, kind=Evaluated)
    assert RunCard.read(tmp_path / "run").class_names == ("nucleus", *(f"unused {index}" for index in range(1, 6)))
    assert isinstance(trainer.optimizer, torch.optim.SGD)
    assert trainer.model.settings.roi.class_count == 6


def test_cuda_without_a_gpu_computes_on_the_cpu_with_a_line(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    register(data)
    cfg = tiny_cfg(tmp_path)
    cfg.MODEL.DEVICE = "cuda"
    with caplog.at_level(logging.WARNING):
        assert DefaultTrainer(cfg).model.device.type == "cpu"
    assert any("the CPU computes" in message for message in caplog.messages)


def golden_cfg(name: str = "caffe") -> CfgNode:
    cfg = get_cfg()
    cfg.merge_from_file(FOLDER / name / "config.yaml")
    cfg.MODEL.WEIGHTS = str(FOLDER / name / "model_final.pth")
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ()
    return cfg


@pytest.mark.parametrize("name", ["caffe", "rgb"])
def test_the_predictor_gives_detectron2s_detections(name: str) -> None:
    predictor = DefaultPredictor(golden_cfg(name))
    for entry in json.loads((FOLDER / name / "expected.json").read_text())["images"]:
        image_bgr = read_rgb(FOLDER / name / entry["file"])[:, :, ::-1]
        found = predictor(image_bgr)["instances"].to("cpu")
        detections = entry["detections"]
        assert found.image_size == (entry["height"], entry["width"])
        assert len(found) == len(detections)
        assert found.pred_classes.tolist() == [each["class_index"] for each in detections]
        boxes = torch.tensor([each["box_xyxy"] for each in detections])
        assert (found.pred_boxes.tensor - boxes).abs().max() < 1e-3
        areas = np.array([each["mask_area"] for each in detections])
        assert np.abs(found.pred_masks.sum(dim=(1, 2)).numpy() - areas).max() <= 2


def test_the_zoos_pickle_is_read_as_weights() -> None:
    cfg = golden_cfg()
    cfg.MODEL.WEIGHTS = str(FOLDER / "detector_pkl" / "model_final.pkl")
    one, other = DefaultPredictor(cfg).model.state_dict(), DefaultPredictor(golden_cfg()).model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_the_predictor_knows_the_metadata_and_copies_the_configuration() -> None:
    cfg = golden_cfg()
    cfg.DATASETS.TEST = ("somewhere",)
    predictor = DefaultPredictor(cfg)
    cfg.SEED = 3
    assert predictor.metadata is MetadataCatalog.get("somewhere")
    assert predictor.cfg.SEED != 3
    assert predictor.input_format == "BGR"


def test_weights_that_do_not_fit_or_are_not_named_are_one_line() -> None:
    cfg = golden_cfg()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 80
    with pytest.raises(CheckpointError, match=r"cls_score.weight has shape") as caught:
        DefaultPredictor(cfg)
    assert "\n" not in str(caught.value)
    cfg.MODEL.WEIGHTS = ""
    with pytest.raises(ConfigError, match="MODEL.WEIGHTS"):
        DefaultPredictor(cfg)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


@pytest.mark.parametrize("damage", ["malicious.pkl", "malicious.pth", "truncated", "missing"])
def test_malicious_and_truncated_weights_are_one_line(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import pickle

    path = tmp_path / damage if damage.startswith("malicious") else tmp_path / f"{damage}.pth"
    if damage.startswith("malicious"):
        path.write_bytes(pickle.dumps({"model": {"stem.conv1.weight": _Bomb()}}))
    elif damage == "truncated":
        path.write_bytes((FOLDER / "caffe" / "model_final.pth").read_bytes()[:200_000])
    cfg = golden_cfg()
    cfg.MODEL.WEIGHTS = str(path)
    with pytest.raises(NucleateError) as caught:
        DefaultPredictor(cfg)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    assert "run" not in capsys.readouterr().out


def test_the_model_takes_batches_of_dicts_and_refuses_to_train_by_call() -> None:
    model: nn.Module = build_model(golden_cfg())
    assert isinstance(model, GeneralizedRCNN)
    image = torch.zeros(3, 64, 96, dtype=torch.uint8)
    with pytest.raises(NotImplementedError, match="DefaultTrainer trains"):
        model([{"image": image}])
    model.eval()
    answers: list[Mapping[str, Any]] = model([{"image": image}, {"image": image, "height": 32, "width": 48}])
    assert [each["instances"].image_size for each in answers] == [(64, 96), (32, 48)]


def test_torchvisions_weights_are_refused_where_the_configuration_feeds_other_images(tmp_path: Path) -> None:
    cfg = tiny_cfg(tmp_path / "out")
    copy = tmp_path / "resnet50-0676ba61.pth"
    copy.write_bytes(b"x")
    cfg.MODEL.WEIGHTS = str(copy)
    with pytest.raises(ConfigError, match=r"INPUT\.FORMAT: 'BGR', but torchvision-resnet50 was trained with 'RGB'"):
        weights_of(cfg)
    cfg.INPUT.FORMAT = "RGB"
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    assert weights_of(cfg) == copy
