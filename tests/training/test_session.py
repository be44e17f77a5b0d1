"""Whole trainings of a tiny network on drawn images: the run folder, resuming, refusals."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nucleate.data import read_dataset
from nucleate.errors import ConfigError, NucleateError, ResultsError, TrainingError
from nucleate.files import read_rgb
from nucleate.models.detectron2_config import DetectronConfig
from nucleate.models.mask_rcnn.segmenter import MaskRCNNSegmenter
from nucleate.models.run_card import RunCard
from nucleate.training import TrainingRequest, TrainingResult, load_recipe, run_training
from nucleate.training.events import read_metrics
from nucleate.training.run_folder import read_state
from tests.synthetic import draw_he

TINY = (
    "MODEL.RESNETS.STEM_OUT_CHANNELS=8",
    "MODEL.RESNETS.RES2_OUT_CHANNELS=16",
    "MODEL.RESNETS.WIDTH_PER_GROUP=4",
    "MODEL.BACKBONE.NAME=build_resnet_fpn_backbone",
    "MODEL.FPN.OUT_CHANNELS=8",
    "MODEL.ROI_BOX_HEAD.FC_DIM=16",
    "MODEL.ROI_MASK_HEAD.CONV_DIM=8",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE=16",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN=50",
    "MODEL.RPN.POST_NMS_TOPK_TEST=50",
    "SOLVER.IMS_PER_BATCH=2",
    "SOLVER.BASE_LR=0.001",
    "SEED=5",
)
OURS = (*TINY, "augmentation.crop_px=64", "start=none", "precision=fp32", "INPUT.MIN_SIZE_TEST=64")
LITERAL = (*TINY, "INPUT.MIN_SIZE_TRAIN=(64,)", "INPUT.MIN_SIZE_TEST=64", "DATALOADER.NUM_WORKERS=0")


def write_coco(folder: Path, *, rle: bool = False) -> Path:
    """Write a data set of splits: drawn images, polygons of boxes or run-length codes, one image without nuclei."""
    from PIL import Image

    from nucleate.core import encode_rles, masks_from_label_map, trace_outlines

    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for split, seeds in {"train": (0, 1, 2), "val": (3,)}.items():
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for seed in seeds:
            drawing = draw_he(seed=seed, height_px=96, width_px=96, nuclei=0 if seed == 2 else 5)
            name = f"drawing_{seed}.png"
            Image.fromarray(drawing.image_rgb).save(folder / "images" / name)
            images.append({"id": seed + 1, "file_name": name, "width": 96, "height": 96})
            masks, _ = masks_from_label_map(drawing.label_map)
            for index, code in enumerate(encode_rles(masks)):
                x1, y1, x2, y2 = masks.windows_xyxy[index].tolist()
                ring = trace_outlines(masks, index)[0].exterior_xy.reshape(-1).tolist()
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": seed + 1,
                        "category_id": 1,
                        "iscrowd": 0,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": int(masks.areas_px()[index]),
                        "segmentation": code.to_coco() if rle else [ring],
                    }
                )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "nucleus"}],
        }
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("data") / "drawn set")


def run(
    data: Path,
    output: Path,
    overrides: Sequence[str] = OURS,
    *,
    recipe: str = "mask-rcnn-cpu",
    iterations: int = 3,
    resume: bool = False,
    weights: Path | None = None,
) -> TrainingResult:
    request = TrainingRequest(
        data=data,
        recipe=load_recipe(recipe, [*overrides, f"SOLVER.MAX_ITER={iterations}"]),
        output=output,
        weights=weights,
        resume=resume,
        device=torch.device("cpu"),
    )
    return run_training(request, lambda first, last: None, lambda done, loss: None)


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "model store & co"
    run(data, output, (*OURS, "SOLVER.CHECKPOINT_PERIOD=2", "TEST.EVAL_PERIOD=2"), iterations=4)
    return output


def test_a_run_leaves_the_files_of_detectron2_and_ours(finished: Path) -> None:
    names = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert names - events == {
        "config.yaml",
        "metrics.json",
        "model_0000001.pth",
        "model_final.pth",
        "model_best.pth",
        "last_checkpoint",
        "inference/coco_instances_results.json",
        "nucleate.yaml",
        "pictures/augmented.png",
        "pictures/curves.png",
        "pictures/validation_0000002.png",
        "pictures/validation_0000004.png",
    }
    assert (finished / "last_checkpoint").read_text() == "model_final.pth"


def test_the_final_checkpoint_has_detectron2s_layout(finished: Path) -> None:
    content = torch.load(finished / "model_final.pth", weights_only=True)
    assert set(content) == {"model", "trainer", "iteration"}
    assert content["iteration"] == content["trainer"]["iteration"] == content["trainer"]["_trainer"]["iteration"] == 3
    assert content["trainer"]["hooks"]["LRScheduler"] == {"base_lrs": [0.001], "last_epoch": 4}
    assert set(content["trainer"]["_trainer"]["optimizer"]) == {"state", "param_groups"}


def test_the_configuration_holds_detectron2s_keys_alone_and_what_the_data_decided(finished: Path) -> None:
    config = DetectronConfig.load(finished / "config.yaml")
    assert config.get("MODEL.ROI_HEADS.NUM_CLASSES") == 1
    assert config.get("MODEL.BACKBONE.FREEZE_AT") == 0
    assert config.get("OUTPUT_DIR") == finished.as_posix()


def test_the_card_tells_data_scale_threshold_and_versions(finished: Path, data: Path) -> None:
    card = RunCard.read(finished)
    assert card.recipe == "mask-rcnn-cpu"
    assert card.tile_px == 96
    assert card.nucleus_diameter_px is not None
    assert 10 < card.nucleus_diameter_px < 26
    assert card.score_threshold_from.startswith("best mean PQ")
    assert card.data is not None
    assert card.data.fingerprint == read_dataset(data, split="train").fingerprint
    assert (card.data.images, card.data.nuclei) == (3, 10)
    assert "torch" in card.versions


def test_evaluations_at_intervals_are_lines_of_their_own(finished: Path) -> None:
    lines = read_metrics(finished)
    assert [line["iteration"] for line in lines if "segm/AP" in line] == [2, 4]
    assert [line["iteration"] for line in lines if "PQ" in line] == [2, 4]
    board = EventAccumulator(str(finished))
    board.Reload()
    assert [event.step for event in board.Scalars("segm/AP50")] == [2, 4]
    assert [event.step for event in board.Scalars("PQ")] == [2, 4]
    assert [event.step for event in board.Images("validation")] == [2, 4]


def test_curves_of_a_resumed_run_begin_at_its_start(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", (*OURS, "TEST.EVAL_PERIOD=1"), iterations=2)
    (tmp_path / "run" / "pictures" / "curves.png").unlink()
    run(data, tmp_path / "run", (*OURS, "TEST.EVAL_PERIOD=1"), iterations=3, resume=True)
    assert [line["iteration"] for line in read_metrics(tmp_path / "run") if "PQ" in line] == [1, 2, 3]
    assert (tmp_path / "run" / "pictures" / "curves.png").is_file()
    strips = sorted(path.name for path in (tmp_path / "run" / "pictures").glob("validation_*"))
    assert strips == [f"validation_{iterations:07d}.png" for iterations in (1, 2, 3)]


def test_the_picture_shows_three_training_images(finished: Path) -> None:
    assert read_rgb(finished / "pictures" / "augmented.png").shape == (324, 4 * 324, 3)


def test_what_a_run_left_segments(finished: Path) -> None:
    segmenter = MaskRCNNSegmenter.load(finished, torch.device("cpu"))
    assert len(segmenter.segment([draw_he().image_rgb])) == 1


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(data: Path, tmp_path: Path) -> None:
    steady = (*OURS, "SOLVER.LR_SCHEDULER_NAME=WarmupMultiStepLR", "SOLVER.WARMUP_ITERS=0")
    run(data, tmp_path / "whole", steady, iterations=4)
    run(data, tmp_path / "parts", steady, iterations=2)
    run(data, tmp_path / "parts", steady, iterations=4, resume=True)
    whole, parts = (
        torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"] for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_folder_with_a_run_is_not_overwritten(data: Path, finished: Path) -> None:
    with pytest.raises(ResultsError, match="--resume"):
        run(data, finished)


def test_resuming_where_nothing_stands_says_so(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no last_checkpoint"):
        run(data, tmp_path / "new", resume=True)


def test_resuming_a_finished_run_asks_for_more_iterations(data: Path, finished: Path) -> None:
    with pytest.raises(TrainingError, match="raise SOLVER.MAX_ITER"):
        run(data, finished, iterations=4, resume=True)


def test_a_run_killed_before_its_last_evaluation_does_that_alone(data: Path, tmp_path: Path) -> None:
    """The weights were whole and --resume asked for more iterations; the threshold was never chosen."""
    whole = tmp_path / "run"
    run(data, whole, iterations=2)
    card = RunCard.read(whole)
    final = read_state(whole / "model_final.pth").model
    replace(card, iterations=None, score_threshold=0.5, score_threshold_from="the recipe's setting").write(whole)
    result = run(data, whole, iterations=2, resume=True)
    assert result.card.score_threshold_from == card.score_threshold_from
    assert result.final_losses["total_loss"] > 0
    after = read_state(whole / "model_final.pth").model
    assert all(torch.equal(after[name], tensor) for name, tensor in final.items())
    assert [line["iteration"] for line in read_metrics(whole) if "PQ" in line] == [2]


def test_ctrl_c_saves_and_resume_goes_on(data: Path, tmp_path: Path) -> None:
    def stop(done: int, _: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    request = TrainingRequest(
        data=data,
        recipe=load_recipe("mask-rcnn-cpu", [*OURS, "SOLVER.MAX_ITER=4"]),
        output=tmp_path / "run",
        weights=None,
        resume=False,
        device=torch.device("cpu"),
    )
    with pytest.raises(KeyboardInterrupt):
        run_training(request, lambda first, last: None, stop)
    assert (tmp_path / "run" / "last_checkpoint").read_text() == "model_0000001.pth"
    assert run(data, tmp_path / "run", iterations=4, resume=True).iterations == 4


def test_the_literal_recipe_trains_on_polygons_and_evaluates_nothing(data: Path, tmp_path: Path) -> None:
    result = run(data, tmp_path / "run", LITERAL, recipe="mask-rcnn-detectron2", iterations=2)
    assert not result.scores
    assert not (tmp_path / "run" / "inference").exists()
    assert result.card.score_threshold_from.startswith("the recipe's setting")
    assert DetectronConfig.load(tmp_path / "run" / "config.yaml").get("INPUT.MASK_FORMAT") == "polygon"


def test_run_length_codes_switch_the_mask_format(tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data", rle=True)
    run(data, tmp_path / "run", LITERAL, recipe="mask-rcnn-detectron2", iterations=1)
    assert DetectronConfig.load(tmp_path / "run" / "config.yaml").get("INPUT.MASK_FORMAT") == "bitmask"


def test_images_without_nuclei_are_left_out_and_said_so_where_the_recipe_filters(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = run(data, tmp_path / "run", LITERAL, recipe="mask-rcnn-detectron2", iterations=1)
    assert result.card.data is not None
    assert result.card.data.images == 2
    assert any("1 images without nuclei" in message for message in caplog.messages)


def test_a_head_of_six_classes_for_one_is_a_warning(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    six = (*LITERAL, "MODEL.ROI_HEADS.NUM_CLASSES=6")
    result = run(data, tmp_path / "run", six, recipe="mask-rcnn-detectron2", iterations=1)
    assert len(result.card.class_names) == 6
    assert any("the data set has 1" in message for message in caplog.messages)


def test_weights_of_another_class_count_leave_the_heads_out(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = tmp_path / "six"
    run(data, first, (*LITERAL, "MODEL.ROI_HEADS.NUM_CLASSES=6"), recipe="mask-rcnn-detectron2", iterations=1)
    result = run(
        data,
        tmp_path / "one",
        LITERAL,
        recipe="mask-rcnn-detectron2",
        iterations=1,
        weights=first / "model_final.pth",
    )
    assert "left out" in str(result.card.settings["weights"])
    assert any("cls_score.weight left out" in message for message in caplog.messages)


def test_a_run_that_started_from_weights_resumes_without_naming_them(data: Path, tmp_path: Path) -> None:
    """Resuming without --weights thawed the frozen stages, and the optimiser's state fitted no longer."""
    recipe = "mask-rcnn-detectron2"
    run(data, tmp_path / "start", LITERAL, recipe=recipe, iterations=1)
    start = tmp_path / "start" / "model_final.pth"
    run(data, tmp_path / "run", LITERAL, recipe=recipe, iterations=1, weights=start)
    run(data, tmp_path / "run", LITERAL, recipe=recipe, iterations=2, resume=True)
    config = DetectronConfig.load(tmp_path / "run" / "config.yaml")
    assert config.get("MODEL.BACKBONE.FREEZE_AT") == 2
    assert config.get("MODEL.WEIGHTS") == start.as_posix()


def test_no_weights_is_said_in_the_log(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run(data, tmp_path / "run", iterations=1)
    assert any("filled from one batch" in message for message in caplog.messages)


def test_divergence_stops_with_what_to_do(data: Path, tmp_path: Path) -> None:
    wild = (*OURS, "SOLVER.BASE_LR=1e30", "SOLVER.WARMUP_ITERS=0", "SOLVER.CLIP_GRADIENTS.ENABLED=False")
    with pytest.raises(TrainingError, match="lower SOLVER.BASE_LR"):
        run(data, tmp_path / "run", wild, iterations=6)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("MODEL.ROI_HEADS.NUM_CLASSES=0", "MODEL.ROI_HEADS.NUM_CLASSES"),
        ("INPUT.MASK_FORMAT=polygon", "INPUT.MASK_FORMAT"),
        ("DATASETS.TRAIN=('holdout',)", "DATASETS.TRAIN"),
        ("DATASETS.TRAIN=('test',)", "DATASETS.TRAIN"),
        ("start=imagenet", "start"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(data: Path, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(data, tmp_path / "run", (*OURS, override), iterations=1)
    assert message in str(caught.value)


def test_one_coco_file_without_splits_is_trained_on_whole(data: Path, tmp_path: Path) -> None:
    result = run(data / "annotations" / "train.json", tmp_path / "run", iterations=1)
    assert result.card.score_threshold == 0.5
    assert not result.scores


def test_the_same_seed_gives_the_same_weights_with_and_without_workers(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "alone", iterations=2)
    run(data, tmp_path / "workers", (*OURS, "DATALOADER.NUM_WORKERS=1"), iterations=2)
    alone, workers = (
        torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"] for name in ("alone", "workers")
    )
    assert all(torch.equal(alone[name], workers[name]) for name in alone)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04N."])
def test_a_damaged_checkpoint_is_one_line(data: Path, tmp_path: Path, content: bytes) -> None:
    run(data, tmp_path / "run", iterations=1)
    (tmp_path / "run" / "model_final.pth").write_bytes(content)
    with pytest.raises(NucleateError) as caught:
        run(data, tmp_path / "run", iterations=2, resume=True)
    assert "\n" not in str(caught.value)


def test_the_efficientnet_recipe_starts_from_imagenet(data: Path, tmp_path: Path) -> None:
    own = tuple(each for each in OURS if "start" not in each and "BACKBONE.NAME" not in each and "RESNETS" not in each)
    result = run(data, tmp_path / "run", own, iterations=1)
    assert "ImageNet" in str(result.card.settings["weights"])


def test_what_the_data_was_resized_by_is_on_the_card(data: Path, tmp_path: Path) -> None:
    content = json.loads((data / "annotations" / "train.json").read_text())
    for image in content["images"]:
        image["magnification"] = 0.5
    folder = tmp_path / "half"
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations" / "train.json").write_text(json.dumps(content))
    shutil.copytree(data / "images", folder / "images")
    assert run(folder, tmp_path / "run", iterations=1).card.magnification == 0.5
    assert RunCard.read(tmp_path / "run").magnification == 0.5


def test_losses_are_finite_numbers(data: Path, tmp_path: Path) -> None:
    losses = run(data, tmp_path / "run", iterations=1).final_losses
    assert np.isfinite([losses[name] for name in ("total_loss", "loss_cls", "loss_mask")]).all()
